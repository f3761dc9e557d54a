from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from harness.board import join, measured, pick, scaling
from harness.board.columns import COLUMNS
from harness.errors import UsageError
from harness.schema.board import Board
from tests.board.systems import point, summary


def _board() -> Board:
    rows = measured.rows(
        [
            summary(point(1, decode_tok_s=41.0), point(8, ttft_p99_ms=900.0), recipe="middle"),
            summary(point(1, decode_tok_s=106.0), point(8, ttft_p99_ms=200.0), recipe="fast"),
            summary(point(1, decode_tok_s=14.0), recipe="slow"),
        ]
    )
    return join.board(rows, [], day=datetime.date(2026, 11, 25))


def _ids(board: Board) -> list[str]:
    return [row.id for row in board.rows]


def test_the_best_comes_first_whichever_way_is_better_and_the_unknown_last() -> None:
    assert _ids(pick.sort(_board(), "decode_tok_s")) == ["fast", "middle", "slow"]
    assert _ids(pick.sort(_board(), "-decode_tok_s")) == ["slow", "middle", "fast"]
    assert _ids(pick.sort(_board(), "ttft_p99_ms")) == ["fast", "middle", "slow"]
    assert _ids(pick.sort(_board(), "-ttft_p99_ms")) == ["middle", "fast", "slow"]


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        (["decode_tok_s>41"], ["fast"]),
        (["decode_tok_s >= 41"], ["middle", "fast"]),
        (["decode_tok_s!=41"], ["fast", "slow"]),
        (["ttft_p99_ms<1000"], ["middle", "fast"]),
        (["id~LOW"], ["slow"]),
        (["engine=SGLang", "decode_tok_s<100"], ["middle", "slow"]),
        (["wall_w<1000"], []),
        (["ttft_p99_ms!=200"], ["middle"]),
    ],
)
def test_rows_are_kept_whose_conditions_are_known_to_hold(conditions: list[str], kept: list[str]) -> None:
    assert _ids(pick.keep(_board(), conditions)) == kept


@pytest.mark.parametrize("condition", ["decode_tok_s", "decode>5", "decode_tok_s>fast", ">5", ""])
def test_a_condition_that_cannot_be_one_is_refused(condition: str) -> None:
    with pytest.raises(UsageError):
        pick.keep(_board(), [condition])


def test_columns_are_named_alone_or_by_group() -> None:
    assert pick.columns("elo,speed")[:2] == ("elo", "decode_tok_s")
    assert set(pick.columns("all")) == COLUMNS.keys()
    with pytest.raises(UsageError) as error:
        pick.columns("decode_tok")
    assert "decode_tok_s" in error.value.hint


def test_columns_that_were_not_asked_for_are_left_out() -> None:
    assert {tuple(row.entries) for row in pick.only(_board(), ("elo", "seal")).rows} == {("elo", "seal")}


def test_what_added_machines_brought() -> None:
    """The article's 75.96 on two and 63.10 on four, beside 58.82 on one."""
    rows = measured.rows(
        summary(point(1, decode_tok_s=speed), recipe=f"oss-{nodes}x", nodes=nodes)
        for nodes, speed in ((1, 58.82), (2, 75.96), (4, 63.10))
    )
    steps = list(scaling.steps(join.board(rows, [], day=datetime.date(2026, 11, 25))))
    assert [(step.nodes, round(step.speedup or 0, 2), round(step.efficiency or 0, 2)) for step in steps] == [
        (1, 1.0, 1.0),
        (2, 1.29, 0.65),
        (4, 1.07, 0.27),
    ]


def test_streams_must_be_as_many_to_be_compared() -> None:
    rows = measured.rows(
        [
            summary(point(8, output_tok_s=100.0), recipe="one"),
            summary(point(16, output_tok_s=200.0), recipe="two", nodes=2),
        ]
    )
    one, two = scaling.steps(join.board(rows, [], day=datetime.date(2026, 11, 25)))
    assert (one.speedup, two.speedup, two.why) == (1.0, None, "one machine has a figure of 8 streams")


def test_without_one_machine_there_is_no_speedup() -> None:
    rows = measured.rows(summary(point(1, decode_tok_s=70.0), recipe=f"{nodes}x", nodes=nodes) for nodes in (2, 4))
    steps = list(scaling.steps(join.board(rows, [], day=datetime.date(2026, 11, 25))))
    assert [(step.speedup, step.why) for step in steps] == [(None, "no figure of one machine")] * 2


def test_every_column_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "board.md").read_text()
    rows = [line for line in document.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {one.group} | {one.unit} | {one.text} |" for name, one in COLUMNS.items()]
