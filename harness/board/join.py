"""Rows of several kinds → the board."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import msgspec

from harness.board import quality, terms
from harness.board.columns import COLUMNS
from harness.board.measured import OF_LOAD
from harness.board.published import HARDWARE
from harness.facts import lookup
from harness.schema.board import Board, Entry, Row
from harness.schema.facts import Facts

NO_FACTS = Facts()
NOT_THERE = Entry(why="there is no source for it")


def board(
    measured: Iterable[Row],
    published: Iterable[Row],
    *,
    day: datetime.date,
    facts: Facts = NO_FACTS,
    offers: Iterable[Row] = (),
    imported: Iterable[Row] = (),
    notes: Iterable[str] = (),
) -> Board:
    """A system that was measured and published is one row: what was measured stands in front, what was published beside it. Offers stand
    below; of one that was measured (`harness bench --url https://…`) likewise. What was imported is joined to nothing."""
    rows = {(row.id, row.nodes): row for row in published}
    apis = {row.id: row for row in offers}
    for row in measured:
        if row.id in apis:
            apis[row.id] = msgspec.structs.replace(_joined(row, apis[row.id]), provider=apis[row.id].provider)
            continue
        theirs = rows.get((row.id, row.nodes)) if HARDWARE in row.hardware else None
        name = row.id if theirs or (row.id, row.nodes) not in rows else f"{row.id} @ {row.hardware or 'elsewhere'}"
        rows[name, row.nodes] = _joined(msgspec.structs.replace(row, id=name), theirs)
    own = [_with(row, facts) for row in (*rows.values(), *imported)]
    return Board(rows=tuple(map(_whole, (*own, *apis.values()))), day=day, notes=tuple(notes))


def _with(row: Row, facts: Facts) -> Row:
    """What is known of its model."""
    model = lookup.model_of(facts, row.model)
    return msgspec.structs.replace(row, entries=row.entries | quality.entries(facts, model) | terms.of_weights(model))


def _joined(ours: Row, theirs: Row | None) -> Row:
    if theirs is None:
        return ours
    pairs = {
        name: (ours.entries.get(name, NOT_THERE), theirs.entries.get(name, NOT_THERE))
        for name in (*ours.entries, *theirs.entries)
    }
    kept = OF_LOAD if ours.entries["concurrency"].value is not None else ()
    entries = {name: beside(first, second, fill=name not in kept) for name, (first, second) in pairs.items()}
    return msgspec.structs.replace(ours, quantization=ours.quantization or theirs.quantization, entries=entries)


def beside(first: Entry, second: Entry, *, fill: bool = True) -> Entry:
    """One entry of two for the same thing: the first that has a value, with what else is known of it. What was computed from published
    figures does not stand for what was measured, nor (without `fill`) what was published of another load."""
    if first.value is None and second.value is None:
        return msgspec.structs.replace(first, also=(*first.also, *second.also))
    if first.value is None and (second.origin == "computed" or not fill):
        return msgspec.structs.replace(first, also=(*first.also, second))
    if first.value is None:
        return second
    known = (msgspec.structs.replace(second, also=()),) if second.value is not None else ()
    return msgspec.structs.replace(first, also=(*first.also, *known, *second.also))


def _whole(row: Row) -> Row:
    entries = {name: row.entries.get(name, msgspec.structs.replace(NOT_THERE, unit=COLUMNS[name].unit)) for name in COLUMNS}
    return msgspec.structs.replace(row, entries=entries)
