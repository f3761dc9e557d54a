"""Rows of several kinds → the board."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import msgspec

from harness.board import quality
from harness.board.columns import COLUMNS
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
    own = [_with(row, quality.entries(facts, lookup.model_of(facts, row.model))) for row in (*rows.values(), *imported)]
    return Board(rows=tuple(map(_whole, (*own, *apis.values()))), day=day, notes=tuple(notes))


def _with(row: Row, entries: dict[str, Entry]) -> Row:
    return msgspec.structs.replace(row, entries=row.entries | entries)


def _joined(ours: Row, theirs: Row | None) -> Row:
    if theirs is None:
        return ours
    names = dict.fromkeys((*ours.entries, *theirs.entries))
    entries = {name: beside(ours.entries.get(name, NOT_THERE), theirs.entries.get(name, NOT_THERE)) for name in names}
    return msgspec.structs.replace(ours, quantization=ours.quantization or theirs.quantization, entries=entries)


def beside(first: Entry, second: Entry) -> Entry:
    """One entry of two for the same thing: the first that has a value, with what else is known of it."""
    if first.value is None and second.value is None:
        return msgspec.structs.replace(first, also=(*first.also, *second.also))
    if first.value is None:
        return second
    known = (msgspec.structs.replace(second, also=()),) if second.value is not None else ()
    return msgspec.structs.replace(first, also=(*first.also, *known, *second.also))


def _whole(row: Row) -> Row:
    entries = {name: row.entries.get(name, msgspec.structs.replace(NOT_THERE, unit=COLUMNS[name].unit)) for name in COLUMNS}
    return msgspec.structs.replace(row, entries=entries)
