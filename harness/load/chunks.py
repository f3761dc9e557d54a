"""OpenAI's streamed chunks, as vLLM, SGLang and llama.cpp send them, into the events, counts and end of one answer.

Where an event's number of tokens comes from, best first: `token_ids`; the step of a continuous `usage.completion_tokens`; the step of
llama.cpp's `timings.predicted_n`. A step is an event's own only while every event with text has brought a count: a usage that comes once,
at the end, is nobody's step.

An event without text but with `token_ids` bears tokens [t_any]: a server that holds back half a character, or hides `<think>`, has
generated a token then and says which. Its kind is that of the text before it, else of the text after it. Where only a count moved, the
event keeps its kind (`role`, `other`) and has the step in `tokens`: no token of it has been seen, but none is lost to the sum.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from harness.schema.request import CONTENT, OTHER, REASONING, ROLE, TOKEN_KINDS, TOOL, Event, ServerTimings, Usage
from harness.typed import decoder

DETAIL_CHARS = 500


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Tool(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Tool] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None


Count = Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]
"""More tokens than any server gives: a larger number is as broken as none, and would not fit what it is stored in."""


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    reasoning_tokens: Count | None = None


class _Timings(msgspec.Struct, gc=False):
    prompt_n: Count = 0
    prompt_ms: float = 0.0
    predicted_n: Count = 0
    predicted_ms: float = 0.0
    draft_n: Count | None = None
    draft_n_accepted: Count | None = None


_NOTHING = msgspec.Raw()


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: msgspec.Raw = _NOTHING


class _Named(msgspec.Struct):
    object: Any = None


_DECODE = decoder(_Chunk).decode
_NAMED = decoder(_Named).decode


class Answered(msgspec.Struct, kw_only=True):
    """What one answer said."""

    events: list[Event] = []
    token_source: str = "none"
    finish_reason: str | None = None
    usage: Usage | None = None
    timings: ServerTimings | None = None
    ended: bool = False
    """It said `[DONE]` or gave a finish reason."""
    error: str | None = None
    """`bad_sse` or `server_error`: nothing after it was read."""
    error_detail: str = ""


class Reader:
    """Takes the data of a stream's events in order; then `finish` gives what they said."""

    def __init__(self) -> None:
        self._said = Answered()
        self._usage: _Usage | None = None
        self._timings: _Timings | None = None
        self._counted = 0  # tokens so far by a continuous count
        self._even = True  # so far each event with text had a count
        self._silent: list[int] = []  # places of events with token ids but no text

    def take(self, t_ns: int, data: bytes) -> bool:
        """One event; False when the stream cannot be read on."""
        said = self._said
        if data == b"[DONE]":
            said.ended = True
            return True
        try:
            chunk = _DECODE(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return self._broken("bad_sse", f"{error}: {data[:DETAIL_CHARS].decode('utf-8', 'replace')}")
        choices = chunk.choices
        if (chunk.error is not _NOTHING or not choices) and (wrong := _error(chunk, data)):
            return self._broken("server_error", wrong.decode("utf-8", "replace")[:DETAIL_CHARS])
        kind, text, tokens = OTHER, "", None
        usage, timings, step = chunk.usage, chunk.timings, None
        if timings is not None:
            self._timings = timings
            step = self._step(timings.predicted_n)
        if usage is not None:
            self._usage = usage
            if usage.completion_tokens is not None:
                step = self._step(usage.completion_tokens)
        if choices:
            choice = choices[0]
            kind, text = _text(choice)
            if choice.token_ids:  # an empty list tells nothing of the text beside it
                tokens, said.token_source = len(choice.token_ids), "token_ids"
                if not text:
                    self._silent.append(len(said.events))
            elif step is None:
                self._even = self._even and not text
            elif self._even and step >= 0:
                tokens = step
                if said.token_source == "none":
                    said.token_source = "continuous_usage"
            if choice.finish_reason is not None:
                said.finish_reason, said.ended = choice.finish_reason, True
        said.events.append(Event(t_ns, kind, text, tokens))
        return True

    def finish(self) -> Answered:
        said = self._said
        if self._silent:
            _name_silent(said.events, self._silent)
        if said.token_source == "continuous_usage" and not self._even:
            said.token_source = "none"
            said.events = [msgspec.structs.replace(event, tokens=None) for event in said.events]
        said.usage = _final_usage(self._usage) if self._usage else None
        said.timings = _final_timings(self._timings) if self._timings else None
        return said

    def _step(self, count: int) -> int:
        """By how much a count has grown since the last."""
        before, self._counted = self._counted, count
        return count - before

    def _broken(self, error: str, detail: str) -> bool:
        self._said.error, self._said.error_detail = error, detail
        return False


def _error(chunk: _Chunk, data: bytes) -> bytes:
    """What the server says went wrong: `{"error": …}`, or SGLang's `{"object": "error", …}`."""
    wrong = bytes(chunk.error)
    if wrong not in (b"", b"null"):
        return wrong
    return data if not chunk.choices and chunk.usage is None and _NAMED(data).object == "error" else b""


def _text(choice: _Choice) -> tuple[str, str]:
    """(kind, text) of one choice. An event that brings answer text beside something else is of kind `content`."""
    if choice.text:
        return CONTENT, choice.text
    delta = choice.delta
    if delta is None:
        return OTHER, ""
    reasoning = delta.reasoning_content or delta.reasoning
    if not reasoning and not delta.tool_calls:  # nearly always
        if delta.content:
            return CONTENT, delta.content
        return (ROLE if delta.role else OTHER), ""
    content, reasoning = delta.content or "", reasoning or ""
    called = [tool.function for tool in delta.tool_calls or () if tool.function]
    tool = "".join((function.name or "") + (function.arguments or "") for function in called)
    if content:
        kind = CONTENT
    elif tool:
        kind = TOOL
    elif reasoning:
        kind = REASONING
    else:
        kind = ROLE if delta.role else OTHER
    return kind, reasoning + content + tool


def _name_silent(events: list[Event], silent: list[int]) -> None:
    kind = next((event.kind for event in events if event.kind in TOKEN_KINDS), CONTENT)
    at = 0
    for place in silent:
        kind = next((event.kind for event in reversed(events[at:place]) if event.kind in TOKEN_KINDS), kind)
        events[place] = msgspec.structs.replace(events[place], kind=kind)
        at = place


def _final_usage(last: _Usage) -> Usage:
    details = last.completion_tokens_details
    reasoning = details.reasoning_tokens if details else None
    return Usage(
        prompt_tokens=last.prompt_tokens,
        completion_tokens=last.completion_tokens,
        cached_tokens=last.prompt_tokens_details.cached_tokens if last.prompt_tokens_details else None,
        reasoning_tokens=last.reasoning_tokens if reasoning is None else reasoning,
    )


def _final_timings(last: _Timings) -> ServerTimings:
    return ServerTimings(
        prefill_tokens=last.prompt_n,
        prefill_ms=last.prompt_ms,
        decode_tokens=last.predicted_n,
        decode_ms=last.predicted_ms,
        draft_tokens=last.draft_n,
        accepted_tokens=last.draft_n_accepted,
    )
