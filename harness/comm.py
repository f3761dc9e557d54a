"""The names by which `ps` and earlyoom know our processes (an interpreter's own is `python3`), and Docker our containers."""

from __future__ import annotations

from pathlib import Path

HARNESS, DRIVER, SENSES = "harness", "harness-load", "harness-sense"
"""The kernel keeps 15 bytes."""
LABEL = "spark-harness"
"""`spark-harness.recipe`, `.sha256` and `.owner` on every container, so that ours are known as ours after a crash."""


def name_process(name: str) -> None:
    """Gives this process its name."""
    try:
        Path("/proc/self/comm").write_text(name)
    except OSError:
        pass  # a sandbox's /proc; nothing depends on it
