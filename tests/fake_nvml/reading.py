"""The sources of `harness/sense/nvml.py` in a process of their own, since pynvml keeps the library that it found first.

with opened(fake.env) as sources:
    sources.read().values["gpu0.power"]
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from harness.schema.sensors import Absent

CHILD = """
import sys
import msgspec
from harness import clock
from harness.sense import nvml
sources = nvml.sources()
print(len(sources), flush=True)
for line in sys.stdin:
    for source in sources[: int(line)]:
        source.close()
    start = clock.now()
    readings = [reading for source in sources for reading in source.read()]
    absent = [each for source in sources for each in source.absent]
    periods = [(source.name, source.period_s, source.alone) for source in sources]
    print(msgspec.json.encode([start, clock.now(), readings, absent, periods]).decode(), flush=True)
"""


class Answer(msgspec.Struct, array_like=True):
    start_ns: int
    end_ns: int
    readings: list[tuple[str, str, float, str]]
    absent: list[Absent]
    periods: list[tuple[str, float, bool]]

    @property
    def values(self) -> dict[str, float]:
        return {name: value for _, name, value, _ in self.readings}

    @property
    def codes(self) -> dict[str, str]:
        """By the first word of the text: what it is about."""
        return {absent.text.split()[0]: absent.code for absent in self.absent}


class Sources:
    def __init__(self, child: subprocess.Popen[str], count: int) -> None:
        self._child, self.count = child, count

    def read(self, close: int = 0) -> Answer:
        """All of them, after so many of them were closed."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(close, file=self._child.stdin, flush=True)
        return msgspec.json.decode(self._child.stdout.readline(), type=Answer)


@contextmanager
def opened(env: Mapping[str, str]) -> Iterator[Sources]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CHILD], env=os.environ | env, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield Sources(child, int(child.stdout.readline()))
        child.stdin.close()
        assert child.wait() == 0
