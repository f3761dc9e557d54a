"""Spark Harness: measure LLM servers on a DGX Spark, honestly and locally. Importing this package loads nothing else."""

__version__ = "0.1.0"
