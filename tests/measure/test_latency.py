"""One request, with numbers worked out by hand."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure.latency import excluded, timing
from harness.schema.request import CONTENT, OTHER, REASONING, ROLE, TOOL, Record, Usage
from tests.measure.streams import MS, PP, TG, even, failed, speculative, stream


def test_speculative_stream() -> None:
    """Eight tokens in events of 3, 2, 3 over 100 ms: 5 tokens are decoded in that time, not 7, and not 2."""
    found = timing(speculative())
    assert found.ttft_ns == 100 * MS
    assert found.ttft_content_ns == 100 * MS
    assert found.ttfr_ns == 5 * MS
    assert found.e2e_ns == 201.5 * MS
    assert (found.k1, found.tokens, found.token_source, found.token_events) == (3, 8, "token_ids", 3)
    assert found.decode_ns == 100 * MS
    assert found.decode_tok_s == 50.0
    assert found.decode_tok_s_n1 == 70.0
    assert found.tpot_ns == 20 * MS
    assert tuple(found.gaps_ns) == (50 * MS, 50 * MS)
    assert found.prefill_tok_s == 5120.0
    assert found.why == {}


def test_round_trip_and_cache_are_taken_off_the_prefill() -> None:
    record = msgspec.structs.replace(speculative(), usage=Usage(prompt_tokens=512, completion_tokens=8, cached_tokens=112))
    assert timing(record, rtt_ns=20 * MS).prefill_tok_s == 5000.0


def test_unsaid_cache() -> None:
    record = msgspec.structs.replace(speculative(), usage=Usage(prompt_tokens=512, completion_tokens=8))
    found = timing(record)
    assert found.prefill_tok_s is None
    assert "cached" in found.why["prefill_tok_s"]
    assert timing(record, cached_if_unsaid=0).prefill_tok_s == 5120.0


def test_reasoning_comes_first() -> None:
    record = stream((10, ROLE, None), (100, REASONING, 2), (200, REASONING, 2), (300, CONTENT, 2), (400, CONTENT, 2))
    found = timing(record)
    assert found.ttft_ns == 100 * MS
    assert found.ttft_content_ns == 300 * MS
    assert found.ttfr_ns == 10 * MS
    assert found.decode_tok_s == 20.0


def test_tool_call_arguments_are_tokens_but_no_answer() -> None:
    found = timing(stream((100, TOOL, 4), (200, TOOL, 4)))
    assert found.ttft_ns == 100 * MS
    assert found.ttft_content_ns is None
    assert found.why["ttft_content_ns"] == "no event carried answer text"


def test_a_token_without_text_is_no_answer_yet() -> None:
    """Half a character that the server holds back: a token, but nothing to read."""
    record = stream((100, CONTENT, 1), (150, CONTENT, 7))
    held = msgspec.structs.replace(record.events[0], text="")
    found = timing(msgspec.structs.replace(record, events=(held, record.events[1])))
    assert (found.ttft_ns, found.ttft_content_ns) == (100 * MS, 150 * MS)


def test_tokens_without_text_are_counted_when_they_came() -> None:
    """A count that moved before the first text belongs to k1; one that moves after the last text ends the decoding."""
    found = timing(stream((90, ROLE, 1), (100, CONTENT, 2), (150, OTHER, 2), (200, CONTENT, 2), (250, OTHER, 1)))
    assert (found.ttft_ns, found.k1, found.decode_ns) == (100 * MS, 3, 150 * MS)
    assert found.decode_tok_s == pytest.approx(5 / 0.15)
    assert tuple(found.gaps_ns) == (50 * MS, 50 * MS, 50 * MS)


UNCOUNTED = ((100.0, CONTENT, None), (150.0, CONTENT, None), (200.0, CONTENT, None))


@pytest.mark.parametrize(
    ("counts", "said", "first", "again", "expected"),
    [
        ((3, 2, 3), 8, 9, 9, ("token_ids", 3, 8)),
        ((None, None, None), 8, 3, 9, ("usage+tokenizer", 3, 8)),
        ((None, None, None), 8, None, None, ("usage", None, 8)),
        ((None, None, None), None, 3, 9, ("tokenizer", 3, 9)),
        ((None, None, None), None, None, None, ("none", None, None)),
        ((3, 2, 3), None, None, None, ("token_ids", 3, 8)),
        ((0, 5, 3), 8, 3, None, ("usage+tokenizer", 3, 8)),  # a count that lags by one event says nothing of the first
    ],
)
def test_where_counts_come_from(
    counts: tuple[int | None, ...],
    said: int | None,
    first: int | None,
    again: int | None,
    expected: tuple[str, int | None, int | None],
) -> None:
    arrivals = [(at, kind, count) for (at, kind, _), count in zip(UNCOUNTED, counts, strict=True)]
    record = msgspec.structs.replace(stream(*arrivals, tokens=said), first_tokens=first, retokenized=again)
    found = timing(record)
    assert (found.token_source, found.k1, found.tokens) == expected


def test_events_are_never_tokens() -> None:
    """Three events without any count: nothing is known of tokens, though something is of times."""
    found = timing(stream(*UNCOUNTED, tokens=None))
    assert found.ttft_ns == 100 * MS
    assert (found.tokens, found.k1, found.decode_tok_s, found.tpot_ns, found.decode_tok_s_n1) == (None,) * 5
    assert found.why["decode_tok_s"] == "neither the server nor a tokenizer counted the tokens"


def test_n1_needs_no_k1() -> None:
    found = timing(stream(*UNCOUNTED))
    assert found.decode_tok_s_n1 == 70.0
    assert found.decode_tok_s is None
    assert "first event" in found.why["decode_tok_s"]


@pytest.mark.parametrize(
    ("arrivals", "reason"),
    [
        (((100.0, CONTENT, 8),), "only one event carried tokens"),
        (((100.0, CONTENT, 4), (100.0, CONTENT, 4)), "all tokens came at one instant"),
        (((100.0, ROLE, None),), "no event carried a token"),
        ((), "no event carried a token"),
    ],
)
def test_no_decode_rate(arrivals: tuple[tuple[float, str, int | None], ...], reason: str) -> None:
    found = timing(stream(*arrivals))
    assert found.decode_tok_s is None
    assert found.tpot_ns is None
    assert found.why["decode_tok_s"] == reason


def test_every_unknown_has_a_reason() -> None:
    optional = {
        "ttft_ns",
        "ttft_content_ns",
        "ttfr_ns",
        "decode_ns",
        "k1",
        "tokens",
        "decode_tok_s",
        "decode_tok_s_n1",
        "tpot_ns",
    }
    records = [failed(0, 10), stream((5, ROLE, None)), stream((5, CONTENT, None), tokens=None, prompt=None), speculative()]
    for record in records:
        found = timing(record)
        for name in optional | {"prefill_tokens", "prefill_tok_s"}:
            assert (getattr(found, name) is None) == (name in found.why), (record.index, name, found.why)


def test_open_loop_counts_from_the_schedule() -> None:
    record = msgspec.structs.replace(speculative(send=1000), t_sched_ns=970 * MS)
    assert timing(record).ttft_sched_ns == 130 * MS
    assert timing(record).ttft_ns == 100 * MS


def reason(record: Record) -> str | None:
    return excluded(record, timing(record))


def test_what_counts() -> None:
    assert reason(speculative()) is None
    assert reason(even(0)) is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (failed(0, 10, error="http_500"), "http_500"),
        (stream((100, CONTENT, 4), (200, CONTENT, 3), tokens=TG - 1), "wrong_length"),
        (stream((100, CONTENT, 4), (200, CONTENT, 5), tokens=TG + 1), "wrong_length"),
        (stream((100, CONTENT, None), (200, CONTENT, None), tokens=None), "no_usage"),
        (stream((100, OTHER, None)), "no_tokens"),
        (stream((100, CONTENT, 4), (200, CONTENT, 4), prompt=PP + 65), "prompt_length"),
        (stream((100, CONTENT, 4), (200, CONTENT, 4), prompt=PP - 65), "prompt_length"),
        (msgspec.structs.replace(even(0), finish_reason="stop"), "finish_reason"),
        (msgspec.structs.replace(even(0), finish_reason=None), "finish_reason"),
    ],
)
def test_what_does_not_count(record: Record, expected: str) -> None:
    assert reason(record) == expected


def test_a_template_may_lengthen_the_prompt() -> None:
    assert reason(stream((100, CONTENT, 4), (200, CONTENT, 4), prompt=PP + 60)) is None
