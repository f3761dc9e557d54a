"""The one clock. Only this module imports `time`; every instant in the harness is CLOCK_MONOTONIC in integer nanoseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from harness.units import NS_PER_S, Ns

sleep = time.sleep


def now() -> Ns:
    """This instant on CLOCK_MONOTONIC."""
    return Ns(time.monotonic_ns())


def cpu() -> Ns:
    """CPU time (user and system) that this process has used."""
    return Ns(time.process_time_ns())


def thread_cpu() -> Ns:
    """CPU time that the calling thread has used."""
    return Ns(time.thread_time_ns())


def since(start: int) -> float:
    """Seconds since `start`."""
    return (time.monotonic_ns() - start) / NS_PER_S


def realtime_offset() -> Ns:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC, to turn the kernel's socket stamps into our clock.

    The narrowest of nine brackets is taken, so the error is half of the shortest time two clock reads took (well under 1 µs).
    """
    best_width, best = 1 << 62, 0
    for _ in range(9):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width, best = after - before, real - (before + after) // 2
    return Ns(best)


def utc_now() -> datetime:
    """The wall clock, in UTC: for names and anchors only, never for a measured span."""
    return datetime.now(UTC)
