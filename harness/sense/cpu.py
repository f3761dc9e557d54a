"""The CPU of the whole machine: time, load, clocks, heat. Time is cumulative, so that any window can be asked for afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.schema.sensors import HOST
from harness.sense.base import SELDOM_S, Reading
from harness.sense.files import File, FileSource, Question

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
COLDEST_C, HOTTEST_C = 0.0, 150.0
"""Beyond them a zone has no sensor: ACPI gives -273 °C and the like."""


class Cpu(FileSource):
    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__("cpu", SELDOM_S, _questions(root))


def _questions(root: Path) -> Iterator[Question]:
    def question(what: str, pattern: str, ask: Callable[[Sequence[File]], Sequence[Reading]]) -> Question:
        files = [File(path) for path in sorted(root.glob(pattern))] or [File(root / pattern)]
        return Question(HOST, what, files, lambda: ask(files))

    cores = "sys/devices/system/cpu/cpu[0-9]*/cpufreq"
    yield question("cpu time", "proc/stat", _time)
    yield question("cpu.load1", "proc/loadavg", _load)
    yield question("cpu.clock", f"{cores}/scaling_cur_freq", _clock)
    yield question("cpu.governor_performance", f"{cores}/scaling_governor", _governor)
    yield question("soc.temperature", "sys/class/thermal/thermal_zone[0-9]*/temp", _temperature)


def _time(files: Sequence[File]) -> Sequence[Reading]:
    """The first line of /proc/stat (proc_stat(5)); guests are in `user`, what a hypervisor took is in neither."""
    ticks = files[0].head().split(b"\n")[0].split()
    user, nice, system, idle, iowait, irq, softirq = (int(each) / TICKS_PER_S for each in ticks[1:8])
    return (
        (HOST, "cpu.busy", user + nice + system + irq + softirq, "s"),
        (HOST, "cpu.idle", idle + iowait, "s"),
    )


def _load(files: Sequence[File]) -> Sequence[Reading]:
    return ((HOST, "cpu.load1", float(files[0].head().split()[0]), "tasks"),)


def _clock(files: Sequence[File]) -> Sequence[Reading]:
    clocks = [int(khz) / 1e3 for khz in _answers(files)]
    return (HOST, "cpu.clock", sum(clocks) / len(clocks), "MHz"), (HOST, "cpu.clock_min", min(clocks), "MHz")


def _governor(files: Sequence[File]) -> Sequence[Reading]:
    fast = all(governor.strip() == b"performance" for governor in _answers(files))
    return ((HOST, "cpu.governor_performance", float(fast), "flag"),)


def _temperature(files: Sequence[File]) -> Sequence[Reading]:
    """Of the hottest zone."""
    zones = (int(value) / 1e3 for value in _answers(files))
    return ((HOST, "soc.temperature", max(zone for zone in zones if COLDEST_C < zone < HOTTEST_C), "°C"),)


def _answers(files: Sequence[File]) -> list[bytes]:
    """Of those that can be read: a core may be off, a zone without its sensor. Raises OSError where none can."""
    found, refusals = [], []
    for file in files:
        try:
            found.append(file.head())
        except OSError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found
