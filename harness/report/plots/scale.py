"""Numbers → places on a picture, and the round numbers that stand beside an axis."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence

import msgspec

TINY = 1e-30
"""A logarithm has no place for what is not above it."""
DAY_S = 86_400
STEPS_S = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S)
"""Between ticks of time."""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What is along one side: `label` with its unit."""

    label: str
    log: bool = False
    zero: bool = False
    """Linear and from 0 on, whatever the values are."""
    at: tuple[float, ...] = ()
    """What stands beside it instead of round numbers: the few values that were measured."""
    time: bool = False
    """Values are seconds since 1970, and are shown as days and hours of UTC."""
    ends: tuple[float, float] | None = None
    """It goes from here to there, whatever the values are."""

    def said(self, value: float) -> str:
        """One value in words."""
        return f"{datetime.datetime.fromtimestamp(value, datetime.UTC):%Y-%m-%d %H:%M}" if self.time else shown(value)


class Scale(msgspec.Struct, frozen=True):
    """From values between `low` and `high` to places between `start` and `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    at: tuple[float, ...] = ()
    time: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        at = low if value < low else high if value > high else value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        if self.at and len(self.at) <= most:
            return sorted(self.at)
        if self.time:
            return _time_ticks(self.low, self.high, most)
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)

    def tick(self, value: float) -> str:
        """What stands beside a tick: of time the hour, at midnight the day."""
        if not self.time:
            return shown(value)
        at = datetime.datetime.fromtimestamp(value, datetime.UTC)
        return f"{at:%b} {at.day}" if value % DAY_S == 0 else f"{at:%H:%M}" if value % 60 == 0 else f"{at:%H:%M:%S}"


def fit(values: Iterable[float], axis: Axis, start: float, end: float) -> Scale:
    """A scale that shows all of them with some room; values that a logarithm has no place for are not among those it is fitted to."""
    if axis.ends:
        return Scale(*axis.ends, start, end, log=axis.log, at=axis.at, time=axis.time)
    known = [value for value in values if math.isfinite(value) and (value > TINY or not axis.log)]
    low, high = (min(known), max(known)) if known else (1.0, 10.0) if axis.log else (0.0, 1.0)
    if axis.log:
        room = max((high / low) ** 0.06, 1.15)
        return Scale(low / room, high * room, start, end, log=True, at=axis.at)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Scale(0.0 if axis.zero else low - room, high + room, start, end, log=False, at=axis.at)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    step = _nice((high - low) / max(most, 1))
    first = math.ceil(low / step - 1e-9)
    found = (float(f"{number * step:.12g}") for number in range(first, math.floor(high / step + 1e-9) + 1))
    return [value for value in found if low <= value <= high]


def _time_ticks(low: float, high: float, most: int) -> list[float]:
    """Whole seconds, minutes, hours or days of UTC."""
    step = next((step for step in STEPS_S if (high - low) / step <= most), _nice((high - low) / most / DAY_S) * DAY_S)
    first = math.ceil(low / step)
    return [float(number * step) for number in range(first, math.floor(high / step) + 1)]


def _nice(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next((factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9)), 10 * power)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high]
        if len(found) <= most:
            break
    found = found[:: math.ceil(len(found) / most) or 1]  # every second power of ten, and so on
    return found if len(found) > 1 else [value for value in _linear_ticks(low, high, most) if value > 0]


def shown(value: float) -> str:
    """A number beside a tick: `0.05`, `250`, `1.2k`, `3M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def spread(points: Sequence[float], most: int) -> list[int]:
    """Indices of at most so many, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(range(len(points)))
    return sorted({round(number * (len(points) - 1) / (most - 1)) for number in range(most)})
