"""What `harness doctor` and `harness watch` say."""

from __future__ import annotations

import msgspec

from harness.schema.sensors import Absent

PASS, WARN, FAIL, SKIP = "pass", "warn", "fail", "skip"


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    status: str
    """`pass`; `warn` (a run is possible, and its figures may not be what they should); `fail` (a run will not start, or must not be
    believed); `skip` (not looked at, or not needed)."""
    text: str
    """The evidence, in one sentence."""
    advice: str = ""
    """What to do, in one sentence; empty where there is nothing to do."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A reading as it is now; fields as in `harness.schema.sensors.Sample`."""

    source: str
    scope: str
    name: str
    value: float
    unit: str
    age_s: float


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """All readings of one moment: a line of `harness watch` where there is no terminal."""

    time: str
    """Wall clock, UTC, ISO 8601."""
    readings: tuple[Shown, ...]
    """Watts first."""
    absent: tuple[Absent, ...]
