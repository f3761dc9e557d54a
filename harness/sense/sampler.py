"""Reads all sources at a fixed cadence in a thread of its own, from start to stop."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

from harness import clock
from harness.schema.run import Sample
from harness.sense import cpu, memory
from harness.sense.base import Source

SOURCES: tuple[Source, ...] = (memory, cpu)
PERIOD_S = 1.0


class Sampler:
    """`with Sampler() as sampler: …; sampler.take()` gives what was read since the last take."""

    def __init__(self, sources: tuple[Source, ...] = SOURCES, period_s: float = PERIOD_S) -> None:
        self._sources = sources
        self._period_s = period_s
        self._samples: deque[Sample] = deque()  # its append and popleft are safe between threads
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> list[Sample]:
        """Samples read since the last call, in order."""
        return [self._samples.popleft() for _ in range(len(self._samples))]

    def _run(self) -> None:
        while True:
            for source in self._sources:
                t_ns = clock.now()
                self._samples.extend([Sample(t_ns, source.NAME, source.SCOPE, *reading) for reading in source.read()])
            if self._stop.wait(self._period_s):
                return
