"""A file that appears whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Makes the folder where it lacks. Raises `OSError`, and then leaves what was there. Not for what must outlive a power cut: see
    `harness.store.folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(data)
    new.replace(path)
