"""What one answer or one row of a meter says, and the units that meters speak. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from harness.schema.sensors import WALL
from harness.sense.base import Reading

WH_J = 3600.0
UNITS_W = {"mw": 1e-3, "w": 1.0, "watt": 1.0, "watts": 1.0, "kw": 1e3}
UNITS_J = {"j": 1.0, "mwh": WH_J / 1e3, "wh": WH_J, "kwh": WH_J * 1e3}

UNREACHABLE, NO_PERMISSION, NO_DEVICE = "unreachable", "no_permission", "no_device"
NOT_SUPPORTED, UNREADABLE, LOST, CLOCK_OFF = "not_supported", "unreadable", "lost", "clock_off"


class Fault(Exception):
    """Why there is no reading now: what an `Absent` will say."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Measured(NamedTuple):
    power_w: float | None = None
    energy_j: float | None = None
    """A counter that only grows."""

    def readings(self, part: str) -> Iterator[Reading]:
        if self.power_w is not None and math.isfinite(self.power_w):
            yield WALL, f"{part}.power", self.power_w, "W"
        if self.energy_j is not None and math.isfinite(self.energy_j):
            yield WALL, f"{part}.energy", self.energy_j, "J"


def unit_key(unit: str) -> str:
    """The unit's name in the tables above. `M` is mega, which no such meter has: it is not taken for milli."""
    return "" if unit.startswith("M") else unit.lower()
