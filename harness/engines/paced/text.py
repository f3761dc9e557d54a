"""The paced server's events and counters as bytes, the way vLLM writes them (SGLang and llama.cpp where a behaviour says so). Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from itertools import cycle, islice
from typing import Any

import msgspec

from harness.engines.paced.behaviours import Asked, Pace

CONTENT, REASONING, NAME, ARGUMENTS = "content", "reasoning", "name", "arguments"
"""What a token is part of: the answer, reasoning, a tool call's name, its arguments."""

_COMPLETION = dict.fromkeys((CONTENT, REASONING, NAME, ARGUMENTS), ('"text":"', '"'))

ERRORS = {
    "error": '{"error":{"message":"the paced server was told to fail","type":"InternalServerError","code":500}}',
    "error_object": '{"object":"error","message":"the paced server was told to fail","type":"InternalServerError","code":500}',
    "garbage": '{"choices":[{"index":0,"del',
}


PASSAGE = (
    "When the sun warms the sea, some of the water rises into the air. High up it is cold, and there the vapour turns into drops so "
    "small that they float and gather as clouds. In time the drops meet and grow, and once the air can not carry them any more they "
    "fall to the ground as rain, which runs in brooks and rivers down to the sea."
)


def spoken(says: str, prompt: str, tokens: int) -> str:
    """What an answer of so many words is that is not streamed; `says` is a key of `SAYS`. The same prompt gives the same answer."""
    draw, passage = random.Random(prompt), PASSAGE.split()
    start = 0 if says == "same" else draw.randrange(len(passage))
    words = passage[start:] + passage[:start]
    match says:
        case "echo":
            words = prompt.split() or passage
        case "stuck":
            words = ["the"]
        case "salad":
            words = ["".join(chr(draw.randrange(0x61, 0x250)) for _ in range(6)) for _ in range(tokens)]
        case "nothing":
            return ""
    return "".join(f" {word}" for word in islice(cycle(words), tokens))


def word(n: int) -> str:
    """Token n as text."""
    return f" wörd{n}"


def usage(ask: Asked, pace: Pace, tokens: int) -> dict[str, Any]:
    prompt = ask.prompt_tokens + pace.behave.get("prompt_off", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
        "prompt_tokens_details": None if "no_details" in pace.behave else {"cached_tokens": pace.behave.get("cached", 0)},
    }


class Text:
    """Of one answer, from prepared pieces: a thousand streams are written while they are paced."""

    def __init__(self, ask: Asked, pace: Pace) -> None:
        behave = pace.behave
        kind = "chat.completion.chunk" if ask.chat else "text_completion"
        model = msgspec.json.encode(ask.model).decode()
        self._ask, self._pace = ask, pace
        self._head = f'{{"id":"paced","object":"{kind}","created":1,"model":{model},"choices":[{{"index":0,'
        field = "reasoning" if "reasoning_field" in behave else "reasoning_content"
        self._around = _around(roles="roles" in behave, nulls="nulls" in behave, field=field) if ask.chat else _COMPLETION
        self.ids = ask.ids and behave.keys().isdisjoint(("no_ids", "null_ids", "empty_ids"))
        self._no_ids = ',"token_ids":null' if "null_ids" in behave else ',"token_ids":[]' if "empty_ids" in behave else ""
        self._continuous = ask.continuous and behave.keys().isdisjoint(("no_usage", "no_steps", "null_usage"))
        self._no_usage = ',"usage":null' if "null_usage" in behave else ""
        self._prompt = ask.prompt_tokens + behave.get("prompt_off", 0)
        self._newline = newline = "\r\n" if "crlf" in behave else "\r" if "cr" in behave else "\n"
        self._before = f": keep-alive{newline * 2}" if "comments" in behave else ""
        self._before += f"event: message{newline}id: 1{newline}" if "fields" in behave else ""
        self._before += "data:" if "tight" in behave else "data: "

    def comment(self) -> bytes:
        return f": keep-alive{self._newline * 2}".encode()

    def role(self) -> bytes:
        nothing = '"reasoning_content":null,"content":null' if "nulls" in self._pace.behave else '"content":""'
        return self._chunk(f'"delta":{{"role":"assistant",{nothing}}}', 0, None, self._no_ids)

    def tokens(self, done: int, step: int, finish: str | None, kind: str, *, mute: bool = False) -> bytes:
        """Tokens `done` to `done + step`."""
        before, after = self._around[kind]
        if step == 1:
            text, ids = f" wörd{done}", f"{done}"
        else:
            text, ids = "".join(map(word, range(done, done + step))), ",".join(map(str, range(done, done + step)))
        ids = f',"token_ids":[{ids}]' if self.ids else self._no_ids
        return self._chunk(f"{before}{'' if mute else text}{after}", done + step, finish, ids)

    def nothing(self, so_far: int, finish: str | None) -> bytes:
        """An event with empty text."""
        before, after = self._around[CONTENT]
        return self._chunk(f"{before}{after}", so_far, finish, self._no_ids)

    def joined(self, step: int, finish: str | None, kind: str) -> bytes:
        """The first tokens, with the role."""
        return self.tokens(0, step, finish, kind).replace(b'"delta":{', b'"delta":{"role":"assistant",', 1)

    def last_usage(self, tokens: int) -> bytes:
        said = {"id": "paced", "model": self._ask.model, "choices": [], "usage": usage(self._ask, self._pace, tokens)}
        return self.event(msgspec.json.encode(said).decode())

    def event(self, data: str) -> bytes:
        return f"{self._before}{data}{self._newline}{self._newline}".encode()

    def _chunk(self, part: str, so_far: int, finish: str | None, ids: str) -> bytes:
        counted = self._no_usage
        if self._continuous:
            counted = f',"usage":{{"prompt_tokens":{self._prompt},"completion_tokens":{so_far}}}'
        if finish is None:
            return self.event(f'{self._head}{part},"finish_reason":null{ids}}}]{counted}}}')
        if "finish_usage" in self._pace.behave:
            counted = f',"usage":{msgspec.json.encode(usage(self._ask, self._pace, so_far)).decode()}'
        return self.event(f'{self._head}{part},"finish_reason":"{finish}"{ids}}}]{counted}}}')


def metrics(totals: Mapping[str, int], ttft_sum_s: float, tokens_per_event: int) -> str:
    """The page of counters, by vLLM's names."""
    rows = {
        "vllm:prompt_tokens_total": totals["prompt"],
        "vllm:generation_tokens_total": totals["generation"],
        "vllm:request_success_total": totals["finished"],
        "vllm:prefix_cache_queries_total": totals["prompt"],
        "vllm:prefix_cache_hits_total": totals["cached"],
        "vllm:prompt_tokens_cached_total": totals["cached"],
    }
    if tokens_per_event > 1:
        rows["vllm:spec_decode_num_drafts_total"] = totals["drafts"]
        rows["vllm:spec_decode_num_draft_tokens_total"] = totals["drafts"] * (tokens_per_event - 1)
        rows["vllm:spec_decode_num_accepted_tokens_total"] = totals["accepted"]
    page = "".join(f"# TYPE {name.removesuffix('_total')} counter\n{name} {value}\n" for name, value in rows.items())
    ttft, count = "vllm:time_to_first_token_seconds", totals["ttft_count"]
    return page + (
        f'# TYPE {ttft} histogram\n{ttft}_bucket{{le="+Inf"}} {count}\n{ttft}_count {count}\n{ttft}_sum {ttft_sum_s}\n'
    )


@cache
def _around(*, roles: bool, nulls: bool, field: str) -> dict[str, tuple[str, str]]:
    """What stands before and after a chat's text."""
    delta = '"delta":{"role":"assistant",' if roles else '"delta":{'
    no_reasoning, no_content = (f'"{field}":null,', '"content":null,') if nulls else ("", "")
    call = f'{delta}"tool_calls":[{{"index":0,'
    return {
        CONTENT: (f'{delta}{no_reasoning}"content":"', '"}'),
        REASONING: (f'{delta}{no_content}"{field}":"', '"}'),
        NAME: (f'{call}"id":"call-1","type":"function","function":{{"name":"', '","arguments":""}}]}'),
        ARGUMENTS: (f'{call}"function":{{"arguments":"', '"}}]}'),
    }
