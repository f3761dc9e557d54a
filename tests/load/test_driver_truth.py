"""The driver against a server of exactly known speed: what it measures is what the server's own log says.

Absolute instants are compared as differences of the same request's, so the machine may be busy; the tolerances fail when the first event is
taken for the first token, N-1 for N-k1, or events for tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import median

import msgspec
import pytest

from harness.engines.pacer import Truth
from harness.measure.latency import Timing, timing
from harness.schema.job import Ask, Stage
from harness.schema.request import CONTENT, REASONING, ROLE, TOKEN_KINDS, Record
from tests.driving import body, job, run
from tests.paced_server import Paced, paced

TOKENS = 16
TPOT_MS = 12
"""So far apart that a read which is late on a busy machine does not get two events at once."""
SLACK_NS = 5_000_000


def measured(
    server: Paced, requests: int = 4, tokens: int = TOKENS, fields: Mapping[str, object] | None = None
) -> list[tuple[Record, Timing, Truth]]:
    records, _ = run(job(server.port, requests, tokens=tokens, concurrency=requests, fields=fields))
    assert [record.error for record in records] == [None] * requests, records[0].error_detail
    truth = sorted(server.truth()[-requests:], key=lambda one: one.prompt_tokens)
    return [(record, timing(record), true) for record, true in zip(records, truth, strict=True)]


def assert_true(pairs: list[tuple[Record, Timing, Truth]]) -> None:
    """TTFT and TTFT(content) to some milliseconds, the decode rate to 1 %, N and k1 exactly."""
    late, late_content, rates = [], [], []
    for _, told, true in pairs:
        assert true.t_first_ns is not None
        assert true.t_last_ns is not None
        assert told.ttft_ns is not None
        assert (told.tokens, told.k1) == (true.tokens, true.first_tokens)
        late.append(told.ttft_ns - (true.t_first_ns - true.t_received_ns))
        if true.t_content_ns is not None:
            assert told.ttft_content_ns is not None
            late_content.append(told.ttft_content_ns - (true.t_content_ns - true.t_received_ns))
        assert told.decode_tok_s is not None
        rates.append(told.decode_tok_s * (true.t_last_ns - true.t_first_ns) / (true.tokens - true.first_tokens) / 1e9)
    assert abs(median(late)) < SLACK_NS
    assert abs(median(late_content or [0])) < SLACK_NS
    assert median(rates) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    "behave",
    [
        "",
        "early_role:10",
        "reasoning:9",
        "early_role:10,reasoning:7,crlf",
        "crlf,comments",
        "split",
        "split,crlf,comments",
        "close",
        "unchunked",
        "no_done",
        "late_finish",
        "empty",
        "no_ids",
        "stall:60",
        "cached:3",
    ],
)
def test_every_framing_and_behaviour(behave: str) -> None:
    with paced(ttft_ms=40, tpot_ms=TPOT_MS, behave=behave) as server:
        pairs = measured(server, fields={"return_token_ids": True})
    assert_true(pairs)
    for record, _, true in pairs:
        assert record.token_source == ("continuous_usage" if "no_ids" in behave else "token_ids")
        assert record.stamps == "kernel"
        assert record.finish_reason == "length"
        assert record.usage is not None
        assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (true.prompt_tokens, TOKENS)
        assert record.usage.cached_tokens == (3 if "cached" in behave else 0)
        text = "".join(event.text for event in record.events if event.kind in TOKEN_KINDS)
        assert text == "".join(f" wörd{n}" for n in range(TOKENS))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_several_tokens_in_an_event(k: int) -> None:
    """(N - 1)/(t_last - t_any) would be 7 % to 36 % off here, and events are 2 to 5 times fewer than tokens."""
    with paced(ttft_ms=40, tpot_ms=TPOT_MS, tokens_per_event=k) as server:
        pairs = measured(server)
    assert_true(pairs)
    for record, told, _ in pairs:
        assert told.k1 == k
        assert len([event for event in record.events if event.kind == CONTENT]) == -(-TOKENS // k)


def test_several_events_in_a_segment_have_its_stamp() -> None:
    with paced(ttft_ms=40, tpot_ms=TPOT_MS, behave="merge:4") as server:
        pairs = measured(server)
    for record, _, _ in pairs:
        tokens = [event.t_ns for event in record.events if event.kind == CONTENT]
        assert len(tokens) == TOKENS
        assert len(set(tokens)) <= -(-(TOKENS + 3) // 4)


def test_the_role_event_is_not_the_first_token() -> None:
    with paced(ttft_ms=60, tpot_ms=TPOT_MS, behave="early_role:5") as server:
        pairs = measured(server)
    for record, told, _ in pairs:
        assert record.events[0].kind == ROLE
        assert told.ttft_ns is not None
        assert told.ttfr_ns is not None
        assert told.ttft_ns - told.ttfr_ns > 40_000_000


def test_reasoning_comes_before_the_answer() -> None:
    with paced(ttft_ms=40, tpot_ms=TPOT_MS, behave="reasoning:10") as server:
        pairs = measured(server)
    for record, told, _ in pairs:
        kinds = [event.kind for event in record.events if event.kind in TOKEN_KINDS]
        assert kinds == [REASONING] * 10 + [CONTENT] * 6
        assert told.ttft_ns is not None
        assert told.ttft_content_ns is not None
        assert told.ttft_content_ns - told.ttft_ns > 60_000_000


@pytest.mark.parametrize("behave", ["no_usage", "no_steps"])
def test_without_counts_none_is_invented(behave: str) -> None:
    with paced(ttft_ms=20, tpot_ms=2, behave=f"{behave},no_ids") as server:
        (record, told, _), *_ = measured(server)
    assert record.token_source == "none"
    assert {event.tokens for event in record.events} == {None}
    assert (record.usage is None) == (behave == "no_usage")
    assert told.k1 is None
    assert told.decode_tok_s is None


@pytest.mark.parametrize(
    ("behave", "endless", "tokens"), [("eos:5", False, 5), ("eos:5", True, TOKENS), ("stop_early:5", True, 5)]
)
def test_the_model_may_stop_early(behave: str, endless: bool, tokens: int) -> None:
    with paced(ttft_ms=20, tpot_ms=2, behave=behave) as server:
        (record, told, _), *_ = measured(server, fields={"ignore_eos": endless})
    assert told.tokens == tokens
    assert record.finish_reason == ("length" if tokens == TOKENS else "stop")


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


def test_the_driver_stands_by_its_stamps_when_it_reads_late() -> None:
    """64 streams in step: whoever stamps after reading adds the time it spent on the others."""
    with paced(ttft_ms=30, tpot_ms=10) as server:
        pairs = measured(server, requests=64, tokens=8)
    spread = [abs((told.ttft_ns or 0) - ((true.t_first_ns or 0) - true.t_received_ns)) for _, told, true in pairs]
    assert median(spread) < SLACK_NS
