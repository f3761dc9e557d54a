"""Stored results → the board's rows: of each system its newest sound figures."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator

from harness.board.columns import COLUMNS
from harness.board.own import Own
from harness.schema.board import Entry, Row
from harness.schema.result import Point, Reading, Summary
from harness.schema.sensors import POWER_SCOPES

AGENTIC = "agentic_p99_ms"
AGENTIC_PER_S = 3.4
"""Rates up to which a conversation's load is the article's: 200 completions a minute are 3.33 a second."""

LOAD = ("output_tok_s", "ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms")
OF_LOAD = (*LOAD, "concurrency", *(f"{scope}_{name}" for scope in POWER_SCOPES for name in ("w", "j_tok")))
"""Columns of one cell: figures of other loads are nothing to put between them."""
NOT_MEASURED = "not measured here"


def rows(summaries: Iterable[Summary], own: Own | None = None) -> list[Row]:
    """`own`: whose costs and terms stand beside."""
    return [_row(found, own) for found in systems(summaries)]


def systems(summaries: Iterable[Summary]) -> list[list[Summary]]:
    """The newest first of each recipe, hardware and number of machines; of what runs elsewhere, of each server and model."""
    found: dict[tuple[str, ...], list[Summary]] = {}
    for summary in sorted(summaries, key=lambda summary: summary.started, reverse=True):
        name = (summary.server, summary.model) if summary.server else (summary.recipe, summary.hardware, str(summary.nodes))
        found.setdefault(name, []).append(summary)
    return list(found.values())


def _row(newest_first: list[Summary], own: Own | None) -> Row:
    about = newest_first[0]
    one, load, agentic = (_choose(newest_first, which) for which in (is_single_stream, is_load, _is_agentic))
    entries = {"decode_tok_s": _entry(one, "decode_tok_s"), AGENTIC: _entry(agentic, "e2e_sched_p99_ms", "ms")}
    entries |= {name: _entry(load, name) for name in LOAD}
    entries["concurrency"] = _concurrency(load)
    entries |= dict(_power(load))
    if own is not None:
        entries |= own.of_measured(_newest_sound(newest_first), load)
    return Row(
        id=about.recipe if not about.server else f"{about.server}/{about.model}",
        model=about.model,
        engine=about.engine if not about.server else "",
        quantization=about.quantization,
        nodes=None if about.server else about.nodes,
        hardware=about.hardware,
        provider=about.server,
        entries=entries,
    )


Found = tuple[Summary, Point] | str
"""A cell, or why there is none."""


def _newest_sound(newest_first: list[Summary]) -> Summary:
    """That anything was measured in, where there is one."""
    sound = (summary for summary in newest_first if any(point.verdict == "valid" for point in summary.points))
    return next(sound, newest_first[0])


def _choose(newest_first: list[Summary], key: Callable[[Point], tuple[float, ...] | None]) -> Found:
    """The cell with the highest key in the newest result that has a valid one."""
    unsound = False
    for summary in newest_first:
        ranked = [(rank, point) for point in summary.points if (rank := key(point)) is not None]
        sound = [(rank, point) for rank, point in ranked if point.verdict == "valid"]
        if sound:
            return summary, max(sound, key=lambda pair: pair[0])[1]
        unsound = unsound or bool(ranked)
    return "no cell of this kind was valid" if unsound else NOT_MEASURED


def is_single_stream(point: Point) -> tuple[float, ...] | None:
    """How well it stands for one stream; None: not at all."""
    if point.concurrency != 1 or point.turns > 1:
        return None
    return (point.depth == 0, point.tg == 128, point.pp)


def is_load(point: Point) -> tuple[float, ...] | None:
    """How well it stands for the most streams; None: not at all."""
    return None if point.concurrency is None or point.turns > 1 else (point.concurrency, -point.depth)


def _is_agentic(point: Point) -> tuple[float, ...] | None:
    return (point.rate,) if point.turns > 1 and point.rate is not None and point.rate <= AGENTIC_PER_S else None


def _entry(found: Found, name: str, unit: str | None = None) -> Entry:
    unit = COLUMNS[name].unit if unit is None else unit
    if isinstance(found, str):
        return Entry(unit=unit, why=found)
    summary, point = found
    reading = point.figures.get(name, Reading(reason="this result does not have it"))
    return Entry(
        value=reading.value,
        unit=unit,
        low=reading.low,
        high=reading.high,
        origin="measured",
        date=datetime.date.fromisoformat(summary.started[:10]),
        how=point.shape,
        result=summary.id,
        why="" if reading.value is not None else reading.reason,
    )


def _concurrency(found: Found) -> Entry:
    if isinstance(found, str):
        return Entry(why=found)
    summary, point = found
    return Entry(
        value=point.concurrency,
        origin="measured",
        date=datetime.date.fromisoformat(summary.started[:10]),
        how=point.shape,
        result=summary.id,
    )


def _power(found: Found) -> Iterator[tuple[str, Entry]]:
    """A scope that was not measured is no number of another scope."""
    for scope in POWER_SCOPES:
        for name in (f"{scope}_w", f"{scope}_j_tok"):
            if isinstance(found, str) or name in found[1].figures:
                yield name, _entry(found, name)
            else:
                yield name, Entry(unit=COLUMNS[name].unit, why=f"no sensor gave watts of {scope} scope")
