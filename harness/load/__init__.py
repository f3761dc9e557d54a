"""Prompts of exact length, and the driver that sends them on time. Knows no engine, recipe or model."""
