"""What was read from the machine while the load ran, and what could not be."""

from __future__ import annotations

import msgspec

from harness.units import NS_PER_S

GPU, SOC, SYSTEM, WALL = "gpu", "soc", "system", "wall"
POWER_SCOPES = (GPU, SOC, SYSTEM, WALL)
"""What a watt covers, never mixed and never summed with each other: the GPU by its driver; the chip (on GB10 CPU and GPU; a CPU package
on x86); the whole box at its DC input; the wall socket."""
METER = "plug"
"""The source of what meters at the wall say. They are of no machine: whoever named them knows what they measure."""
RAIL, HOST = "rail", "host"
"""Other scopes of a reading: one supply rail among several, and what is no watt."""


EDGE_NS = 3 * NS_PER_S
"""So much before and after a span of time its readings are looked for: its edges lie between two of them, and the slowest sensor is read
once a second."""


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One reading.

    Its `name` is `<part>.<quantity>`, such as `gpu0.power`, `soc_pkg.energy` or `psi.memory_full`; a quantity always has the same unit:
    `power` W, `energy` J (a counter that only grows), `temperature` °C, `clock` and `clock_max` MHz, `utilization` share.
    """

    t_ns: int
    source: str
    """`nvml`, `hwmon`, `rapl`, `plug`, `memory`, `cpu` …; with `@host` behind it where it was read on another machine."""
    scope: str
    name: str
    value: float
    unit: str

    @property
    def host(self) -> str:
        """The other machine that it was read on; empty: this one."""
        return self.source.partition("@")[2]


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a source cannot read here."""

    source: str
    scope: str
    code: str
    """`no_library`, `no_driver`, `no_device`, `not_supported`, `no_permission`, `unreachable`, `unreadable`, `clock_off`, `lost`."""
    text: str
    """One sentence: what is not read, and why."""


BEFORE, AFTER = "before", "after"


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which the server was ready and nothing was asked of it: what the machine draws then anyway."""

    when: str
    """`before` the first trial or `after` the last."""
    t_start_ns: int
    t_end_ns: int


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    period_s: float
    """How often it was meant to be read."""
    reads: int
    gaps: int
    """Times that the next read came more than a second late."""
    longest_gap_s: float
    cpu_s: float
    """CPU time that reading it took."""


class SensorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The sampler about itself."""

    wall_s: float
    cpu_s: float
    """Of its threads; as a share of one core: divided by `wall_s`."""
    sources: tuple[SourceReport, ...]
    absent: tuple[Absent, ...]
