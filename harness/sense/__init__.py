"""Readings of the machine while the load runs; each sample names its source and its scope."""
