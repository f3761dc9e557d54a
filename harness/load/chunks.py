"""OpenAI's streamed chunks, as vLLM, SGLang and llama.cpp send them, into the events, counts and end of one request.

Where an event's number of tokens comes from, best first: `token_ids`; the step of a continuous `usage.completion_tokens`; the step of
llama.cpp's `timings.predicted_n`. An event is token-bearing when it carries token text, or tokens by that account: a server that holds
back half a UTF-8 character has still generated its token then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.load import sse
from harness.schema.request import CONTENT, OTHER, REASONING, ROLE, TOOL, Event, Record, ServerTimings, Usage


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    reasoning_tokens: int | None = None


class _Timings(msgspec.Struct):
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    draft_n: int | None = None
    draft_n_accepted: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None


_DECODE = msgspec.json.Decoder(_Chunk).decode


class Stream(msgspec.Struct, kw_only=True):
    """What one answer said."""

    events: list[Event] = []
    token_source: str = "none"
    finish_reason: str | None = None
    usage: Usage | None = None
    timings: ServerTimings | None = None
    ended: bool = False
    """It said `[DONE]` or gave a finish reason."""
    error: str | None = None
    error_detail: str = ""


class Raw(msgspec.Struct, kw_only=True):
    """One request as it came off the wire; times on CLOCK_MONOTONIC."""

    index: int
    phase: str
    slot: int
    t_send_ns: int
    t_head_ns: int | None
    t_end_ns: int
    status: int | None
    error: str | None
    error_detail: str
    body: bytes
    ends: Sequence[int]
    """How much of the body had come with each read."""
    stamps_ns: Sequence[int]
    """When each read was received."""
    stamps: str
    reads: int


def record(raw: Raw) -> Record:
    """What the bytes say. An answer other than 200 is an error with the body's beginning; so is a stream that just ends."""
    stream, error, detail = Stream(), raw.error, raw.error_detail
    if raw.status is not None and raw.status != 200:
        if error is None:
            error, detail = f"http_{raw.status}", raw.body[:500].decode("utf-8", "replace")
    else:
        stream = read(sse.events(raw.body, raw.ends, raw.stamps_ns))
        if error is None and stream.error is not None:
            error, detail = stream.error, stream.error_detail
        elif error is None and not stream.ended:
            error, detail = "truncated", "the answer ended without a finish reason or [DONE]"
    return Record(
        index=raw.index,
        phase=raw.phase,
        slot=raw.slot,
        t_sched_ns=raw.t_send_ns,
        t_send_ns=raw.t_send_ns,
        t_hdr_ns=raw.t_head_ns,
        t_end_ns=raw.t_end_ns,
        status=raw.status,
        error=error,
        error_detail=detail,
        finish_reason=stream.finish_reason,
        usage=stream.usage,
        timings=stream.timings,
        token_source=stream.token_source,
        stamps=raw.stamps,
        bytes_in=len(raw.body),
        reads=raw.reads,
        events=tuple(stream.events),
    )


def read(data: Iterable[tuple[int, bytes]]) -> Stream:
    """The stream's (stamp, data) pairs, understood. Never raises: what cannot be read is the stream's error."""
    stream = Stream()
    usage: _Usage | None = None
    timings: _Timings | None = None
    counted = 0  # tokens so far by a continuous count
    for t_ns, text in data:
        if text == b"[DONE]":
            stream.ended = True
            continue
        try:
            chunk = _DECODE(text)
        except msgspec.MsgspecError as error:
            stream.error, stream.error_detail = "bad_sse", f"{error}: {text[:300].decode('utf-8', 'replace')}"
            break
        if chunk.error is not None:
            stream.error, stream.error_detail = (
                "server_error",
                msgspec.json.encode(chunk.error)[:500].decode("utf-8", "replace"),
            )
            break
        choice = chunk.choices[0] if chunk.choices else None
        kind, said = _kind(choice)
        tokens = None
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            tokens, counted = chunk.usage.completion_tokens - counted, chunk.usage.completion_tokens
        elif chunk.timings is not None:
            tokens, counted = chunk.timings.predicted_n - counted, chunk.timings.predicted_n
        if choice is not None:
            if choice.token_ids is not None:
                tokens, stream.token_source = len(choice.token_ids), "token_ids"
            elif tokens and stream.token_source == "none":
                stream.token_source = "continuous_usage"
            if tokens and kind in (ROLE, OTHER):
                kind = CONTENT
            if choice.finish_reason is not None:
                stream.finish_reason, stream.ended = choice.finish_reason, True
        else:
            tokens = None  # a count at the end is no event's own
        usage, timings = chunk.usage or usage, chunk.timings or timings
        stream.events.append(Event(t_ns, kind, said, tokens))
    stream.usage = _final_usage(usage)
    stream.timings = _final_timings(timings)
    return stream


def _kind(choice: _Choice | None) -> tuple[str, str]:
    """(kind, text) of one event; content before reasoning where a server sends both at once."""
    if choice is None:
        return OTHER, ""
    if choice.text:
        return CONTENT, choice.text
    delta = choice.delta
    if delta is None:
        return OTHER, ""
    if delta.content:
        return CONTENT, delta.content
    if reasoning := delta.reasoning_content or delta.reasoning:
        return REASONING, reasoning
    if delta.tool_calls:
        called = [tool.function for tool in delta.tool_calls if tool.function]
        said = "".join((function.name or "") + (function.arguments or "") for function in called)
        if said:
            return TOOL, said
    return (ROLE if delta.role else OTHER), ""


def _final_usage(last: _Usage | None) -> Usage | None:
    if last is None:
        return None
    details = last.completion_tokens_details
    return Usage(
        prompt_tokens=last.prompt_tokens,
        completion_tokens=last.completion_tokens,
        cached_tokens=last.prompt_tokens_details.cached_tokens if last.prompt_tokens_details else None,
        reasoning_tokens=details.reasoning_tokens
        if details and details.reasoning_tokens is not None
        else last.reasoning_tokens,
    )


def _final_timings(last: _Timings | None) -> ServerTimings | None:
    if last is None:
        return None
    return ServerTimings(
        prefill_tokens=last.prompt_n,
        prefill_ms=last.prompt_ms,
        decode_tokens=last.predicted_n,
        decode_ms=last.predicted_ms,
        draft_tokens=last.draft_n,
        accepted_tokens=last.draft_n_accepted,
    )
