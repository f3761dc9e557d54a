"""Readings of power and of energy counters → joules in windows of time, one series at a time. Knows no requests and no scopes' order.

Joules are the difference of one function of time at a window's two ends, so neighbouring windows add up. All windows are worked out
at once: a trial at concurrency 1 has two for each request.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.measure.windows import Window
from harness.schema.sensors import POWER_SCOPES, Sample
from harness.units import NS_PER_S

POWER, ENERGY = "power", "energy"
SHOWN_BY = (POWER, ENERGY, "utilization")
"""Quantities by which a part is known to be there: a GPU at work whose watts are refused is missing from its scope's total."""
LEAST_READINGS = 10
NOT_MEASURED, GAP, FEW_SAMPLES, COUNTER_FELL = "not_measured", "gap", "few_samples", "counter_fell"

Channel = tuple[str, str, str]
"""(source, scope, name)"""
Places = NDArray[np.int64]
Floats = NDArray[np.float64]


class Readings(msgspec.Struct, frozen=True):
    """Of one part and quantity: in order of time, one for each instant."""

    t_ns: Places
    values: Floats


class Spans(msgspec.Struct, frozen=True):
    """Windows as arrays."""

    start_ns: Places
    end_ns: Places

    @property
    def count(self) -> int:
        return len(self.start_ns)

    @property
    def total_s(self) -> float:
        return int((self.end_ns - self.start_ns).sum()) / NS_PER_S


def spans(windows: Iterable[Window]) -> Spans:
    """Windows without length are left out."""
    bounds = [(window.start_ns, window.end_ns) for window in windows if window.end_ns > window.start_ns]
    return Spans(*np.array(bounds, dtype=np.int64).reshape(-1, 2).T)


def first_read(samples: Iterable[Sample]) -> dict[Channel, int]:
    """When each channel was first read [t_ns]."""
    found: dict[Channel, int] = {}
    for sample in samples:
        found.setdefault((sample.source, sample.scope, sample.name), sample.t_ns)
    return found


def series(samples: Iterable[Sample], expected: Collection[Channel] = ()) -> dict[tuple[str, str, str], dict[str, Readings]]:
    """Readings by part, by (source, scope, `power` or `energy`).

    Every part of a source's scope is in each of its series, without readings where it has none: the total lacks it then. `expected`:
    channels that were read before; one that is lost is missing all the same.
    """
    groups: defaultdict[tuple[str, str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.source, sample.scope, sample.name].append(sample)
    known: defaultdict[tuple[str, str], dict[str, dict[str, Readings]]] = defaultdict(lambda: {POWER: {}, ENERGY: {}})
    parts: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for source, scope, name in {*groups, *expected}:
        part, _, quantity = name.rpartition(".")
        if scope in POWER_SCOPES and quantity in SHOWN_BY:
            parts[source, scope].add(part)
            if quantity in (POWER, ENERGY) and (group := groups.get((source, scope, name))):
                known[source, scope][quantity][part] = _readings(group)
    return {
        (source, scope, quantity): {part: found.get(part, _readings(())) for part in sorted(parts[source, scope])}
        for (source, scope), quantities in known.items()
        for quantity, found in quantities.items()
        if found
    }


def flaw(readings: Readings, within: Spans) -> str | None:
    """Why nothing can be said about these windows together: `not_measured`, `gap`, `few_samples`; None when something can.

    A gap is more than a second above the series' usual interval between two neighbours in or around a window, or an edge with
    no reading beyond it.
    """
    t_ns = readings.t_ns
    if not len(t_ns):
        return NOT_MEASURED
    before, after = _around(readings, within)
    if before.min() < 0 or after.max() >= len(t_ns):
        return GAP
    apart = np.diff(t_ns)
    if _any_between(apart > NS_PER_S + np.median(apart), before, after):
        return GAP
    inside = np.searchsorted(t_ns, within.end_ns, side="right") - np.searchsorted(t_ns, within.start_ns, side="right")
    return FEW_SAMPLES if inside.sum() < LEAST_READINGS else None


def falls(counter: Readings, within: Spans) -> bool:
    """Whether it falls anywhere in or around the windows."""
    return _any_between(np.diff(counter.values) < 0, *_around(counter, within))


def integral_j(power: Readings, within: Spans) -> float:
    """By the trapezoid rule over all readings, interpolated at the edges."""
    t_s, watts = _seconds(power, power.t_ns), power.values
    summed = np.append(0.0, np.cumsum(np.diff(t_s) * (watts[1:] + watts[:-1]) / 2))
    slopes = np.diff(watts) / np.diff(t_s)

    def until(t_ns: Places) -> Floats:
        place = np.clip(np.searchsorted(power.t_ns, t_ns, side="right") - 1, 0, len(slopes) - 1)
        past = _seconds(power, t_ns) - t_s[place]
        joules: Floats = summed[place] + past * (watts[place] + slopes[place] * past / 2)
        return joules

    return float((until(within.end_ns) - until(within.start_ns)).sum())


def counted_j(counter: Readings, within: Spans) -> float:
    """How far the counter moved, interpolated at the edges between the readings that saw it move.

    One that holds its value over several readings has not stood still in between: it was not brought up to date.
    """
    kept = np.append(True, np.diff(counter.values) != 0)
    t_s, joules = _seconds(counter, counter.t_ns[kept]), counter.values[kept]
    start, end = (np.interp(_seconds(counter, t_ns), t_s, joules) for t_ns in (within.start_ns, within.end_ns))
    return float((end - start).sum())


def step_j(counter: Readings, within: Spans) -> float:
    """The most by which a counter that holds its value over several readings moves at once; 0 for one that moves with nearly each
    reading, whose resolution does not show."""
    before, after = _around(counter, within)
    rises = np.diff(counter.values[before.min() : after.max() + 1])
    holds = np.count_nonzero(rises) < len(rises) * 2 / 3
    return float(rises.max()) if holds else 0.0


def update_s(readings: Readings) -> float | None:
    """How often the sensor is brought up to date: the median time between two changes of its value. No shorter than the interval of
    reading, and too long where the value was the same again; None when it changed less than twice."""
    changes = readings.t_ns[1:][np.diff(readings.values) != 0]
    return float(np.median(np.diff(changes))) / NS_PER_S if len(changes) > 1 else None


def _readings(samples: Sequence[Sample]) -> Readings:
    """A value that is no number is no reading. Of two at one instant the lower is kept, so that their order says nothing."""
    sound = [sample for sample in samples if math.isfinite(sample.value)]
    t_ns = np.array([sample.t_ns for sample in sound], dtype=np.int64)
    values = np.array([sample.value for sample in sound], dtype=np.float64)
    order = np.lexsort((values, t_ns))
    instants, first = np.unique(t_ns[order], return_index=True)
    return Readings(instants, values[order][first])


def _around(readings: Readings, within: Spans) -> tuple[Places, Places]:
    """The places of the last reading up to each start and of the first from each end on."""
    before = np.searchsorted(readings.t_ns, within.start_ns, side="right") - 1
    return before, np.searchsorted(readings.t_ns, within.end_ns, side="left")


def _any_between(flags: NDArray[np.bool_], before: Places, after: Places) -> bool:
    """Whether an interval between two readings is flagged that lies between any of these places."""
    counted = np.append(0, np.cumsum(flags))
    return bool((counted[after] > counted[before]).any())


def _seconds(readings: Readings, t_ns: Places) -> Floats:
    """Since the first reading: small enough for a float to tell nanoseconds."""
    since: Floats = (t_ns - readings.t_ns[0]) / NS_PER_S
    return since
