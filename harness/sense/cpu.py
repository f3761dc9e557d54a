"""CPU time of the whole machine: cumulative, so that any window can be asked for afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

NAME = "cpu"
SCOPE = "host"


def read() -> Iterator[tuple[str, float, str]]:
    times = psutil.cpu_times()
    yield (
        "busy",
        float(times.user + times.nice + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)),
        "s",
    )
    yield "idle", float(times.idle + getattr(times, "iowait", 0.0)), "s"
