"""CPU time of the whole machine: cumulative, so that any window can be asked for afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from harness.schema.sensors import HOST, Absent
from harness.sense.base import SELDOM_S, Reading


class Cpu:
    name, period_s, alone = "cpu", SELDOM_S, False
    absent: tuple[Absent, ...] = ()

    def read(self) -> Iterator[Reading]:
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        yield HOST, "cpu.busy", float(busy), "s"
        yield HOST, "cpu.idle", float(times.idle + getattr(times, "iowait", 0.0)), "s"

    def close(self) -> None:
        pass
