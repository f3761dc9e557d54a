"""Open loop: what was due and what was sent, goodput under an SLO, and what a ramp of rates says as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from harness.measure import checks, goodput, metrics
from harness.measure.runs import Run
from harness.measure.trials import runs_of
from harness.schema.request import Event, Record
from harness.schema.result import CellResult, Figure
from harness.schema.workload import Cell, Slo
from tests.measure.streams import MS, cell, even, failed, keyed, trial

SLO = Slo(ttft_ms=150, tpot_ms=11)


def at_rate(rate: float = 10.0, slo: Slo | None = SLO, turns: int = 1) -> Cell:
    return msgspec.structs.replace(cell(), concurrency=None, rate=rate, arrivals="poisson", slo=slo, turns=turns)


def due(record: Record, t_ms: float) -> Record:
    return msgspec.structs.replace(record, t_sched_ns=round(t_ms * MS))


def runs(*each: Sequence[Record], of: Cell) -> list[Run]:
    return runs_of(of, [trial(index) for index in range(len(each))], keyed(each))


def every(gap_ms: float, number: int = 12, late_ms: float = 0.0, ttft: float = 100.0) -> list[Record]:
    """Sent `late_ms` more too late each time."""
    return [due(even(k * (gap_ms + late_ms), ttft=ttft, index=k), k * gap_ms) for k in range(number)]


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        (even(0), True),
        (even(0, ttft=149), True),
        (even(0, ttft=151), False),
        (even(0, step=11.5), False),
        (due(even(100), 20), False),  # 100 ms after it was sent, 180 ms after it was due
        (failed(0, 10), False),
    ],
)
def test_a_request_keeps_every_limit_from_when_it_was_due(record: Record, kept: bool) -> None:
    (run,) = runs([record], of=at_rate())
    assert [goodput.keeps(request, SLO) for request in run.requests] == [kept]


def test_the_whole_call_may_be_limited() -> None:
    (run,) = runs([even(0)], of=at_rate())  # 100 ms and seven steps of 10
    assert [goodput.keeps(run.requests[0], Slo(e2e_ms=limit)) for limit in (169, 171)] == [False, True]


def test_failed_requests_lower_the_share() -> None:
    of = at_rate()
    found = metrics.cell_result(of, [trial(0)], keyed([[*every(100, 18), failed(1800, 5), failed(1900, 5)]]), stopped_by="runs")
    share = found.figures["slo_share"]
    assert (share.value, share.n) == (0.9, 20)
    # Wilson 1927, worked out by hand for 18 of 20
    assert share.low == pytest.approx(0.6990, abs=1e-4)
    assert share.high == pytest.approx(0.9721, abs=1e-4)
    assert found.figures["goodput_s"].value == pytest.approx(18 / 1.905, rel=1e-3)
    assert not goodput.holds(found)


def test_what_is_not_known_neither_keeps_nor_breaks_an_slo() -> None:
    of = at_rate()
    uncounted = [
        msgspec.structs.replace(r, token_source="none", events=tuple(Event(e.t_ns, e.kind, e.text, None) for e in r.events))
        for r in every(100)
    ]
    found = metrics.cell_result(of, [trial(0)], keyed([uncounted]), stopped_by="runs")
    assert found.figures["slo_share"].reason == found.figures["goodput_s"].reason == goodput.NOT_KNOWN
    assert goodput.holds(found), "a ramp must not end for what nobody knows"
    assert [finding.code for finding in goodput.findings([found, result(20, 1, 1, 1)])] != ["slo_capacity"]
    (run,) = runs(uncounted, of=at_rate(slo=Slo(ttft_ms=150)))
    assert goodput.keeps(run.requests[0], Slo(ttft_ms=150)) is True


def test_one_token_has_no_tpot_to_break() -> None:
    (run,) = runs([even(0, tg=1)], of=at_rate())
    assert goodput.keeps(run.requests[0], SLO) is True


def test_latency_counts_from_the_schedule() -> None:
    of = at_rate()
    late = [due(even(500 + 300 * k, index=k), 300 * k) for k in range(12)]
    found = metrics.cell_result(of, [trial(0)], keyed([late]), stopped_by="runs").figures
    assert found["ttft_p50_ms"].value == pytest.approx(100)
    assert found["ttft_sched_p50_ms"].value == pytest.approx(600)
    assert found["e2e_sched_p50_ms"].value == pytest.approx(670)
    assert found["offered_s"].value == pytest.approx(1 / 0.3)


def test_in_closed_loop_there_is_no_schedule_but_there_may_be_an_slo() -> None:
    of = msgspec.structs.replace(cell(), slo=SLO)
    found = metrics.cell_result(of, [trial(0)], keyed([every(200)]), stopped_by="runs").figures
    assert found["ttft_sched_p50_ms"].reason == found["offered_s"].reason == "closed loop: requests have no schedule"
    assert found["slo_share"].value == 1


@pytest.mark.parametrize(("late_ms", "turns", "missed"), [(0.5, 1, False), (2, 1, True), (2, 10, False)])
def test_a_client_that_sends_less_than_was_due(late_ms: float, turns: int, missed: bool) -> None:
    of = at_rate(turns=turns)
    codes = {finding.code: finding.severity for finding in checks.findings(of, runs(every(100, late_ms=late_ms), of=of))}
    assert codes.get("rate_missed") == ("invalid" if missed else None)


def test_the_steady_window_ends_with_the_last_send() -> None:
    of = at_rate()
    found = metrics.cell_result(of, [trial(0)], keyed([every(100, 21)]), stopped_by="runs").figures
    # 2 s between the first send and the last: by then the 19 answers before it are whole (170 ms), and one token of the next has come
    assert found["output_tok_s"].value == pytest.approx((19 * 8 + 1) / 2, rel=0.01)


def result(rate: float, share: float, done: float, took_ms: float) -> CellResult:
    empty = metrics.cell_result(at_rate(rate), [], {}, stopped_by="runs")
    values = {"slo_share": share, "request_s": done, "e2e_sched_ms": took_ms}
    figures = {name: Figure(value=value, unit="x") for name, value in values.items()}
    return msgspec.structs.replace(empty, figures={**empty.figures, **figures})


def test_what_a_ramp_says() -> None:
    ramp = [result(4, 0.5, 3.5, 9000), result(1, 1.0, 1, 1000), result(2, 0.995, 2, 1500)]
    capacity, knee = goodput.findings(ramp)
    assert "held up to 2 requests/s; at 4 requests/s 50.0% keep it" in capacity.text
    assert "TTFT 150 ms, TPOT 11 ms for 99% of the requests" in capacity.text
    assert knee.text == "throughput per latency is best at 2 requests/s"
    assert [finding.code for finding in (capacity, knee)] == list(goodput.CODES)


def test_a_ramp_that_breaks_at_once_or_never() -> None:
    broken, _ = goodput.findings([result(1, 0.2, 1, 1000), result(2, 0.1, 1, 1500)])
    assert "is not held at the lowest rate; at 1 requests/s 20.0% keep it" in broken.text
    whole, knee = goodput.findings([result(1, 1, 1, 1000), result(2, 1, 2, 1000)])
    assert "held at every rate, up to 2 requests/s" in whole.text
    assert "it may lie above" in knee.text


def test_one_rate_is_no_ramp() -> None:
    assert list(goodput.findings([result(1, 1, 1, 1000)])) == []
