"""What the paced server is told (`Pace`), what it is asked (`Asked`), and what it sends (`Send`). Its misbehaviours by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

CONTEXT_TOKENS = 131_072
TEMPLATE_TOKENS = 4
"""What the chat template adds to every prompt."""
MS = 1_000_000

BEHAVIOURS = {
    # before the first token
    "early_role": "a role event MS after the request, before any token (early_role:20)",
    "early_empty": "an event with empty text MS after the request, before any token (early_empty:15)",
    "keep_alive": "a comment every MS until the first token (keep_alive:200)",
    "late_head": "the head leaves with the first event, not before it",
    # what an event is like
    "joined_role": "the role comes with the first text, not in an event of its own",
    "roles": "every event names the role",
    "nulls": "a delta's fields that are not there are null, as SGLang has it, the role event's content too",
    "reasoning": "the first N tokens are reasoning (reasoning:30)",
    "reasoning_field": "reasoning is in `reasoning`, as newer vLLM has it, not in `reasoning_content`",
    "tools": "after N tokens a tool call: its name, then its arguments in pieces (tools:4)",
    "mute_first": "the first N tokens have no text (mute_first:2)",
    "mute_last": "the last N tokens have no text (mute_last:2)",
    "first": "the first event carries N tokens (first:4)",
    "empty": "an event without text or tokens follows each token event",
    "late_finish": "the finish reason has an event of its own, without text",
    # counts
    "no_ids": "token_ids are never sent",
    "null_ids": "token_ids are null",
    "empty_ids": "token_ids are an empty list",
    "no_usage": "usage is never sent",
    "no_steps": "usage is sent once, at the end, even where it was asked for in every event",
    "null_usage": "usage is null until the end",
    "finish_usage": "the last usage comes with the finish reason, not in an event of its own",
    "no_final": "usage comes with every event, but not once more at the end",
    "late_usage": "the last usage comes MS after the last token (late_usage:60)",
    "no_details": "usage does not tell of cached tokens",
    "cached": "N prompt tokens are said to come from the cache (cached:64)",
    "prompt_off": "usage counts N prompt tokens too many (prompt_off:200)",
    # how it is framed and cut
    "crlf": "lines end in CRLF",
    "cr": "lines end in CR",
    "tight": "no space follows `data:`",
    "fields": "each event has a name and an id, too",
    "comments": "a comment stands before each event",
    "merge": "N events leave in one segment (merge:3)",
    "split": "each event leaves in two segments, cut inside a character where there is one",
    "torn": "each event leaves in up to five segments, cut anywhere, chunk sizes included, at places drawn from seed N (torn:7)",
    "drip": "each event leaves in pieces of N B, over half of the time before it is due (drip:1)",
    "close": "the connection is closed after each answer",
    "unchunked": "no chunks: the body ends with the connection",
    "content_length": "no chunks: the body's length is said beforehand",
    "no_done": "[DONE] is never sent",
    # how it ends
    "eos": "the model ends after N tokens, unless ignore_eos or min_tokens forbid it (eos:4)",
    "stop_early": "the model stops after N tokens, whatever was asked (stop_early:4)",
    "wrong_length": "the answer is off the asked length by N, and says that it has it (wrong_length:-1)",
    "finish_stop": "the finish reason is `stop`, whatever the length",
    "finish_tools": "the finish reason is `tool_calls`, whatever the length, as vLLM says of a tool call that was cut (vllm#53269)",
    "stall": "nothing for MS after the fourth token event (stall:2000)",
    "error": "an error event after N tokens (error:8)",
    "error_object": "an error event as SGLang has it, after N tokens (error_object:8)",
    "garbage": "an event that is no JSON after N tokens (garbage:8)",
    "cut": "the answer ends after N tokens without a finish reason (cut:8)",
    "hangup": "the connection is closed after N tokens and half an event (hangup:8)",
    "reset": "the connection is reset after N tokens (reset:8)",
    "http": "every completion is answered with status N (http:500)",
}


SAYS = {
    "words": "English words in the order of a text, from a place that depends on the prompt",
    "echo": "the prompt, again and again",
    "stuck": "one word for ever",
    "same": "the same words to every prompt",
    "salad": "letters at random",
    "nothing": "nothing",
}
"""What an answer is that is not streamed; a streamed one counts its words, so that each can be found again."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast, and how badly."""

    ttft_ns: int
    tpot_ns: int
    tokens_per_event: int = 1
    behave: dict[str, int] = {}
    says: str = "words"
    """A key of `SAYS`."""
    stranger: bool = False
    """It has the pages of OpenAI's interface and no others, and does not say who made it."""
    refuses: tuple[str, ...] = ()
    """Request fields that it answers with status 400."""
    jitter: float = 0.0
    """Share by which an answer's pace may be off, evenly spread from answer to answer."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A completion request, as far as it matters here."""

    chat: bool
    model: str
    stream: bool
    limit: int
    """`max_tokens`."""
    endless: bool
    """The model may not end by itself before the limit."""
    prompt: str = ""
    prompt_tokens: int
    ids: bool
    continuous: bool


class Send(msgspec.Struct, gc=False):
    """Bytes that leave together at `due_ns`; with them the client knows `tokens` more."""

    due_ns: int
    data: bytes
    tokens: int = 0
    bearing: int = 0
    """Of its events, those that bear tokens."""
    content: bool = False
    """Text of an answer is among it."""
    hidden: bool = False
    """Its tokens have neither text nor ids: only a count tells of them."""
    event: bool = True
    """It completes a data event."""
    end: bool = False
    """Of the answer."""
    broken: str = ""
    """`reset` or `hangup`: so ends the connection, and nothing is sent."""


def asked(path: str, body: Mapping[str, Any]) -> Asked:
    chat = path.endswith("/chat/completions")
    said = " ".join(str(m.get("content", "")) for m in body.get("messages", [])) if chat else str(body.get("prompt", ""))
    limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or 16)
    options = body.get("stream_options") or {}
    return Asked(
        chat=chat,
        model=str(body.get("model", "paced")),
        stream=bool(body.get("stream")),
        limit=limit,
        endless=bool(body.get("ignore_eos")) or int(body.get("min_tokens") or 0) >= limit,
        prompt=said,
        prompt_tokens=len(said.split()) + (TEMPLATE_TOKENS if chat else 0),
        ids=bool(body.get("return_token_ids")),
        continuous=bool(options.get("continuous_usage_stats")),
    )
