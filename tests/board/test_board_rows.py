"""Which figure of which result stands on the board, and that nothing stands there without saying where it is from."""

from __future__ import annotations

import datetime

import pytest

from harness.board import join, measured, published
from harness.board.columns import COLUMNS
from harness.schema.board import Board, Row
from harness.schema.recipe import Recipe
from harness.schema.result import Summary
from tests.board.systems import figure, point, recipe, summary

DAY = datetime.date(2026, 11, 25)


def _board(*summaries: Summary, recipes: tuple[Recipe, ...] = ()) -> Board:
    return join.board(measured.rows(summaries), published.rows((each, "sglang") for each in recipes), day=DAY)


def _only(board: Board) -> Row:
    (row,) = board.rows
    return row


def test_one_stream_and_load_are_taken_from_their_own_cells() -> None:
    found = summary(
        point(1, decode_tok_s=41.0, output_tok_s=40.0, ttft_p99_ms=300.0),
        point(4, decode_tok_s=30.0, output_tok_s=110.0, ttft_p99_ms=500.0, gpu_w=60.0, gpu_j_tok=0.5),
        point(16, decode_tok_s=12.0, output_tok_s=180.0, ttft_p99_ms=900.0, gpu_w=70.0, gpu_j_tok=0.4),
    )
    entries = _only(_board(found)).entries
    picked = {name: entries[name].value for name in ("decode_tok_s", "output_tok_s", "concurrency", "ttft_p99_ms", "gpu_w")}
    assert picked == {"decode_tok_s": 41.0, "output_tok_s": 180.0, "concurrency": 16, "ttft_p99_ms": 900.0, "gpu_w": 70.0}
    assert (entries["gpu_w"].how, entries["gpu_w"].result, entries["gpu_w"].date) == (
        "pp2048 tg128 c16",
        "aaaaaa",
        datetime.date(2026, 11, 20),
    )
    assert (entries["wall_w"].value, entries["wall_w"].why) == (None, "no sensor gave watts of wall scope")


def test_the_leaderboards_cell_is_preferred_among_those_of_one_stream() -> None:
    found = summary(point(1, tg=32, decode_tok_s=44.0), point(1, decode_tok_s=41.0), point(1, depth=8192, decode_tok_s=30.0))
    assert _only(_board(found)).entries["decode_tok_s"].value == 41.0


def test_the_newest_sound_result_counts() -> None:
    board = _board(
        summary(point(1, decode_tok_s=40.0), ident="older", day="2026-11-18"),
        summary(point(1, decode_tok_s=41.0), ident="newer", day="2026-11-19"),
        summary(point(1, verdict="invalid", decode_tok_s=99.0), ident="newest", day="2026-11-20"),
    )
    assert (_only(board).entries["decode_tok_s"].value, _only(board).entries["decode_tok_s"].result) == (41.0, "newer")


@pytest.mark.parametrize("verdict", ["invalid", "unsteady"])
def test_a_cell_that_is_not_valid_gives_no_figure(verdict: str) -> None:
    entry = _only(_board(summary(point(1, verdict=verdict, decode_tok_s=41.0)))).entries["decode_tok_s"]
    assert (entry.value, entry.why) == (None, "no cell of this kind was valid")


def test_the_agentic_column_is_of_the_articles_rate() -> None:
    found = summary(
        point(None, rate=3.333, turns=10, e2e_sched_p99_ms=1800.0),
        point(None, rate=13.333, turns=10, e2e_sched_p99_ms=9000.0),
        point(None, rate=2.0, e2e_sched_p99_ms=100.0),
    )
    assert _only(_board(found)).entries["agentic_p99_ms"].value == 1800.0


def test_hardware_and_machines_are_rows_of_their_own() -> None:
    board = _board(
        summary(point(1, decode_tok_s=41.0)),
        summary(point(1, decode_tok_s=4.0), hardware="AMD EPYC"),
        summary(point(1, decode_tok_s=70.0), nodes=2),
    )
    assert {(row.hardware, row.nodes): row.entries["decode_tok_s"].value for row in board.rows} == {
        ("GB10", 1): 41.0,
        ("AMD EPYC", 1): 4.0,
        ("GB10", 2): 70.0,
    }
    assert len({row.id for row in board.rows if row.nodes == 1}) == 2


def test_what_was_measured_stands_before_what_was_published() -> None:
    board = _board(summary(point(1, decode_tok_s=39.0)), recipes=(recipe(figure("decode_tok_s", 41.0)),))
    entry = _only(board).entries["decode_tok_s"]
    assert (entry.value, entry.origin) == (39.0, "measured")
    assert [(other.value, other.origin, other.sources[0].url) for other in entry.also] == [
        (41.0, "published", "example.org, a post")
    ]


def test_what_was_published_of_another_load_is_not_put_between_what_was_measured() -> None:
    """Four streams were measured, without a steady rate or watts: those of 64 are no figures of theirs."""
    theirs = recipe(figure("output_tok_s", 315.2, concurrency=64), figure("gpu_w", 44.0, "W", concurrency=64))
    entries = _only(_board(summary(point(4, ttft_p50_ms=90.0)), recipes=(theirs,))).entries
    assert [entries[name].value for name in ("concurrency", "output_tok_s", "gpu_w", "ttft_p50_ms")] == [4, None, None, 90.0]
    assert [entries[name].also[0].value for name in ("concurrency", "output_tok_s", "gpu_w")] == [64, 315.2, 44.0]
    entries = _only(_board(summary(point(1, verdict="invalid")), recipes=(theirs,))).entries
    assert [entries[name].value for name in ("concurrency", "output_tok_s", "gpu_w")] == [64, 315.2, 44.0]


def test_published_watts_stand_beside_their_own_streams_alone() -> None:
    load = figure("output_tok_s", 315.2, concurrency=64)
    other = figure("gpu_w", 44.0, "W")
    doubtful = figure("gpu_w", 44.0, "W", concurrency=None, not_tested="of which load")
    for watts in (other, doubtful):
        entry = _only(_board(recipes=(recipe(load, watts),))).entries["gpu_w"]
        assert (entry.value, entry.also[0].value) == (None, 44.0)
        assert entry.why == "44 W were published, of another load or of none that is said"
    mine = figure("gpu_w", 60.0, "W", concurrency=64)
    entry = _only(_board(recipes=(recipe(load, other, mine),))).entries["gpu_w"]
    assert (entry.value, entry.also[0].value) == (60.0, 44.0)
    assert _only(_board(recipes=(recipe(figure("decode_tok_s", 54.0), other),))).entries["gpu_w"].value == 44.0


def test_published_figures_of_a_gb10_are_not_joined_to_another_machine() -> None:
    board = _board(summary(point(1, decode_tok_s=4.0), hardware="AMD EPYC"), recipes=(recipe(figure("decode_tok_s", 41.0)),))
    assert {row.id: row.entries["decode_tok_s"].value for row in board.rows} == {"mistral": 41.0, "mistral @ AMD EPYC": 4.0}


def test_of_published_figures_the_one_of_this_setup_stands_first() -> None:
    found = recipe(
        figure("decode_tok_s", 69.0, not_tested="another image"),
        figure("decode_tok_s", 36.5, tg=None, concurrency=None, date="2026-05"),
        figure("decode_tok_s", 41.0),
    )
    entry = _only(_board(recipes=(found,))).entries["decode_tok_s"]
    assert (entry.value, [other.value for other in entry.also]) == (41.0, [36.5, 69.0])
    assert "not this setup: another image" in entry.also[1].how
    assert (entry.also[0].date, entry.also[0].sources[0].dated) == (datetime.date(2026, 5, 1), "2026-05")


def test_a_published_mean_is_no_percentile_and_watts_without_a_scope_are_none() -> None:
    found = recipe(
        figure("decode_tok_s", 41.0), figure("ttft_ms", None, "ms", low=200.0, high=600.0), figure("power_w", 140.0, "W")
    )
    entries = _only(_board(recipes=(found,))).entries
    assert (entries["ttft_p50_ms"].value, entries["ttft_p50_ms"].why) == (
        None,
        "published as 200 to 600 ms without saying which percentile",
    )
    assert (entries["wall_w"].value, entries["wall_w"].why) == (None, "140 W were published without saying of what")


def test_every_entry_has_a_value_with_an_origin_or_says_why_not() -> None:
    board = _board(
        summary(point(1, decode_tok_s=39.0), point(8, output_tok_s=100.0)), recipes=(recipe(figure("decode_tok_s", 41.0)),)
    )
    for row in board.rows:
        assert row.entries.keys() == COLUMNS.keys()
        for name, entry in row.entries.items():
            assert (entry.value is None) == bool(entry.why), name
            assert (entry.value is None) or (entry.origin and entry.date), name
