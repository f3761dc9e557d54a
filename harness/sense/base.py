"""What a source of readings is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from harness.schema.sensors import Absent, Sample

Reading = tuple[str, str, float, str]
"""(scope, name, value, unit), as in `harness.schema.sensors.Sample`."""

OFTEN_S, SELDOM_S = 0.1, 1.0
"""How often sources are read: those that show the course of power, and the rest."""


class Source(Protocol):
    """Opened by its module, which raises nothing: what a machine does not have is in `absent`."""

    name: str
    period_s: float
    alone: bool
    """Whether it may block for long, as a request over the network does: then it gets a thread of its own."""

    def read(self) -> Iterable[Reading | Sample]:
        """What can be read now, or samples that somebody else took and stamped. A reading that cannot be had is left out, never 0; what
        had been there and is lost is added to `absent` once."""

    @property
    def absent(self) -> tuple[Absent, ...]:
        """What it cannot read here, as far as it knows by now."""

    def close(self) -> None: ...
