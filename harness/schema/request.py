"""One request as it happened: raw facts only. Times are CLOCK_MONOTONIC nanoseconds; whatever can be derived is not here.

Symbols in brackets are those of `docs/metrics.md`.
"""

from __future__ import annotations

import msgspec

ROLE, CONTENT, REASONING, TOOL, OTHER = "role", "content", "reasoning", "tool", "other"
TOKEN_KINDS = (CONTENT, REASONING, TOOL)


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One server-sent `data:` event."""

    t_ns: int
    """When the kernel received the segment that completed it."""
    kind: str
    """`content`, `reasoning` or `tool` when it carries token text (or token ids); `role` for a bare role; `other` for the rest."""
    text: str
    tokens: int | None
    """Tokens in this event by the server's own account (`token_ids`, or the step of a continuous count); None: it did not say."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The server's final count."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class ServerTimings(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine itself says of this request (llama.cpp's `timings`): a free cross-check."""

    prefill_tokens: int
    prefill_ms: float
    decode_tokens: int
    decode_ms: float
    """From the first token to the last, so it spans `decode_tokens - 1` steps."""
    draft_tokens: int | None = None
    accepted_tokens: int | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request, whether it went well or not."""

    index: int
    """Position in the trial's workload."""
    phase: str
    """`warmup`, `prime` (loads a context into the prefix cache) or `measure`."""
    slot: int
    asked_tokens: int | None = None
    """Tokens that the answer must have; None: the model ends it."""
    asked_prompt_tokens: int | None = None
    """Tokens that the prompt was made to have; None: not known beforehand, since it carries answers."""
    turn: int = 0
    """Its place in its conversation."""
    t_sched_ns: int
    """When the schedule meant to send it; in closed loop when it was sent [t_sched]."""
    t_send_ns: int
    """Just before the first byte is handed to the kernel [t_send]."""
    t_hdr_ns: int | None = None
    t_end_ns: int
    """The last byte of the answer, or the failure."""
    status: int | None = None
    error: str | None = None
    """A reason code: `connect`, `reset`, `timeout`, `http_500`, `bad_http`, `bad_sse`, `server_error`, `truncated`,
    `interrupted`, `unanswered` (not sent, since the turn before it failed); None: answered whole."""
    error_detail: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    timings: ServerTimings | None = None
    token_source: str = "none"
    """Where `Event.tokens` come from: `token_ids`, `continuous_usage`, or `none`."""
    first_tokens: int | None = None
    """Tokens in the first token-bearing event as the tokenizer counts them, where no event says it."""
    retokenized: int | None = None
    """All generated text through the tokenizer, where it was asked."""
    stamps: str = "user"
    """`kernel` (SO_TIMESTAMPNS) or `user`."""
    bytes_in: int = 0
    reads: int = 0
    """recvmsg calls that returned data; far fewer than events means that reads were late and stamps merged."""
    events: tuple[Event, ...] = ()
