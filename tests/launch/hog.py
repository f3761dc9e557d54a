"""A program that takes memory, up to a bound: `with hog(...) as child`, and what is free meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 1 << 20
STEP = 64 * MIB

CODE = """
import sys, time
held, step, most = [], int(sys.argv[1]), int(sys.argv[2])
while step * len(held) < most:
    held.append(b"x" * step)
    time.sleep(0.01)
print("full", flush=True)
time.sleep(600)
"""


@contextmanager
def hog(most: int) -> Iterator[subprocess.Popen[str]]:
    """Writes one line when it holds `most` bytes; lets them go when it is killed."""
    child = subprocess.Popen([sys.executable, "-c", CODE, str(STEP), str(most)], stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def available() -> int:
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
