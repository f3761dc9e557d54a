"""Each kind of page: the board, load and machines, the results, one result, the facts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from harness.board import scaling
from harness.board.columns import COLUMNS, NARROW
from harness.board.pick import ABOUT
from harness.measure import observation
from harness.report import about, plan_text, table, text
from harness.report import board as words
from harness.report import facts as fact_words
from harness.report.site import page, pictures
from harness.schema.board import Board, Entry, Row
from harness.schema.facts import OLD_DAYS, Source, claims, row_id
from harness.schema.observation import Visit
from harness.schema.plan import Plan
from harness.schema.result import Point, Result, Summary
from harness.schema.series import Series

MOST_SYSTEMS = 40
MOST_RESULTS = 3000
"""Of what one page shows: it stays below 2 MB."""


class Cited(msgspec.Struct):
    """Sources of a page by number, each once."""

    numbers: dict[Source, int] = {}

    def number(self, source: Source) -> int:
        return self.numbers.setdefault(source, len(self.numbers) + 1)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the page has it. `anchor`: where it is explained."""

    text: str
    sort: float | str | None
    anchor: str
    origin: str


def board(
    found: Board, known_pages: frozenset[str] = frozenset(), observations: Mapping[str, Sequence[Visit]] = MappingProxyType({})
) -> str:
    """`known_pages`: ids of results that have a page; `observations` have one each."""
    cited = Cited()
    names, empty = words.split(found, list(COLUMNS))
    rows = [_row(number, row, names, found.day, cited, known_pages) for number, row in enumerate(found.rows)]
    return page.render(
        "index.html",
        up="",
        names=names,
        columns=COLUMNS,
        groups=list(dict.fromkeys(COLUMNS[name].group for name in names)),
        narrow=set(NARROW),
        about=[name for name in ABOUT if name != "id"],
        rows=rows,
        empty=empty,
        board=found,
        observations=[(name, len(observation.by_server(visits)), visits) for name, visits in observations.items()],
        legend=words.LEGEND.values(),
        sources=[(number, source, age(source.date, found.day)) for source, number in cited.numbers.items()],
        plot=pictures.quality(found, [f"#r{number}" for number in range(len(found.rows))]),
        sizes=[(dollars, pictures.radius(dollars)) for dollars in (0.1, 5.0, 25.0, 50.0)],
    )


def _row(
    number: int, row: Row, names: Sequence[str], day: datetime.date, cited: Cited, known_pages: frozenset[str]
) -> dict[str, object]:
    reasons: dict[str, list[str]] = {}
    besides: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for name in COLUMNS:
        if (entry := row.entries[name]).value is None:
            reasons.setdefault(entry.why, []).append(words.header(name))
            others = ((words.header(name), evidence(other, day, cited, known_pages)) for other in entry.also)
            besides.setdefault(entry.why, []).extend(others)
    places = {why: f"n{number}-{place}" for place, why in enumerate(reasons)}
    cells, known = [], []
    for name in COLUMNS:
        entry = row.entries[name]
        anchor = f"e{number}-{name}" if entry.value is not None else places[entry.why]
        if name in names:
            mark = words.mark(entry) if entry.value is not None else ""
            cells.append((name, Shown(text=words.value(entry) + mark, sort=_sort(entry), anchor=anchor, origin=entry.origin)))
        if entry.value is not None:
            also = [evidence(other, day, cited, known_pages) for other in entry.also]
            known.append((anchor, words.header(name), evidence(entry, day, cited, known_pages), also))
    return {
        "number": number,
        "row": row,
        "label": words.label(row),
        "cells": cells,
        "known": known,
        "reasons": [(places[why], headers, why, besides[why]) for why, headers in reasons.items()],
        "measured": any(entry.origin == "measured" for entry in row.entries.values()),
    }


def evidence(entry: Entry, day: datetime.date, cited: Cited, known_pages: frozenset[str]) -> dict[str, object]:
    """An entry in words: value, interval, where from, how old."""
    interval = ""
    if entry.low is not None and entry.high is not None and entry.low != entry.high:
        interval = f"{entry.low:,.6g} to {entry.high:,.6g}"
    return {
        "value": f"{words.value(entry)} {entry.unit}".strip(),
        "interval": interval,
        "origin": entry.origin,
        "date": entry.date,
        "age": age(entry.date, day),
        "how": entry.how,
        "why": entry.why,
        "result": entry.result,
        "has_page": entry.result in known_pages,
        "sources": [cited.number(source) for source in entry.sources],
    }


def age(date: datetime.date | None, day: datetime.date) -> str:
    if date is None:
        return ""
    days = (day - date).days
    return "today" if days == 0 else f"{days} days old" if days != 1 else "1 day old"


def _sort(entry: Entry) -> float | str | None:
    if isinstance(entry.value, bool):
        return words.value(entry)
    return float(entry.value) if isinstance(entry.value, int) else entry.value


def load(found: Board, newest: Sequence[Summary]) -> str:
    """`newest`: of each system its newest result."""
    steps = list(scaling.steps(found))
    drawn = [(summary, [picture for picture in pictures.loads(summary) if picture.svg]) for summary in newest]
    systems = [(summary, found) for summary, found in drawn if found]
    return page.render(
        "load.html",
        up="",
        steps=[(step, words.value(step.entry), words.mark(step.entry)) for step in steps],
        picture=pictures.scaling(steps),
        systems=systems[:MOST_SYSTEMS],
        more=max(0, len(systems) - MOST_SYSTEMS),
        board=found,
    )


def results(summaries: Sequence[Summary], damaged: Sequence[str]) -> str:
    """Newest first."""
    newest = sorted(summaries, key=lambda one: one.started, reverse=True)
    return page.render(
        "results.html",
        up="",
        results=newest[:MOST_RESULTS],
        more=max(0, len(newest) - MOST_RESULTS),
        number=text.number,
        damaged=damaged,
    )


def result(
    found: Result, plan: Plan, recipe: str, series: Series, points: Sequence[Point], *, where: str, in_site: bool
) -> str:
    """`where` it lies, as the page says it; `in_site`: other pages are beside it."""
    shapes = [(name, head) for head, name in table.COLUMNS]
    cells = [(cell, [table.cell_figure(cell, name) for name, _ in shapes]) for cell in found.cells]
    kept = [index for index in range(len(shapes)) if any(row[index] not in ("", table.MISSING) for _, row in cells)]
    return page.render(
        "result.html",
        up="../" if in_site else "",
        in_site=in_site,
        result=found,
        plan=plan,
        recipe=recipe,
        heads=[shapes[index][1] for index in kept],
        cells=[(cell, [row[index] for index in kept]) for cell, row in cells],
        power_heads=[head for head, _ in table.POWER],
        powers=[
            (cell.cell.words, scope, [table.watts(cell, f"{scope}_{name}") for _, name in table.POWER], reading)
            for cell in found.cells
            for scope, reading in cell.power.items()
        ],
        remarks=list(table.remarks(found)),
        legend=table.LEGEND,
        facts=[line.partition(" ") for line in about.of(found, Path(where))],
        pictures=pictures.of_result(found, series, points),
        command=plan_text.render(plan, width=100, color=False),
        verdict=next((one for one in ("invalid", "unsteady", "valid") if one in {cell.verdict for cell in found.cells}), ""),
        figure=text.figure,
    )


def facts(found: Mapping[str, Sequence[msgspec.Struct]], day: datetime.date) -> str:
    """Every table, row by row."""
    cited = Cited()
    tables = [
        (
            name,
            [
                {
                    "id": row_id(row),
                    "says": fact_words.says(row),
                    "age": fact_words.oldest(row, day),
                    "old": any(fact.is_old(day) for _, fact in claims(row)),
                    "plain": _plain(row),
                    "claims": [
                        (field, fact_words.known(fact), fact.note, [cited.number(source) for source in fact.sources])
                        for field, fact in claims(row)
                    ],
                }
                for row in rows
            ],
        )
        for name, rows in found.items()
    ]
    return page.render(
        "facts.html",
        up="",
        tables=tables,
        day=day,
        old_days=OLD_DAYS,
        attribution=fact_words.ATTRIBUTION,
        sources=[(number, source, age(source.date, day)) for source, number in cited.numbers.items()],
    )


def _plain(row: msgspec.Struct) -> list[tuple[str, str]]:
    known = {name for name, _ in claims(row)}
    return [
        (name, fact_words.said(value))
        for name in row.__struct_fields__
        if name not in known and (value := getattr(row, name)) not in (None, "", ())
    ]
