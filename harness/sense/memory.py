"""Memory and swap of the whole machine. On GB10 this is the GPU's memory too."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

NAME = "memory"
SCOPE = "host"


def read() -> Iterator[tuple[str, float, str]]:
    yield "available", float(psutil.virtual_memory().available), "bytes"
    swap = psutil.swap_memory()
    yield "swap_used", float(swap.used), "bytes"
    yield "swap_in", float(swap.sin), "bytes"
    yield "swap_out", float(swap.sout), "bytes"
