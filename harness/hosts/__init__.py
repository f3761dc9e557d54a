"""Where a command runs: this machine now, others over SSH later."""
