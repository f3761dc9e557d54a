"""What the paced server says, and when: a completion request in, its answer out as timed pieces. Pure.

Token event j of a request is due at received + ttft + j·k·tpot. Behaviours change that answer one by one, and can be combined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

TEMPLATE_TOKENS = 4
"""What the chat template adds to every prompt."""
MS = 1_000_000

BEHAVIOURS = {
    "early_role": "a role event MS after the request, before any token (early_role:20)",
    "reasoning": "the first N tokens are reasoning (reasoning:30)",
    "merge": "N events leave in one segment (merge:3)",
    "split": "each event leaves in two segments, cut inside a character where there is one",
    "crlf": "lines end in CRLF",
    "comments": "a comment stands before each event",
    "close": "the connection is closed after each answer",
    "unchunked": "no chunks: the body ends with the connection",
    "no_usage": "usage is never sent",
    "no_steps": "usage is sent once, at the end, even where it was asked for in every event",
    "no_ids": "token_ids are never sent",
    "no_done": "[DONE] is never sent",
    "late_finish": "the finish reason has an event of its own, without text",
    "empty": "an event without text or tokens follows each token event",
    "eos": "the model ends after N tokens, unless ignore_eos or min_tokens forbid it (eos:4)",
    "stop_early": "the model stops after N tokens, whatever was asked (stop_early:4)",
    "stall": "nothing for MS after the fourth token event (stall:2000)",
    "error": "an error event after N tokens (error:8)",
    "cut": "the answer ends after N tokens without a finish reason (cut:8)",
    "reset": "the connection is reset after N tokens (reset:8)",
    "cached": "N prompt tokens are said to come from the cache (cached:64)",
    "http": "every completion answers this status (http:500)",
}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast, and how badly."""

    ttft_ns: int
    tpot_ns: int
    tokens_per_event: int = 1
    behave: dict[str, int] = {}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A completion request, as far as it matters here."""

    chat: bool
    model: str
    stream: bool
    limit: int
    """`max_tokens`."""
    endless: bool
    """The model may not end by itself before the limit."""
    prompt_tokens: int
    ids: bool
    continuous: bool


class Send(msgspec.Struct, gc=False):
    """Bytes that leave together at `due_ns`; with them the client knows `tokens` more. `end` ends the answer, `reset` the connection."""

    due_ns: int
    data: bytes
    tokens: int = 0
    end: bool = False
    reset: bool = False


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
        prompt_tokens=len(said.split()) + (TEMPLATE_TOKENS if chat else 0),
        ids=bool(body.get("return_token_ids")),
        continuous=bool(options.get("continuous_usage_stats")),
    )


def answer(ask: Asked, pace: Pace, received_ns: int) -> Iterator[Send]:
    """The streamed answer, made piece by piece as it is sent."""
    sends = _events(ask, pace, received_ns)
    if pace.behave.get("merge", 0) > 1:
        sends = _merged(sends, pace.behave["merge"])
    if "split" in pace.behave:
        sends = _split(sends)
    return sends


def whole(ask: Asked, pace: Pace, received_ns: int) -> Send:
    """The answer in one piece, when its last token would have come."""
    tokens = _length(ask, pace)
    text = "".join(map(_word, range(tokens)))
    part = {"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}
    finish = "length" if tokens == ask.limit else "stop"
    body = {"model": ask.model, "choices": [{"index": 0, "finish_reason": finish, **part}], "usage": _usage(ask, pace, tokens)}
    due = received_ns + pace.ttft_ns + (tokens - 1) // pace.tokens_per_event * pace.tokens_per_event * pace.tpot_ns
    return Send(due, msgspec.json.encode(body), tokens, end=True)


def _length(ask: Asked, pace: Pace) -> int:
    ends = [pace.behave["stop_early"]] if "stop_early" in pace.behave else []
    if "eos" in pace.behave and not ask.endless:
        ends.append(pace.behave["eos"])
    return min([ask.limit, *ends])


def _events(ask: Asked, pace: Pace, received_ns: int) -> Iterator[Send]:
    behave, k, total = pace.behave, pace.tokens_per_event, _length(ask, pace)
    reasoning, late = behave.get("reasoning", 0), "late_finish" in behave
    render = _Renderer(ask, pace)
    due, done = received_ns + pace.ttft_ns, 0
    if ask.chat:
        yield Send(received_ns + behave["early_role"] * MS if "early_role" in behave else due, render.role())
    while done < total:
        if "stall" in behave and done == 4 * k:
            due += behave["stall"] * MS
        step = min(k, total - done, reasoning - done if done < reasoning else total)
        finish = None if done + step < total or late else "length" if total == ask.limit else "stop"
        yield Send(due, render.tokens(done, step, finish, reasoning=done < reasoning), step)
        done += step
        if "empty" in behave:
            yield Send(due, render.text("", done, None))
        for name in ("error", "cut", "reset"):
            if name in behave and done >= behave[name]:
                yield _broken(name, due, render)
                return
        if done < total:
            due += k * pace.tpot_ns
    if late:
        yield Send(due, render.text("", total, "length" if total == ask.limit else "stop"))
    if "no_usage" not in behave:
        usage = {"id": "paced", "model": ask.model, "choices": [], "usage": _usage(ask, pace, total)}
        yield Send(due, render.event(msgspec.json.encode(usage).decode()))
    yield Send(due, b"" if "no_done" in behave else render.event("[DONE]"), end=True)


def _broken(how: str, due: int, render: _Renderer) -> Send:
    if how == "reset":
        return Send(due + MS, b"", reset=True)  # when what was sent before has been read
    wrong = '{"error":{"message":"the paced server was told to fail","type":"InternalServerError","code":500}}'
    return Send(due, render.event(wrong) if how == "error" else b"", end=True)


def _usage(ask: Asked, pace: Pace, tokens: int) -> dict[str, Any]:
    details = {"cached_tokens": pace.behave.get("cached", 0)}
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": ask.prompt_tokens + tokens,
        "prompt_tokens_details": details,
    }


def _word(n: int) -> str:
    return f" wörd{n}"


class _Renderer:
    """Events as vLLM writes them, from prepared pieces: a thousand streams are rendered while they are paced."""

    def __init__(self, ask: Asked, pace: Pace) -> None:
        kind = "chat.completion.chunk" if ask.chat else "text_completion"
        model = msgspec.json.encode(ask.model).decode()
        self._chat, behave = ask.chat, pace.behave
        self._head = f'{{"id":"paced","object":"{kind}","created":1,"model":{model},"choices":[{{"index":0,'
        self._ids = ask.ids and "no_ids" not in behave
        self._continuous = ask.continuous and "no_usage" not in behave and "no_steps" not in behave
        self._prompt = ask.prompt_tokens
        self._newline = "\r\n" if "crlf" in behave else "\n"
        self._before = f": keep-alive{self._newline * 2}" if "comments" in behave else ""

    def role(self) -> bytes:
        return self._chunk('"delta":{"role":"assistant","content":""}', 0, None, "")

    def tokens(self, done: int, step: int, finish: str | None, *, reasoning: bool) -> bytes:
        text = "".join(map(_word, range(done, done + step))) if step > 1 else f" wörd{done}"
        ids = f',"token_ids":[{",".join(map(str, range(done, done + step)))}]' if self._ids else ""
        return self.text(text, done + step, finish, reasoning=reasoning, ids=ids)

    def text(self, text: str, so_far: int, finish: str | None, *, reasoning: bool = False, ids: str = "") -> bytes:
        name = "reasoning_content" if reasoning else "content"
        return self._chunk(f'"delta":{{"{name}":"{text}"}}' if self._chat else f'"text":"{text}"', so_far, finish, ids)

    def _chunk(self, part: str, so_far: int, finish: str | None, ids: str) -> bytes:
        end = f'"{finish}"' if finish else "null"
        usage = ""
        if self._continuous:
            usage = f',"usage":{{"prompt_tokens":{self._prompt},"completion_tokens":{so_far}}}'
        return self.event(f'{self._head}{part},"finish_reason":{end}{ids}}}]{usage}}}')

    def event(self, data: str) -> bytes:
        return f"{self._before}data: {data}{self._newline}{self._newline}".encode()


def _merged(sends: Iterable[Send], number: int) -> Iterator[Send]:
    """Groups of them in one segment, at the last one's time."""
    sends = iter(sends)
    while group := list(islice(sends, number)):
        last = group[-1]
        yield Send(last.due_ns, b"".join(send.data for send in group), sum(send.tokens for send in group), last.end, last.reset)


def _split(sends: Iterable[Send]) -> Iterator[Send]:
    """Each in two segments, the second one at its time."""
    for send in sends:
        at = send.data.find("ö".encode()) + 1 or len(send.data) // 2
        if at:
            yield Send(send.due_ns - MS // 2, send.data[:at])
        yield Send(send.due_ns, send.data[at:], send.tokens, send.end, send.reset)
