"""One request: when its tokens came, how fast, and whether it counts. Symbols are those of `docs/metrics.md`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise, takewhile

import msgspec

from harness.schema.request import CONTENT, TOKEN_KINDS, Event, Record
from harness.units import NS_PER_S

ENDS = ("length", "stop", "tool_calls")
"""Finish reasons of an answer that the model may end itself."""
PROMPT_SLACK_TOKENS = 64
PROMPT_SLACK_SHARE = 0.02
"""How far a prompt's length may be off: chat templates add some tens of tokens."""


NOTHING: dict[str, str] = {}
"""One for all that have nothing to explain."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What follows from one record. A field is None when it is not known; `why` says why, by the field's name."""

    ttft_ns: int | None = None
    ttft_content_ns: int | None = None
    ttfr_ns: int | None = None
    ttft_sched_ns: int | None = None
    """From the scheduled instant: the one to use in open loop."""
    e2e_ns: int
    """To the last byte of the answer."""
    e2e_sched_ns: int
    """The same from the scheduled instant."""
    decode_ns: int | None = None
    """From the first token-bearing event to the last [t_last - t_any]."""
    k1: int | None = None
    """Tokens that had come with the first token-bearing event."""
    tokens: int | None = None
    """All generated tokens [N]."""
    token_source: str
    """Where N and k1 come from: `token_ids`, `continuous_usage`, `usage+tokenizer`, `usage` (no k1), `tokenizer` or `none`."""
    token_events: int = 0
    events: int = 0
    """Of any kind."""
    event_tokens: int = 0
    """Tokens that the events themselves account for."""
    gaps_ns: Sequence[int] = ()
    """Between successive token-bearing events, however many tokens each carried."""
    decode_tok_s: float | None = None
    decode_tok_s_n1: float | None = None
    """(N-1) / (t_last - t_any): wrong where k1 > 1, kept because published tables use it."""
    tpot_ns: float | None = None
    prefill_tokens: int | None = None
    """Prompt tokens that were not in the cache."""
    prefill_ns: int | None = None
    """TTFT less the network's round trip, where that was measured."""
    prefill_tok_s: float | None = None
    why: dict[str, str] = {}


def bears_tokens(event: Event) -> bool:
    """Whether it carries text or ids of tokens, or the server counted tokens in it that have no text."""
    return event.kind in TOKEN_KINDS or (event.tokens or 0) > 0


def timing(record: Record, *, rtt_ns: int | None = None, cached_if_unsaid: int | None = None) -> Timing:
    """Every quantity of one request. `cached_if_unsaid` stands in for cached tokens that the server's usage does not name."""
    why: dict[str, str] = {}
    send = record.t_send_ns
    first = next((i for i, event in enumerate(record.events) if event.kind in TOKEN_KINDS), None)
    content = next((event.t_ns for event in record.events if event.kind == CONTENT and event.text), None)
    k1, tokens, source = _count(record, first, why)
    bearing = [event.t_ns for event in record.events[first:] if bears_tokens(event)] if first is not None else []
    ttft = bearing[0] - send if bearing else None
    if ttft is None:
        why["ttft_ns"] = why["decode_ns"] = "no event carried a token"
    if content is None:
        why["ttft_content_ns"] = "no event carried answer text"
    if not record.events:
        why["ttfr_ns"] = "no event came"
    decode_ns = _decode_ns(bearing, why)
    decode, n1, tpot = _rates(decode_ns, k1, tokens, why)
    prefill_tokens = _prefill_tokens(record, cached_if_unsaid, why)
    prefill_ns = None if ttft is None else ttft - (rtt_ns or 0)
    prefill = None
    if prefill_ns is not None and prefill_tokens is not None and prefill_ns > 0 and prefill_tokens > 0:
        prefill = prefill_tokens * NS_PER_S / prefill_ns
    else:
        why["prefill_tok_s"] = why.get("ttft_ns") or why.get("prefill_tokens") or "nothing was left to prefill"
    return Timing(
        ttft_ns=ttft,
        ttft_content_ns=None if content is None else content - send,
        ttfr_ns=record.events[0].t_ns - send if record.events else None,
        ttft_sched_ns=None if ttft is None else ttft + send - record.t_sched_ns,
        e2e_ns=record.t_end_ns - send,
        e2e_sched_ns=record.t_end_ns - record.t_sched_ns,
        decode_ns=decode_ns,
        k1=k1,
        tokens=tokens,
        token_source=source,
        token_events=len(bearing),
        events=len(record.events),
        event_tokens=sum(event.tokens or 0 for event in record.events),
        gaps_ns=array("q", (b - a for a, b in pairwise(bearing))),
        decode_tok_s=decode,
        decode_tok_s_n1=n1,
        tpot_ns=tpot,
        prefill_tokens=prefill_tokens,
        prefill_ns=prefill_ns,
        prefill_tok_s=prefill,
        why=why or NOTHING,
    )


def excluded(record: Record, timing: Timing) -> str | None:
    """Why this request does not count, as a reason code: the record's error, or `no_usage`, `wrong_length`, `finish_reason`,
    `no_tokens`, `prompt_length`. None: it counts."""
    if record.error is not None:
        return record.error
    if timing.tokens is None:
        return "no_usage"
    if record.asked_tokens is not None and timing.tokens != record.asked_tokens:
        return "wrong_length"
    if record.finish_reason not in (("length",) if record.asked_tokens is not None else ENDS):
        return "finish_reason"
    if timing.ttft_ns is None:
        return "no_tokens"
    prompt, asked = record.usage.prompt_tokens if record.usage else None, record.asked_prompt_tokens
    if prompt is not None and asked is not None and abs(prompt - asked) > max(PROMPT_SLACK_TOKENS, PROMPT_SLACK_SHARE * asked):
        return "prompt_length"
    return None


def _count(record: Record, first: int | None, why: dict[str, str]) -> tuple[int | None, int | None, str]:
    """(k1, N, token_source), from the best source that the record has."""
    said = record.usage.completion_tokens if record.usage else None
    counted = sum(event.tokens or 0 for event in record.events)
    tokens = said if said is not None else counted or record.retokenized
    if tokens is None:
        why["tokens"] = why["k1"] = "neither the server nor a tokenizer counted the tokens"
        return None, None, "none"
    by_event = 0 if first is None else sum(event.tokens or 0 for event in record.events[: _came_with(record.events, first)])
    if by_event > 0:
        return by_event, tokens, record.token_source
    source = "usage" if said is not None else record.token_source if counted else "tokenizer"
    if record.first_tokens is not None:
        return record.first_tokens, tokens, "usage+tokenizer" if source == "usage" else source
    why["k1"] = "no event carried a token" if first is None else "how many tokens the first event carried is not known"
    return None, tokens, source


def _came_with(events: Sequence[Event], first: int) -> int:
    """How many events had come with the first token-bearing one: those of the same segment, or of the same late read, have its stamp."""
    return first + sum(1 for _ in takewhile(lambda event: event.t_ns == events[first].t_ns, events[first:]))


def _decode_ns(bearing: Sequence[int], why: dict[str, str]) -> int | None:
    if len(bearing) == 1:
        why["decode_ns"] = "only one event carried tokens"
    elif bearing and bearing[-1] <= bearing[0]:
        why["decode_ns"] = "all tokens came at one instant"
    elif bearing:
        return bearing[-1] - bearing[0]
    return None


def _rates(
    decode_ns: int | None, k1: int | None, tokens: int | None, why: dict[str, str]
) -> tuple[float | None, float | None, float | None]:
    """(decode rate, the same by N-1, time per output token)."""
    n1 = decode = tpot = None
    if decode_ns is None or tokens is None:
        why["decode_tok_s_n1"] = why.get("decode_ns") or why["tokens"]
    elif tokens > 1:
        n1 = (tokens - 1) * NS_PER_S / decode_ns
    else:
        why["decode_tok_s_n1"] = "only one token was generated"
    if decode_ns is None or tokens is None or k1 is None:
        why["decode_tok_s"] = why["tpot_ns"] = why.get("decode_ns") or why["k1"]
    elif tokens > k1:
        decode, tpot = (tokens - k1) * NS_PER_S / decode_ns, decode_ns / (tokens - k1)
    else:
        why["decode_tok_s"] = why["tpot_ns"] = "no tokens are left after the first event"
    return decode, n1, tpot


def _prefill_tokens(record: Record, cached_if_unsaid: int | None, why: dict[str, str]) -> int | None:
    usage = record.usage
    if usage is None or usage.prompt_tokens is None:
        why["prefill_tokens"] = "the server did not count the prompt"
        return None
    cached = usage.cached_tokens if usage.cached_tokens is not None else cached_if_unsaid
    if cached is None:
        why["prefill_tokens"] = "the server did not say how much of the prompt was cached"
        return None
    return usage.prompt_tokens - cached
