"""Slots laid out by hand, so that the truth of every window is known."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure import throughput
from harness.measure.runs import Run
from harness.measure.trials import runs_of
from harness.measure.windows import Window
from harness.schema.request import CONTENT, Record
from tests.measure.streams import MS, NO_HITS, cell, even, failed, stream, trial


def run(records: list[Record], concurrency: int) -> Run:
    return runs_of(cell(concurrency), [trial(counters=NO_HITS)], {0: records})[0]


def staggered(slots: int, each: int, *, warmup: int = 1) -> list[Record]:
    """`slots` loops without pauses, shifted against each other: answers of 160 ms with 8 tokens, 20 ms apart, from 20 ms on."""
    records: list[Record] = []
    for slot in range(slots):
        for k in range(warmup + each):
            phase = "warmup" if k < warmup else "measure"
            send = slot * 160 / slots + k * 160
            arrivals = [(20.0 * (token + 1), CONTENT, 1) for token in range(8)]
            records.append(stream(*arrivals, send=send, end=160, index=len(records), phase=phase, slot=slot))
    return records


def test_steady_rate_of_staggered_slots() -> None:
    """Four slots of 50 tok/s each. The full run also has its emptying end: 12 answers in 600 ms."""
    found = run(staggered(4, 3), 4)
    assert throughput.steady_windows(found, 4) == [Window(160 * MS, 640 * MS)]
    assert throughput.steady_tok_s(found, 4) == 200.0
    assert throughput.full_windows(found) == [Window(160 * MS, 760 * MS)]
    assert throughput.full_tok_s(found) == pytest.approx(96 / 0.6)
    assert throughput.requests_s(found) == pytest.approx(20.0)
    # in flight: four until 640 ms, then three, two, one for 40 ms each
    assert throughput.mean_in_flight(found) == pytest.approx((4 * 480 + (3 + 2 + 1) * 40) / 600)


def test_without_counts_whole_answers_are_counted() -> None:
    """The answers cut off at the window's end are made up for by those that the warm-up left in it: 12 answers in 480 ms."""
    bare = [
        msgspec.structs.replace(r, events=tuple(msgspec.structs.replace(e, tokens=None) for e in r.events), first_tokens=1)
        for r in staggered(4, 3)
    ]
    found = run(bare, 4)
    assert not throughput.counted_by_event(found)
    assert throughput.steady_tok_s(found, 4) == pytest.approx(12 * 8 / 0.48)


def test_warm_up_tokens_in_the_window_are_output_but_no_measured_answer() -> None:
    found = run(staggered(4, 3), 4)
    without = run([record for record in staggered(4, 3) if record.phase == "measure"], 4)
    assert throughput.steady_tok_s(without, 4) is not None
    assert (throughput.steady_tok_s(without, 4) or 0) < (throughput.steady_tok_s(found, 4) or 0)
    assert throughput.full_tok_s(without) == throughput.full_tok_s(found)


def test_one_stream_is_steady_to_its_end() -> None:
    records = [even(k * 170, index=k) for k in range(3)]
    found = run(records, 1)
    assert throughput.steady_windows(found, 1) == throughput.full_windows(found)
    assert throughput.steady_tok_s(found, 1) == pytest.approx(24 / 0.51)


def test_never_full() -> None:
    """Two requests cannot keep four slots busy."""
    found = run([even(0, index=0), even(10, index=1)], 4)
    assert throughput.steady_windows(found, 4) == []
    assert throughput.steady_tok_s(found, 4) is None
    assert throughput.full_tok_s(found) is not None


def test_fewer_measured_requests_than_slots() -> None:
    """Four warm-ups in step, then two that are measured: between the first send and the last warm-up's end lie microseconds."""
    warm = [even(k * 0.001, index=k, phase="warmup") for k in range(4)]
    records = [*warm, even(170.0001, index=4), even(170.0011, index=5)]
    found = run(records, 4)
    assert throughput.peak_in_flight(found) == 4
    assert throughput.steady_windows(found, 4) == []
    assert throughput.steady_tok_s(found, 4) is None


def test_priming_is_no_load() -> None:
    prime = even(0, ttft=500, phase="prime", index=9)
    found = run([prime, *[even(700 + k * 170, index=k) for k in range(3)]], 1)
    assert throughput.steady_windows(found, 1) == [Window(700 * MS, 1210 * MS)]


def test_time_between_rounds_is_not_counted() -> None:
    """Two slots, three rounds with priming before each; every answer takes 170 or 180 ms."""
    records: list[Record] = []
    for turn in range(3):
        start = 1000 * turn
        records += [even(start + slot, ttft=400, phase="prime", index=len(records) + slot) for slot in range(2)]
        records += [even(start + 500, index=len(records)), even(start + 500, ttft=110, index=len(records) + 1)]
    found = run(records, 2)
    assert [window.end_ns - window.start_ns for window in throughput.steady_windows(found, 2)] == [170 * MS] * 3
    assert throughput.steady_tok_s(found, 2) == pytest.approx(15 / 0.17)
    assert throughput.full_tok_s(found) == pytest.approx(16 / 0.18)
    assert throughput.requests_s(found) == pytest.approx(2 / 0.18)
    assert throughput.mean_in_flight(found) == pytest.approx(350 / 180)


def test_failed_requests_lengthen_the_full_run() -> None:
    records = staggered(2, 2)
    before = throughput.full_tok_s(run(records, 2))
    after = throughput.full_tok_s(run([*records, failed(200, 1000, index=50)], 2))
    assert before is not None
    assert after is not None
    assert after < before


def test_run_rates_weigh_by_time() -> None:
    """7 tokens in 70 ms and 7 in 140 ms are 66.7 tok/s: the mean of 100 and 50 would be 75."""
    found = run([even(0, step=10), even(500, step=20, index=1)], 1)
    assert throughput.decode_tok_s(found) == pytest.approx(14 / 0.21)
    assert throughput.prefill_tok_s(found) == pytest.approx(1024 / 0.2)


def test_no_requests() -> None:
    found = run([], 1)
    assert throughput.full_windows(found) == []
    assert throughput.steady_tok_s(found, 1) is None
    assert throughput.decode_tok_s(found) is None
    assert throughput.mean_in_flight(found) is None


def test_rounds_without_counts_have_no_steady_rate() -> None:
    """Each round begins with empty slots, so nothing makes up for what its window cuts off."""
    records: list[Record] = []
    for start in (0, 1000):
        records += [even(start + slot, ttft=50, phase="prime", index=len(records) + slot) for slot in range(2)]
        records += [even(start + 300 + slot, index=len(records) + slot) for slot in range(2)]
    bare = [
        msgspec.structs.replace(r, events=tuple(msgspec.structs.replace(e, tokens=None) for e in r.events)) for r in records
    ]
    assert throughput.steady_tok_s(run(records, 2), 2) is not None
    assert throughput.steady_tok_s(run(bare, 2), 2) is None
