"""Memory and swap of the whole machine. On GB10 this is the GPU's memory too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.schema.sensors import HOST, Absent
from harness.sense.base import SELDOM_S, Reading


def free_bytes(root: Path) -> int | None:
    """MemAvailable."""
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class Memory:
    name, period_s, alone = "memory", SELDOM_S, False
    absent: tuple[Absent, ...] = ()

    def read(self) -> Iterator[Reading]:
        yield HOST, "memory.available", float(psutil.virtual_memory().available), "bytes"
        swap = psutil.swap_memory()
        yield HOST, "swap.used", float(swap.used), "bytes"
        yield HOST, "swap.in", float(swap.sin), "bytes"
        yield HOST, "swap.out", float(swap.sout), "bytes"

    def close(self) -> None:
        pass
