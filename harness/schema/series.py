"""What is drawn of a run's raw data: sensors over time, and how long the pauses between events were."""

from __future__ import annotations

import msgspec

PER_DECADE = 30
"""Bins of a distribution of pauses."""
QUANTITIES = {"power": "W", "temperature": "°C", "clock": "MHz"}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor over a run: means of equal spans of time."""

    quantity: str
    name: str
    """`gpu0 (nvml)`."""
    scope: str
    at_ns: list[int]
    values: list[float]


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses between token-bearing events of a cell's measured requests that were answered whole."""

    cell: str
    bins: dict[int, int]
    """Counts by the bin `floor(PER_DECADE * log10(ms))`."""
    p50_ms: float
    p99_ms: float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    lines: list[Line]
    gaps: list[Gaps]
