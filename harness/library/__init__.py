"""Recipes from elsewhere: out of a file, a folder or a git repository, into the user's own folder or as a registry with a name.

The network is used where somebody asks for it, in `import`, `registry add` and `registry update`, and nowhere else.
"""
