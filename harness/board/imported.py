"""Imported files → the board's rows. Each is a row of its own: nothing of it stands beside what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.board.columns import COLUMNS
from harness.board.measured import AGENTIC, LOAD, is_load, is_single_stream
from harness.schema.board import Entry, Row
from harness.schema.facts import Source
from harness.schema.foreign import Imported, Taken
from harness.schema.result import Point, Reading
from harness.schema.sensors import POWER_SCOPES

ORIGIN = "imported"
HOW = "imported, not verifiable: raw data are missing"
NO_WATTS = "the imported file has no watts"


def rows(kept: Iterable[tuple[Imported, Taken]]) -> list[Row]:
    return [_row(about, taken) for about, taken in kept]


def _row(about: Imported, taken: Taken) -> Row:
    one, load = (_best(taken.points, key) for key in (is_single_stream, is_load))
    entries = {"decode_tok_s": _entry(about, taken, one, "decode_tok_s")}
    entries |= {name: _entry(about, taken, load, name) for name in LOAD}
    entries["concurrency"] = _entry(about, taken, load, "concurrency")
    entries[AGENTIC] = Entry(unit="ms", why="the imported file has no such load")
    for scope in POWER_SCOPES:
        entries |= {name: Entry(unit=COLUMNS[name].unit, why=NO_WATTS) for name in (f"{scope}_w", f"{scope}_j_tok")}
    return Row(
        id=f"{taken.model} @ {about.name} {about.sha256[:8]}",
        model=taken.model,
        engine=about.engine,
        hardware=about.hardware,
        entries=entries,
    )


def _best(points: Iterable[Point], key: Callable[[Point], tuple[float, ...] | None]) -> Point | None:
    ranked = [(rank, place, point) for place, point in enumerate(points) if (rank := key(point)) is not None]
    return max(ranked, default=(None, 0, None))[2]


def _entry(about: Imported, taken: Taken, point: Point | None, name: str) -> Entry:
    unit = COLUMNS[name].unit
    if point is None:
        return Entry(unit=unit, why="the imported file has no such load")
    read = Reading(point.concurrency) if name == "concurrency" else point.figures[name]
    if read.value is None:
        return Entry(unit=unit, why=read.reason)
    said = Source(url=about.source or about.name, kind="primary", date=taken.date, dated=f"SHA-256 {about.sha256}")
    return Entry(
        value=read.value,
        unit=unit,
        low=read.low,
        high=read.high,
        origin=ORIGIN,
        date=taken.date,
        how="; ".join(filter(None, (HOW, f"{point.shape} by {taken.program}", taken.caveat if name == "decode_tok_s" else ""))),
        sources=(said,),
    )
