"""Entries from facts, from measured figures and from other entries, with their intervals, dates and sources carried along."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from harness.schema.board import Entry
from harness.schema.facts import Fact
from harness.schema.result import Reading

T = TypeVar("T", float, str, bool)
Values = Mapping[str, float]


class Undefined(Exception):
    """There is no such figure for these values; the message is why."""


def given(value: float | None, unit: str, how: str, date: datetime.date | None = None) -> Entry:
    """What somebody said who asks; without a value `how` is why there is none."""
    if value is None:
        return Entry(unit=unit, why=how)
    return Entry(value=value, unit=unit, origin="given", how=how, date=date)


def of_fact(fact: Fact[T], unit: str, origin: str, how: str = "") -> Entry:
    """A range without a value stays one: `why` says so."""
    said = "; ".join(filter(None, (how, fact.note)))
    if fact.value is None:
        return Entry(
            unit=unit, low=fact.low, high=fact.high, sources=fact.sources, date=fact.date, how=said, why=fact.why or "not known"
        )
    return Entry(
        value=fact.value,
        unit=unit,
        low=fact.low,
        high=fact.high,
        origin=origin,
        date=fact.date,
        how=said,
        sources=fact.sources,
    )


def of_reading(reading: Reading | None, unit: str, *, result: str, date: datetime.date | None, how: str) -> Entry:
    if reading is None or reading.value is None:
        return Entry(unit=unit, why=(reading.reason if reading else "") or "not measured", result=result)
    return Entry(
        value=reading.value, unit=unit, low=reading.low, high=reading.high, origin="measured", date=date, how=how, result=result
    )


def computed(
    unit: str, formula: Callable[[Values], float], inputs: Mapping[str, Entry], how: Callable[[Values, float], str]
) -> Entry:
    """A figure of others, by their names. As old as the oldest of them; unknown, with the reasons, where one is unknown.

    `formula` rises or falls with each input all the way, whatever the others are, so that its extremes over all intervals lie at their
    corners: all are tried. Such an interval is wider than a 95 % one of independent inputs. Where a corner is `Undefined` there is none,
    and `how` says why.
    """
    unknown = [_unknown(name, entry) for name, entry in inputs.items() if not is_number(entry)]
    if unknown:
        return Entry(unit=unit, why="; ".join(dict.fromkeys(unknown)))
    point = {name: number(entry) for name, entry in inputs.items()}
    try:
        value = formula(point)
    except Undefined as error:
        return Entry(unit=unit, why=str(error))
    low, high, open_end = _corners(formula, point, inputs)
    dates = [entry.date for entry in inputs.values() if entry.date is not None]
    results = {entry.result for entry in inputs.values() if entry.result}
    return Entry(
        value=value,
        unit=unit,
        low=low,
        high=high,
        origin="computed",
        date=min(dates, default=None),
        how=how(point, value) + (f"; at the ends of its inputs' intervals: {open_end}" if open_end else ""),
        sources=tuple(dict.fromkeys(source for entry in inputs.values() for source in entry.sources)),
        result=results.pop() if len(results) == 1 else "",
    )


def scaled(entry: Entry, factor: float, unit: str, how: str) -> Entry:
    """The same divided or multiplied by what is exactly known; `factor` is above 0, `how` the words behind its own arithmetic."""
    if not is_number(entry):
        return msgspec.structs.replace(entry, unit=unit)
    value, low, high = (None if each is None else each * factor for each in (number(entry), entry.low, entry.high))
    return msgspec.structs.replace(entry, value=value, low=low, high=high, unit=unit, how=f"({entry.how}) {how}")


def is_number(entry: Entry) -> bool:
    return isinstance(entry.value, (int, float)) and not isinstance(entry.value, bool)


def number(entry: Entry) -> float:
    """Of an entry that is one."""
    assert isinstance(entry.value, (int, float))
    return float(entry.value)


def shown(value: float) -> str:
    """For arithmetic in words: whole from a thousand on, four digits below."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


_UNITS = {"_tok_s": " speed", "_mtok": " price", "_w": " watts"}
"""What the last words of a name stand for."""


def _unknown(name: str, entry: Entry) -> str:
    """Why, and of what; a reason that names its own input keeps to that."""
    why = entry.why or "not known"
    if ": " in why:
        return why
    suffix = next((suffix for suffix in _UNITS if name.endswith(suffix)), "")
    return f"{name.removesuffix(suffix).replace('_', ' ')}{_UNITS.get(suffix, '')}: {why}"


def _corners(
    formula: Callable[[Values], float], point: Values, inputs: Mapping[str, Entry]
) -> tuple[float | None, float | None, str]:
    """(lowest, highest, why there is none)."""
    wide = {name: (entry.low, entry.high) for name, entry in inputs.items() if entry.low is not None and entry.high is not None}
    if not wide:
        return None, None, ""
    found = [formula(point)]
    for corner in itertools.product(*wide.values()):
        try:
            found.append(formula({**point, **dict(zip(wide, corner, strict=True))}))
        except Undefined as error:
            return None, None, str(error)
    return min(found), max(found), ""
