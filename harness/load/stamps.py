"""The kernel's receive stamps (SO_TIMESTAMPNS) on our clock, and how late we came to read.

The kernel stamps in CLOCK_REALTIME, so the offset to CLOCK_MONOTONIC is sampled again and again while the load runs; between two samples
it is taken to drift evenly.
"""

from __future__ import annotations

import socket
import struct
from array import array
from bisect import bisect
from contextlib import suppress

from harness import clock

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")
ANCILLARY_BYTES = socket.CMSG_SPACE(_STAMP.size)

_BUCKET_BITS = 14
_BUCKETS = 4096


def ask_for(sock: socket.socket) -> None:
    """That the kernel stamps what this socket receives. Where it does not, reads come without a stamp."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def keep_on() -> socket.socket:
    """A socket that keeps the kernel stamping for as long as it is open: after the first asks, some packets still come without."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    ask_for(sock)
    return sock


def of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The stamp that came with a read, nanoseconds of CLOCK_REALTIME."""
    seconds, rest = _STAMP.unpack(ancillary[0][2])
    stamp: int = seconds * 1_000_000_000 + rest
    return stamp


class Offsets:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC over a trial. `now` is the newest sample."""

    def __init__(self) -> None:
        self._real = array("q")
        self._offsets = array("q")
        self.now = 0
        self.sample()

    def sample(self) -> None:
        self.now = clock.realtime_offset()
        self._real.append(clock.now() + self.now)
        self._offsets.append(self.now)

    def monotonic(self, real_ns: int) -> int:
        """An instant of CLOCK_REALTIME on our clock. Exact to the drift between two samples once a later sample has been taken."""
        after = bisect(self._real, real_ns)
        if after == 0 or after == len(self._real):
            return real_ns - self._offsets[max(0, after - 1)]
        start, span = self._real[after - 1], self._real[after] - self._real[after - 1]
        first, drift = self._offsets[after - 1], self._offsets[after] - self._offsets[after - 1]
        return real_ns - first - drift * (real_ns - start) // span

    @property
    def step_ns(self) -> int:
        """How far the one clock has moved against the other."""
        return max(self._offsets) - min(self._offsets)


class Lags:
    """Spans in buckets of 16 µs, so that an hour of reads takes no more memory than a second of them."""

    def __init__(self) -> None:
        self._counts = [0] * (_BUCKETS + 1)
        self._longest = 0

    def add(self, span_ns: int) -> None:
        """A span below 0 (the wall clock was set back) counts as 0; from 67 ms on they share one bucket."""
        bucket = span_ns >> _BUCKET_BITS
        if 0 <= bucket < _BUCKETS:
            self._counts[bucket] += 1
        elif bucket < 0:
            self._counts[0] += 1
        else:
            self._counts[_BUCKETS] += 1
            self._longest = max(self._longest, span_ns)

    def quantile(self, share: float) -> int:
        """The upper edge of the bucket below which `share` of all spans lie, in the last bucket the longest span; 0 of none."""
        wanted = share * sum(self._counts)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return (bucket + 1) << _BUCKET_BITS if bucket < _BUCKETS else self._longest
        return 0
