"""What becomes of a claimed figure beside what is known. One rule for all figures, so that nobody is judged more mildly than another."""

from __future__ import annotations

from typing import NamedTuple

HOLDS, ROUNDED, DIFFERS, DEPENDS, UNCHECKED = "holds", "rounded", "differs", "depends on", "cannot be checked"
VERDICTS = (HOLDS, ROUNDED, DIFFERS, DEPENDS, UNCHECKED)
SAME, NEAR = 0.005, 0.05
"""Shares of what is known that a claim may be off by, to hold or to count as rounded."""


class Span(NamedTuple):
    """A figure, or a range of them."""

    low: float
    high: float


def at(value: float) -> Span:
    return Span(value, value)


def of(claimed: Span | None, known: Span | None) -> str:
    """A known range wider than rounding is no figure: a claim within it depends on what the range is of. A claimed range holds if all that
    is known lies in it, rounded at its ends."""
    if claimed is None or known is None:
        return UNCHECKED
    if claimed.high > claimed.low:
        inside = claimed.low * (1 - NEAR) <= known.low and known.high <= claimed.high * (1 + NEAR)
        apart = known.high < claimed.low * (1 - NEAR) or claimed.high * (1 + NEAR) < known.low
        return HOLDS if inside else DIFFERS if apart else DEPENDS
    nearest = min(max(claimed.low, known.low), known.high)
    off = abs(claimed.low - nearest)
    if off > NEAR * abs(nearest):
        return DIFFERS
    if known.high - known.low > NEAR * abs(known.high):
        return DEPENDS
    return HOLDS if off <= SAME * abs(nearest) else ROUNDED


def how_far(claimed: float, known: Span) -> str:
    """Of one that differs: `3 times too high`, `30 % too low`, of the nearest that is known; nothing where either is 0."""
    nearest = min(max(claimed, known.low), known.high)
    if claimed <= 0 or nearest <= 0:
        return ""
    times = max(claimed / nearest, nearest / claimed)
    much = f"{times:.2g} times" if times < 10 else f"{times:,.0f} times"
    way = "high" if claimed > nearest else "low"
    return f"{much} too {way}" if times >= 2 else f"{abs(claimed / nearest - 1):.0%} too {way}".replace("%", " %")
