"""Numbers → places on a picture, and the round numbers that stand beside an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

TINY = 1e-30
"""A logarithm has no place for what is not above it."""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What is along one side: `label` with its unit."""

    label: str
    log: bool = False
    zero: bool = False
    """Linear and from 0 on, whatever the values are."""
    at: tuple[float, ...] = ()
    """What stands beside it instead of round numbers: the few values that were measured."""


class Scale(msgspec.Struct, frozen=True):
    """From values between `low` and `high` to places between `start` and `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    at: tuple[float, ...] = ()

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(one) if self.log else one for one in (self.low, self.high, self._inside(value)))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def _inside(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def ticks(self, most: int) -> list[float]:
        if self.at and len(self.at) <= most:
            return sorted(self.at)
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def fit(values: Iterable[float], axis: Axis, start: float, end: float) -> Scale:
    """A scale that shows all of them with some room; values that a logarithm has no place for are not among those it is fitted to."""
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
    """A tick's number: `0.05`, `250`, `1.2k`, `3M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def spread(points: Sequence[float], most: int) -> list[int]:
    """Indices of at most so many, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(range(len(points)))
    return sorted({round(number * (len(points) - 1) / (most - 1)) for number in range(most)})
