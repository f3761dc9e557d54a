"""Ratings, prices and terms on the board: each stands on a source, and goes with it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from harness.board import join, measured, offers, own, published, quality
from harness.facts import load, prices
from harness.schema.board import Board, Entry
from harness.schema.facts import Fact, Facts, Source
from tests.board.systems import figure, point, recipe, summary

DAY = datetime.date(2026, 11, 25)
MISTRAL = "mistralai/Mistral-Small-4-119B-2603-NVFP4"
CHOSEN = ("elo_gap", "win_rate", "break_even_closed_days")
"""Columns that are against the best closed model: which that is, rests on whatever is said of all the others."""


@cache
def _facts() -> Facts:
    return load.load()


def _board(facts: Facts, *, measured_of: tuple[Any, ...] = ()) -> Board:
    listed = prices.every(facts, DAY)
    recipes = [
        (recipe(figure("decode_tok_s", 41.0), figure("gpu_w", 44.0, "W"), name="mistral-small-4-nvfp4-eagle"), "sglang"),
        (recipe(figure("decode_tok_s", 31.0), name="here"), "sglang"),
    ]
    load = point(8, output_tok_s=160.0, system_w=110.0, system_idle_w=30.0)
    here = summary(load, recipe="here", model=MISTRAL)
    ours = own.Own(facts, DAY, seat="DE")
    rows = [
        offers.named(row, prices.at(row.provider, row.model, DAY), listed) if row.provider else row
        for row in measured.rows((here, *measured_of), ours)
    ]
    theirs = published.rows(((msgspec.structs.replace(one, model=MISTRAL), engine) for one, engine in recipes), ours)
    return join.board(rows, theirs, day=DAY, facts=facts, offers=offers.rows(facts, listed))


def _entries(board: Board) -> dict[tuple[str, str], Entry]:
    return {(row.id, name): entry for row in board.rows for name, entry in row.entries.items()}


def _changed(facts: Facts, change: Callable[[Fact[Any]], Fact[Any]]) -> Facts:
    """Every fact of every row through `change`."""

    def of_row(row: Any) -> Any:
        names = [name for name in row.__struct_fields__ if isinstance(getattr(row, name), Fact)]
        return msgspec.structs.replace(row, **{name: change(getattr(row, name)) for name in names})

    tables = {name: tuple(of_row(row) for row in getattr(facts, name)) for name in Facts.__struct_fields__}
    return Facts(**tables)


def _without(source: Source) -> Callable[[Fact[Any]], Fact[Any]]:
    def change(fact: Fact[Any]) -> Fact[Any]:
        left = tuple(one for one in fact.sources if one != source)
        if len(left) == len(fact.sources):
            return fact
        return msgspec.structs.replace(fact, sources=left) if left else Fact(why="no source")

    return change


def test_quality_is_the_articles() -> None:
    """1420 against 1503: 83 points, and 1 / (1 + 10^(83/400)) = 0.3828 of the votes."""
    row = next(row for row in _board(_facts()).rows if row.id == "mistral-small-4-nvfp4-eagle")
    assert (row.entries["elo"].value, row.entries["elo_gap"].value) == (1420.0, 83.0)
    assert float(row.entries["win_rate"].value or 0) == pytest.approx(0.3828, abs=1e-4)
    assert "- Mistral Small 4 119B NVFP4 + EAGLE 1420" in row.entries["elo_gap"].how
    assert row.entries["elo_gap"].how.startswith("Claude Opus 4.7 1503")
    assert row.entries["elo"].date == datetime.date(2026, 4, 29)


def test_a_model_without_a_name_here_has_no_rating() -> None:
    found = quality.entries(_facts(), None)
    assert {(entry.value, entry.why) for entry in found.values()} == {(None, quality.NOT_NAMED)}


def test_the_articles_prices_are_not_what_is_listed() -> None:
    found = _entries(_board(_facts()))
    assert found["claude-opus-4.7 @ anthropic", "usd_mtok_out"].value == 25.0
    assert found["gpt-5.5-high @ openai", "usd_mtok_out"].value == 30.0
    assert found["mistral-small-4 @ mistral", "usd_mtok_out"].value == 0.6


def test_what_is_measured_of_an_api_stands_in_its_offers_row() -> None:
    served = summary(point(1, ttft_p50_ms=400.0), server="https://api.mistral.ai", model="mistral-small-2603", hardware="")
    board = _board(_facts(), measured_of=(served,))
    found = _entries(board)
    assert found["mistral-small-4 @ mistral", "ttft_p50_ms"].value == 400.0
    assert found["mistral-small-4 @ mistral", "usd_mtok_out"].value == 0.6
    assert len({row.id for row in board.rows}) == len(board.rows)
    elsewhere = summary(point(1, ttft_p50_ms=400.0), server="https://llm.example.org", model="a-model", hardware="")
    rows = [row for row in _board(_facts(), measured_of=(elsewhere,)).rows if "example" in row.id]
    assert [row.entries["usd_mtok_out"].value for row in rows] == [None]


def test_an_entry_goes_with_its_last_source_and_no_other_does() -> None:
    """Of every source in turn. Prices stand on the package's own list, which is not a row here."""
    facts = _facts()
    before = _entries(_board(facts))
    sources = {source for entry in before.values() for source in entry.sources if source.kind != "package"}
    rows = {source for table in Facts.__struct_fields__ for row in getattr(facts, table) for source in _sources(row)}
    assert sources & rows
    for source in sources & rows:
        after = _entries(_board(_changed(facts, _without(source))))
        for name, entry in before.items():
            if entry.sources == (source,) and entry.value is not None:
                assert after[name].value is None, (name, source.url)
                assert after[name].why
            elif source not in entry.sources and name[1] not in CHOSEN:
                assert after[name] == entry, (name, source.url)


def _sources(row: Any) -> set[Source]:
    facts = [getattr(row, name) for name in row.__struct_fields__]
    return {source for fact in facts if isinstance(fact, Fact) for source in fact.sources}


def test_every_entry_says_where_it_is_from_or_why_there_is_none() -> None:
    for name, entry in _entries(_board(_facts())).items():
        assert (entry.value is None) == bool(entry.why), name
        if entry.value is not None:
            assert entry.origin, name
            assert entry.date, name
            assert entry.sources or entry.result, name
