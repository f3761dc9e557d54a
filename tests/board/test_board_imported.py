"""Others' files on the board: real ones, as llama-benchy 0.4.0 and `vllm bench serve` 0.32.0 wrote them of a server of 50 ms to the first
token and 10 ms for each further one. What is not the same as ours is left out, and nothing stands beside what was measured."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.board import foreign, imported, join, measured, pick, scaling
from harness.board.columns import COLUMNS
from harness.errors import StoreError
from harness.measure.metrics import METRICS
from harness.report import board as report
from harness.report.exports.formats import FORMATS
from harness.schema.board import Row
from harness.schema.foreign import Imported, Taken
from tests.board.systems import point, summary
from tests.report import exported
from tests.report.test_exports import DATA

DAY = datetime.date(2026, 11, 25)
FILES = ("llama-benchy.json", "llama-benchy-context.json", "vllm-chat.json", "vllm-completions.json", "vllm-appended.json")


def _taken(name: str, **changes: object) -> Taken:
    data = (DATA / name).read_bytes()
    return foreign.read(json.dumps(json.loads(data) | changes).encode() if changes else data, name)


def _row(name: str, taken: Taken | None = None, hardware: str = "GB10") -> Row:
    when = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
    about = Imported(sha256="ab" * 32, name=name, when=when, hardware=hardware, source="example.org, a post")
    (row,) = imported.rows([(about, taken or _taken(name))])
    return row


def test_llama_benchys_figures_are_those_of_its_requests() -> None:
    report = json.loads((DATA / "llama-benchy.json").read_text())
    one, four = report["benchmarks"]
    entries = _row("llama-benchy.json").entries
    assert entries["decode_tok_s"].value == pytest.approx(one["tg_req_throughput"]["mean"])
    assert entries["decode_tok_s"].low is not None
    assert entries["ttft_p50_ms"].value == pytest.approx(np.median(four["e2e_ttft"]["values"]))
    assert (entries["ttft_p90_ms"].value, entries["ttft_p90_ms"].why) == (None, "needs 16 more requests")
    assert (entries["concurrency"].value, entries["output_tok_s"].value) == (4, None)
    several = _taken("llama-benchy.json").points[1].figures["decode_tok_s"]
    assert (several.value, several.reason) == (None, "it is a mean over requests; ours weighs each by its time")
    said = entries["decode_tok_s"]
    assert (said.origin, said.date, said.sources[0].url) == ("imported", DAY, "example.org, a post")
    assert said.how.startswith(
        "imported, not verifiable: raw data are missing; pp64 tg32 c1 by llama-benchy 0.4.0; decode rests on"
    )
    assert f"SHA-256 {'ab' * 32}" in said.sources[0].dated


def test_before_0_4_llama_benchy_took_events_for_tokens() -> None:
    for version, known in (
        ("0.3.7", False),
        ("0.4.0", True),
        ("1.0.0", True),
        ("0.10", True),
        ("", False),
        ("spark-harness 0.1.0", True),
    ):
        found = _taken("llama-benchy.json", version=version).points[0].figures["decode_tok_s"]
        assert (found.value is not None) is known, version
        assert known or found.reason == "llama-benchy before 0.4 took events for tokens"


def test_filling_the_cache_is_no_row_and_primed_contexts_say_so() -> None:
    taken = _taken("llama-benchy-context.json")
    assert [found.shape for found in taken.points] == [
        "pp64 tg32 c1",
        "pp64 tg32 c2",
        "d128 pp64 tg32 c1 after a primed context",
        "d128 pp64 tg32 c2 after a primed context",
    ]
    assert "rows of the context phase" in taken.left_out


def test_vllms_ttft_counts_only_where_the_first_event_has_a_token() -> None:
    real = json.loads((DATA / "vllm-completions.json").read_text())
    entries = _row("vllm-completions.json").entries
    assert (entries["ttft_p50_ms"].value, entries["ttft_p90_ms"].value) == (real["median_ttft_ms"], real["p90_ttft_ms"])
    assert entries["ttft_p99_ms"].why == "needs 592 more requests"
    assert entries["concurrency"].value == 8
    (chat,) = _taken("vllm-chat.json").points
    assert chat.figures["ttft_p50_ms"].reason == "vllm bench serve takes an empty first event of a chat for its first token"
    assert chat.figures["output_tok_s_full"].value == json.loads((DATA / "vllm-chat.json").read_text())["output_throughput"]


def test_appended_runs_are_points_of_their_loads() -> None:
    rate, one = _taken("vllm-appended.json").points
    assert (rate.concurrency, rate.rate, one.concurrency, one.rate) == (None, 20.0, 1, None)
    capped = _taken("vllm-chat.json", request_rate=20).points[0]
    assert (capped.concurrency, capped.rate) == (None, 20.0), "a rate with a cap is no closed loop"
    burst = _taken("vllm-chat.json", max_concurrency=None).points[0]
    assert (burst.concurrency, burst.shape) == (None, "pp23 tg32 all at once, lengths on average")
    assert _row("vllm-chat.json", _taken("vllm-chat.json", max_concurrency=None)).entries["concurrency"].value is None


@pytest.mark.parametrize("name", FILES)
def test_every_figure_is_one_of_ours_and_every_entry_has_an_origin_or_says_why_not(name: str) -> None:
    assert all(found.figures.keys() <= METRICS.keys() for found in _taken(name).points)
    (row,) = join.board([], [], day=DAY, imported=[_row(name)]).rows
    assert row.entries.keys() == COLUMNS.keys()
    for column, entry in row.entries.items():
        assert (entry.value is None) == bool(entry.why), column
        assert entry.value is None or (entry.origin == "imported" and entry.date), column


def test_what_is_imported_stands_beside_nothing_that_was_measured() -> None:
    found = summary(point(1, decode_tok_s=41.0, output_tok_s=40.0), recipe="paced", model="paced")
    board = join.board(measured.rows([found]), [], day=DAY, imported=[_row("llama-benchy.json")])
    ours, theirs = board.rows
    assert [(entry.origin, entry.also) for entry in (ours.entries["decode_tok_s"], theirs.entries["decode_tok_s"])] == [
        ("measured", ()),
        ("imported", ()),
    ]
    assert (ours.nodes, theirs.nodes, list(scaling.steps(board))) == (1, None, [])
    shown = report.table(pick.sort(board, "decode_tok_s"), ("decode_tok_s",), width=100, color=False)
    assert "100.2§" in shown
    assert "§ imported from another program's file, not measured here, not verifiable: raw data are missing" in shown


@pytest.mark.parametrize("name", ["llama-benchy", "vllm-bench"])
def test_our_own_export_comes_back(name: str) -> None:
    taken = foreign.read(FORMATS[name](*exported.grid()).text.encode(), name)
    assert [found.concurrency for found in taken.points] == [1, 1, 2]
    ours = exported.grid()[0].cells[0].figures
    if name == "llama-benchy":  # its mean is over requests, ours over runs that weigh each by its time
        assert taken.points[0].figures["decode_tok_s"].value == pytest.approx(ours["decode_tok_s"].value, rel=0.01)
        assert taken.points[0].figures["ttft_p50_ms"].value == pytest.approx(ours["ttft_p50_ms"].value)
    else:
        full = taken.points[0].figures["output_tok_s_full"].value  # all runs are one there
        assert full == pytest.approx(ours["output_tok_s_full"].value, rel=0.01)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda one: st.lists(one, max_size=3))


@given(st.data())
def test_whatever_a_file_holds_it_is_taken_or_refused(data: st.DataObject) -> None:
    """A real file in which something was replaced or left out; and any bytes."""
    whole: Any = json.loads((DATA / data.draw(st.sampled_from(FILES[:4]))).read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        place = whole
        while isinstance(place, dict | list) and place:
            key = (
                data.draw(st.sampled_from(sorted(place)))
                if isinstance(place, dict)
                else data.draw(st.integers(0, len(place) - 1))
            )
            if data.draw(st.booleans()) or not isinstance(place[key], dict | list) or not place[key]:
                if data.draw(st.booleans()):
                    del place[key]
                else:
                    place[key] = data.draw(JSON)
                break
            place = place[key]
    for bytes_ in (json.dumps(whole).encode(), data.draw(st.binary(max_size=50))):
        with suppress(StoreError):
            _row("it.json", foreign.read(bytes_, "it.json"))


def test_names_cannot_steer_a_terminal() -> None:
    taken = _taken("llama-benchy.json", model="evil\x1b[2J\nname", version="0.4.0\x07")
    assert (taken.model, taken.program) == ("evil\\x1b[2J\\nname", "llama-benchy 0.4.0\\x07")
