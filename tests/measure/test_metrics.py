"""Whole cells: golden figures, what must hold for every cell, and that the page for users names what there is."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.metrics import HIGHER, LOWER, METRICS, cell_result
from harness.schema.request import CONTENT, ROLE, Event, Record, ServerTimings
from harness.schema.result import CellResult, Figure
from harness.schema.run import Trial
from harness.schema.workload import Cell
from tests.measure.streams import NO_HITS, TG, back_to_back, cell, client, even, failed, keyed, speculative, stream, trial

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def result(runs: list[list[Record]], of: Cell | None = None, counters: dict[str, float] | None = None) -> CellResult:
    trials = [trial(index, counters=counters) for index in range(len(runs))]
    return cell_result(of or cell(), trials, keyed(runs), stopped_by="runs")


def test_golden_cell() -> None:
    """Six answers at 100 tok/s and six at 50, one stream."""
    found = result([back_to_back(6), back_to_back(6, ttft=120, step=20)])
    assert (found.verdict, found.trials, found.sent, found.valid, found.excluded) == ("valid", 2, 12, 12, {})
    assert [finding.code for finding in found.findings] == ["steadiness_untested"]
    expected = {
        "decode_tok_s": 75.0,
        "decode_tok_s_n1": 75.0,
        "prefill_tok_s": (5120 + 512 / 0.12) / 2,
        "output_tok_s": (8 / 0.17 + 8 / 0.26) / 2,
        "output_tok_s_full": (8 / 0.17 + 8 / 0.26) / 2,
        "request_s": (1 / 0.17 + 1 / 0.26) / 2,
        "ttft_ms": 110.0,
        "ttft_p50_ms": 110.0,
        "ttft_content_p50_ms": 110.0,
        "ttfr_p50_ms": 55.0,
        "tpot_p50_ms": 15.0,
        "event_gap_p50_ms": 15.0,
        "e2e_p50_ms": 215.0,
        "tokens_per_event": 1.0,
        "prompt_tokens": 512.0,
        "completion_tokens": 8.0,
        "cached_share": 0.0,
        "cached_share_counters": 0.0,
        "in_flight": 1.0,
        "client_cpu_share": 0.05,
        "client_send_lag_p99_ms": 0.05,
        "client_loop_lag_p99_ms": 0.02,
    }
    assert {name: figure.value for name, figure in found.figures.items() if figure.value is not None} == pytest.approx(expected)
    decode = found.figures["decode_tok_s"]
    assert (decode.n, decode.basis, decode.unit) == (2, "runs", "tok/s")
    assert (decode.low, decode.high) == pytest.approx((75 - 12.7062047 * 25, 75 + 12.7062047 * 25))
    ttft = found.figures["ttft_p50_ms"]
    assert (ttft.low, ttft.high, ttft.n, ttft.basis) == (100.0, 120.0, 12, "requests")
    reasons = {name: figure.reason for name, figure in found.figures.items() if figure.value is None}
    assert reasons["ttft_p90_ms"] == "needs 52 more requests"
    assert reasons["e2e_p99_ms"] == "needs 650 more requests"
    assert reasons["event_gap_p99_ms"] == "needs 620 more gaps"
    assert reasons["acceptance_length"] == reasons["steps_s"] == "the engine counted no drafts"
    assert reasons["engine_decode_tok_s"] == "the server gave no timings with its answers"


def test_golden_speculation() -> None:
    """5 tokens in 100 ms after a first event of 3; L = 1 + 30/20."""
    counters = {**NO_HITS, "spec_drafts": 20.0, "spec_accepted_tokens": 30.0}
    runs = [[speculative(k * 300, index=k) for k in range(4)]] * 3
    figures = result(runs, counters=counters).figures
    assert figures["decode_tok_s"].value == pytest.approx(50.0)
    assert figures["decode_tok_s_n1"].value == pytest.approx(70.0)
    assert figures["acceptance_length"].value == pytest.approx(2.5)
    assert figures["steps_s"].value == pytest.approx(20.0)
    assert figures["tokens_per_event"].value == pytest.approx(8 / 3)
    assert figures["tpot_p50_ms"].value == pytest.approx(20.0)
    assert figures["event_gap_p50_ms"].reason == "needs 3 more gaps"


def test_engine_rates_from_timings() -> None:
    timings = ServerTimings(prefill_tokens=512, prefill_ms=80.0, decode_tokens=8, decode_ms=70.0)
    runs = [[msgspec.structs.replace(record, timings=timings) for record in back_to_back(3)]]
    figures = result(runs).figures
    assert figures["engine_decode_tok_s"].value == pytest.approx(100.0)
    assert figures["engine_prefill_tok_s"].value == pytest.approx(6400.0)


def test_round_trip_from_the_client() -> None:
    trials = [trial(report=client(rtt_ns=20_000_000))]
    figures = cell_result(cell(), trials, {0: back_to_back(2)}, stopped_by="runs").figures
    assert figures["prefill_tok_s"].value == pytest.approx(512 / 0.08)


def test_unsaid_cache_is_none_where_the_counters_show_it() -> None:
    bare = [[stream((100, CONTENT, 4), (200, CONTENT, 4), cached=None, send=k * 300, index=k) for k in range(3)]]
    assert result(bare).figures["prefill_tok_s"].value == pytest.approx(5120.0)
    unknown = result(bare, counters={}).figures["prefill_tok_s"]
    assert unknown.value is None
    assert "cached" in (unknown.reason or "")
    hits = {"cached_tokens": 205.0, "cache_queries_tokens": 4096.0}
    assert result(bare, counters=hits).figures["prefill_tok_s"].value is None
    assert result(bare, cell(prefix_caching=True)).figures["prefill_tok_s"].value is None


def test_only_measured_requests_have_figures() -> None:
    slow = [even(-5000, ttft=2000, step=100, phase=phase, index=20) for phase in ("warmup", "prime")]
    assert values(result([[*slow, *back_to_back(12)]])) == values(result([back_to_back(12)]))


def test_failed_requests_are_kept_and_counted() -> None:
    found = result([[*back_to_back(11), failed(1870, 500, index=11), even(2400, tg=5, asked=8, index=12)]])
    assert (found.sent, found.valid, found.excluded) == (13, 11, {"timeout": 1, "wrong_length": 1})
    assert found.verdict == "invalid"
    assert found.figures["request_s"].value == pytest.approx(11 / 2.54)
    assert found.figures["ttft_p50_ms"].n == 11


def test_nothing_but_failures() -> None:
    found = result([[failed(k * 10, 10, index=k) for k in range(5)]])
    assert found.verdict == "invalid"
    assert found.figures["output_tok_s_full"].value == 0
    assert found.figures["decode_tok_s"].reason == found.figures["ttft_p50_ms"].reason == "no request counts"
    assert_every_unknown_has_a_reason(found)


def test_no_trials() -> None:
    found = result([])
    assert (found.sent, found.valid, found.verdict) == (0, 0, "invalid")
    assert_every_unknown_has_a_reason(found)


def test_records_of_a_trial_are_found_by_its_index() -> None:
    trials = [trial(7), trial(3)]
    found = cell_result(cell(), trials, {3: back_to_back(2), 7: back_to_back(3), 5: back_to_back(50)}, stopped_by="runs")
    assert (found.trials, found.sent) == (2, 5)


def values(found: CellResult) -> dict[str, tuple[float | None, float | None, float | None]]:
    return {name: (figure.value, figure.low, figure.high) for name, figure in found.figures.items()}


def assert_every_unknown_has_a_reason(found: CellResult) -> None:
    assert list(found.figures) == list(METRICS)
    for name, figure in found.figures.items():
        assert figure.unit == METRICS[name].unit
        assert figure.value is None or math.isfinite(figure.value)
        if figure.value is None or figure.low is None:
            assert figure.reason, name
        else:
            assert figure.high is not None
            assert figure.low <= figure.value * (1 + 1e-12) + 1e-12
            assert figure.value <= figure.high * (1 + 1e-12) + 1e-12


# what must hold for every cell

Plain = tuple[int, tuple[list[Record], ...]]


@st.composite
def cells(draw: st.DrawFn) -> Plain:
    """(concurrency, runs): closed loops of one to three slots, whose events carry one to three tokens. Whole milliseconds."""
    concurrency = draw(st.integers(1, 3))
    runs = []
    for _ in range(draw(st.integers(1, 3))):
        free = [0] * concurrency
        records = []
        for index in range(draw(st.integers(concurrency + 1, 14))):
            slot = free.index(min(free))
            first, step = draw(st.integers(1, 300)), draw(st.integers(1, 40))
            record = _answer(free[slot], first, step, draw(st.integers(1, 3)), index, slot)
            records.append(record)
            free[slot] = record.t_end_ns // 1_000_000 + draw(st.integers(0, 2))
        runs.append(records)
    return concurrency, tuple(runs)


def _answer(send: int, first: int, step: int, together: int, index: int, slot: int) -> Record:
    starts = range(0, TG, together)
    arrivals = [(first + step * place, CONTENT, min(together, TG - start)) for place, start in enumerate(starts)]
    return stream((1, ROLE, None), *arrivals, send=send, index=index, slot=slot, phase="warmup" if index == 0 else "measure")


def measure(concurrency: int, runs: tuple[list[Record], ...]) -> CellResult:
    counters = {**NO_HITS, "spec_drafts": 40.0, "spec_accepted_tokens": 50.0}
    trials: list[Trial] = [trial(index, counters=counters) for index in range(len(runs))]
    return cell_result(cell(concurrency), trials, keyed(runs), stopped_by="runs")


@settings(max_examples=60, deadline=None)
@given(cells())
def test_figures_are_finite_and_explained(plain: Plain) -> None:
    found = measure(*plain)
    assert_every_unknown_has_a_reason(found)
    assert found.sent == found.valid + sum(found.excluded.values())
    assert msgspec.json.decode(msgspec.json.encode(found), type=CellResult) == found


@settings(max_examples=60, deadline=None)
@given(cells(), st.integers(2, 9))
def test_slower_time_scales_every_figure(plain: Plain, factor: int) -> None:
    concurrency, runs = plain
    before = measure(concurrency, runs).figures
    after = measure(concurrency, tuple([_slower(record, factor) for record in run] for run in runs)).figures
    for name, metric in METRICS.items():
        if name.startswith("client"):
            continue
        scale = factor if metric.unit == "ms" else 1 / factor if metric.unit.endswith("/s") else 1
        for part in ("value", "low", "high"):
            one, two = getattr(before[name], part), getattr(after[name], part)
            assert (one is None) == (two is None)
            assert one is None or two == pytest.approx(one * scale, rel=1e-9, abs=1e-9), (name, part)


def _slower(record: Record, factor: int) -> Record:
    return msgspec.structs.replace(
        record,
        t_sched_ns=record.t_sched_ns * factor,
        t_send_ns=record.t_send_ns * factor,
        t_end_ns=record.t_end_ns * factor,
        events=tuple(Event(event.t_ns * factor, event.kind, event.text, event.tokens) for event in record.events),
    )


@settings(max_examples=60, deadline=None)
@given(cells(), st.randoms(use_true_random=False))
def test_order_of_requests_does_not_matter(plain: Plain, random: object) -> None:
    concurrency, runs = plain
    shuffled = [list(run) for run in runs]
    for run in shuffled:
        random.shuffle(run)  # type: ignore[attr-defined]
    assert measure(concurrency, tuple(shuffled)) == measure(concurrency, runs)


@settings(max_examples=60, deadline=None)
@given(cells(), st.lists(st.tuples(st.integers(0, 2), st.integers(-500, 5000), st.integers(1, 3000)), min_size=1, max_size=6))
def test_failed_requests_never_improve_a_figure(plain: Plain, failures: list[tuple[int, int, int]]) -> None:
    concurrency, runs = plain
    worse = [list(run) for run in runs]
    for number, (run, send, took) in enumerate(failures):
        worse[run % len(worse)].append(failed(send, took, index=100 + number))
    before, after = measure(concurrency, runs), measure(concurrency, tuple(worse))
    assert after.verdict == "invalid"
    assert after.sent == before.sent + len(failures)
    assert after.excluded == {"timeout": len(failures)}
    for name, metric in METRICS.items():
        assert not _better(metric.better, before.figures[name], after.figures[name]), name


def _better(direction: str, before: Figure, after: Figure) -> bool:
    if after.value is None:
        return False
    if before.value is None:
        return True
    slack = 1e-9 * abs(before.value)
    return (direction == HIGHER and after.value > before.value + slack) or (
        direction == LOWER and after.value < before.value - slack
    )


# the page for users

SECTION = re.compile(r"^### (.+)$", re.MULTILINE)


def documented() -> list[str]:
    return [name for heading in SECTION.findall(PAGE.read_text()) for name in re.findall(r"`([a-z0-9_]+)`", heading)]


def test_every_metric_has_a_heading_and_every_heading_a_metric() -> None:
    names = documented()
    assert len(names) == len(set(names))
    assert set(names) == set(METRICS)


def test_the_page_says_each_unit() -> None:
    sections = re.split(SECTION, PAGE.read_text())
    for heading, body in zip(sections[1::2], sections[2::2], strict=True):
        for name in re.findall(r"`([a-z0-9_]+)`", heading):
            assert f"Unit: {METRICS[name].unit}." in body, name


def test_metrics_are_defined_in_one_sentence() -> None:
    for name, metric in METRICS.items():
        assert metric.text.endswith("."), name
        assert metric.text[0].isupper(), name


def test_the_page_names_every_finding() -> None:
    files = sorted((PAGE.parents[1] / "harness" / "measure").glob("*.py"))
    sources = [path.read_text() for path in files if path.name != "health.py"]  # those of the machine are in docs/gb10.md
    codes = {code for source in sources for code in re.findall(r'code="([a-z_]+)"', source)}
    assert len(codes) > 15
    listed = set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text().split("## Findings")[1]))
    assert codes <= listed
