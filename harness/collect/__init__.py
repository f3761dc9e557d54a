"""A team's collector: a small server that takes signed bundles from known keys, verifies them itself, and shows what it accepted.

Nothing that it receives is run. A bundle is opened in a process of its own with limits; only files by digest, rows and pages made of
verified results outlive that. The extra `collect` brings its libraries: nothing else of the harness imports them.
"""
