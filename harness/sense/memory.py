"""Memory and swap of the whole machine, and how long its processes stood still for want of something. On GB10 this is the GPU's memory
too: its driver does not tell of it.

What the GPU can have goes by NVIDIA's formula for unified memory (DGX Spark User Guide, "Known Issues"): MemAvailable and, swapped out,
SwapFree; but where huge pages are set aside, only those that are free, which cannot be swapped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.schema.sensors import HOST
from harness.sense.base import SELDOM_S, Reading
from harness.sense.files import File, FileSource, Question, word

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STALLS = {"memory": ("some", "full"), "cpu": ("some",), "io": ("full",)}
"""Of pressure stall information: `some` tasks waited, or all of them (`full`)."""


def available(meminfo_text: str) -> tuple[int, int]:
    """What the GPU of a machine with unified memory can have: bytes that are free, and bytes of swap. Raises KeyError."""
    return _usable(_fields(meminfo_text))


def free_bytes(root: Path) -> int | None:
    """MemAvailable: what programs can have, and so how far the machine is from standing still. None where it cannot be read."""
    return _fields(word(root / "proc/meminfo") or "").get("MemAvailable")


class Memory(FileSource):
    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__("memory", SELDOM_S, _questions(root / "proc"))


def _questions(proc: Path) -> Iterator[Question]:
    meminfo, vmstat = File(proc / "meminfo"), File(proc / "vmstat")
    yield Question(HOST, "memory and swap", (meminfo,), lambda: _memory(meminfo))
    yield Question(HOST, "swap traffic", (vmstat,), lambda: _swapped(vmstat))
    for what in STALLS:
        yield _stalled(what, File(proc / "pressure" / what))


def _memory(meminfo: File) -> Sequence[Reading]:
    fields = _fields(meminfo.text())
    free, swap_free = _usable(fields)
    values = {
        "memory.available": free,
        "memory.total": fields["MemTotal"],
        "swap.free": swap_free,
        "swap.used": fields["SwapTotal"] - fields["SwapFree"],
    }
    return [(HOST, name, float(value), "bytes") for name, value in values.items()]


def _swapped(vmstat: File) -> Sequence[Reading]:
    """Since the machine's start."""
    pages = dict(line.split() for line in vmstat.text().splitlines())
    return [(HOST, f"swap.{way}", float(int(pages[f"pswp{way}"]) * PAGE_BYTES), "bytes") for way in ("in", "out")]


def _stalled(what: str, file: File) -> Question:
    def ask() -> Sequence[Reading]:
        """Since the machine's start; `avg10` is of the last ten seconds."""
        lines = {line.split()[0]: dict(field.split("=") for field in line.split()[1:]) for line in file.text().splitlines()}
        readings: list[Reading] = [(HOST, f"psi.{what}_{who}", int(lines[who]["total"]) / 1e6, "s") for who in STALLS[what]]
        if what == "memory":
            readings.append((HOST, "psi.memory_full_avg10", float(lines["full"]["avg10"]) / 100, "share"))
        return readings

    return Question(HOST, f"psi.{what}", (file,), ask)


def _usable(fields: Mapping[str, int]) -> tuple[int, int]:
    if fields.get("HugePages_Total"):
        return fields["HugePages_Free"] * fields["Hugepagesize"], 0
    return fields["MemAvailable"], fields["SwapFree"]


def _fields(meminfo_text: str) -> dict[str, int]:
    """Bytes; of huge pages their number."""
    found = re.findall(r"^(\S+):\s+(\d+)( kB)?$", meminfo_text, re.MULTILINE)
    return {name: int(value) * (1024 if unit else 1) for name, value, unit in found}
