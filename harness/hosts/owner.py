"""Who started what outlives its starter, so that what is left behind after a crash can be told from what is in use."""

from __future__ import annotations

import os
from pathlib import Path

from harness.hosts.base import Process
from harness.hosts.local import LocalHost, started

LIVES, GONE, ELSEWHERE = "lives", "gone", "elsewhere"


def me() -> str:
    """This process as text. A process's number is used again: by others, after a boot, and in each container's own count of processes."""
    return f"{_here()}.{os.getpid()}.{started(os.getpid())}"


def look(owner: str) -> str:
    """`LIVES`, `GONE`, or `ELSEWHERE` for one whose process cannot be looked at from here: of another boot, machine or container."""
    here, _, process = owner.removeprefix(_here()).partition(".")
    pid, _, ticks = process.partition(".")
    if here or not (pid.isdecimal() and ticks.isdecimal()):
        return ELSEWHERE
    return LIVES if LocalHost().alive(Process(int(pid), int(ticks), "")) else GONE


def _here() -> str:
    """The boot, and which count of processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"
