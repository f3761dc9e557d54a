"""Finished requests on their way to the records file: read a little at a time while nothing else is to do, the rest at the end.

Reading waits until the clocks have been compared once more after the request, because its stamps lie before that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import BinaryIO

import msgspec

from harness.load.exchange import Exchange, read
from harness.schema.request import Record


class Ledger:
    def __init__(self, out: BinaryIO, ours: Callable[[int], int], *, kernel: bool) -> None:
        """`ours` turns a receive stamp into CLOCK_MONOTONIC; `kernel`: it is the kernel that stamps."""
        self._out, self._ours = out, ours
        self.kernel = kernel
        self._encode = msgspec.json.Encoder().encode
        self._fresh: list[Exchange] = []
        self._ripe: deque[Exchange] = deque()
        self._reading: Generator[None, None, Record] | None = None

    def add(self, exchange: Exchange) -> None:
        self._fresh.append(exchange)

    def ripen(self) -> None:
        """The clocks have just been compared."""
        self._ripe += self._fresh
        self._fresh.clear()

    @property
    def waiting(self) -> bool:
        """Whether there is something to read. Without kernel stamps reading would make receiving late: then it waits for the end."""
        return self.kernel and (self._reading is not None or bool(self._ripe))

    def read_some(self) -> None:
        """About 0.1 ms of work."""
        if self._reading is None:
            if not self._ripe:
                return
            self._reading = read(self._ripe.popleft(), self._ours)
        try:
            next(self._reading)
        except StopIteration as end:
            self._reading = None
            self._out.write(self._encode(end.value) + b"\n")

    def read_all(self) -> None:
        self.ripen()
        while self._reading is not None or self._ripe:
            self.read_some()
        self._out.flush()
