"""The driver's loop against a server of exactly known speed. What it measures of each way of answering is in `test_conformance`."""

from __future__ import annotations

import io
from itertools import pairwise
from statistics import median

import msgspec
import pytest

from harness import clock
from harness.load.driver import Driver
from harness.measure.latency import timing
from harness.schema.job import Ask, Stage
from harness.schema.request import CONTENT, Record
from tests.driving import body, job, run
from tests.paced_server import paced

pytestmark = pytest.mark.quiet

SLACK_NS = 5_000_000


def test_completions_and_prompts_longer_than_a_segment() -> None:
    with paced(ttft_ms=20, tpot_ms=2) as server:
        ask = Ask("measure", body(3, 8, {"padding": "x" * 3_000_000}, chat=False))
        what = msgspec.structs.replace(job(server.port), path="/v1/completions", stages=(Stage(1, (ask,)),))
        (record,), _ = run(what)
    assert record.error is None
    assert [event.kind for event in record.events[:-1]] == [CONTENT] * 8


def test_closed_loop_keeps_every_slot_busy_and_loses_nothing() -> None:
    with paced(ttft_ms=20, tpot_ms=1) as server:
        records, report = run(job(server.port, 100, tokens=10, concurrency=8))
        truth = server.truth()
    assert [record.index for record in records] == list(range(100))
    assert [record.error for record in records] == [None] * 100
    assert len(truth) == 100
    assert report.peak_in_flight == 8
    assert {record.slot for record in records} == set(range(8))
    for slot in range(8):
        own = sorted((record for record in records if record.slot == slot), key=lambda record: record.t_send_ns)
        assert all(b.t_send_ns >= a.t_end_ns for a, b in pairwise(own)), "a slot held two requests at once"
    assert all(r.t_sched_ns == r.t_send_ns < (r.t_hdr_ns or 0) <= r.events[0].t_ns <= r.t_end_ns for r in records)
    assert report.rtt_ns is not None
    assert report.rtt_ns > 0
    assert report.stamps == "kernel"
    assert 0 < report.cpu_s < report.wall_s
    assert 0 < report.send_lag_p50_ns <= report.send_lag_p99_ns <= report.send_lag_max_ns


class Late(Driver):
    """A loop that comes 20 ms late to its sockets each time."""

    def _turn(self) -> None:
        clock.sleep(0.02)
        super()._turn()


def test_a_late_loop_errs_in_no_time_stamp_and_says_how_late_it_was() -> None:
    """Whoever stamps after reading adds 20 ms; whoever counts its lag from when it noticed an answer's end leaves them out."""
    with paced(ttft_ms=55, tpot_ms=30) as server:
        out = io.BytesIO()
        driver = Late(job(server.port, 12, tokens=4, concurrency=2), out, None, lambda progress: None)
        driver.run()
        truth = sorted(server.truth(), key=lambda one: one.prompt_tokens)
    records = sorted((msgspec.json.decode(line, type=Record) for line in out.getvalue().splitlines()), key=lambda r: r.index)
    errors = [
        (timing(record).ttft_ns or 0) - ((true.t_first_ns or 0) - true.t_received_ns)
        for record, true in zip(records, truth, strict=True)
    ]
    assert {record.stamps for record in records} == {"kernel"}
    assert median(map(abs, errors)) < SLACK_NS
    assert driver.report().send_lag_p99_ns > 5_000_000
