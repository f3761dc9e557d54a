"""What real servers' streams say. `data/` holds whole answers as vLLM 0.32.0, SGLang 0.5.23 and llama.cpp (xllamacpp 2026.10.11549) sent
them; they all ran SmolLM2-135M."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.load import chunks, sse
from harness.load.chunks import Answered
from harness.load.wire import Answer
from harness.schema.request import CONTENT, OTHER, REASONING, ROLE, TOKEN_KINDS, TOOL

DATA = Path(__file__).parent / "data"


def captured(name: str) -> Answered:
    answer = Answer()
    assert answer.feed((DATA / f"{name}.txt").read_bytes(), 1), "the framing is not understood"
    assert answer.status == 200
    return said(*(data for _, data in sse.events(answer.pieces, answer.stamps)))


def said(*events: object) -> Answered:
    """Event i comes at i; what is not bytes is written as JSON."""
    reader = chunks.Reader()
    for t_ns, event in enumerate(events):
        if not reader.take(t_ns, event if isinstance(event, bytes) else msgspec.json.encode(event)):
            break
    return reader.finish()


def choice(delta: object = None, finish: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish, **more}]}


@pytest.mark.parametrize(
    ("name", "tokens", "source", "first"),
    [
        ("vllm-chat-token-ids", 24, "token_ids", 1),
        ("vllm-chat", 24, "continuous_usage", 1),
        ("vllm-completions", 24, "continuous_usage", 1),
        ("vllm-ngram-chat-token-ids", 64, "token_ids", 1),
        ("sglang-chat", 24, "continuous_usage", 1),
        ("sglang-completions-token-ids", 24, "token_ids", 1),
        ("llamacpp-chat-timings", 12, "continuous_usage", 1),
        ("llamacpp-completions-timings", 12, "continuous_usage", 1),
        ("llamacpp-emoji-timings", 24, "continuous_usage", 3),
    ],
)
def test_tokens_of_each_event(name: str, tokens: int, source: str, first: int) -> None:
    """The sum over the events is the server's own total."""
    answer = captured(name)
    bearing = [event for event in answer.events if event.kind in TOKEN_KINDS]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(event.tokens or 0 for event in answer.events) == tokens
    assert all(event.text and event.kind == CONTENT for event in bearing)
    assert bearing[0].tokens == first
    assert (answer.token_source, answer.finish_reason, answer.ended, answer.error) == (source, "length", True, None)


def test_speculation_puts_several_tokens_into_an_event() -> None:
    events = [event for event in captured("vllm-ngram-chat-token-ids").events if event.text]
    assert (" four five six seven", 4) in [(event.text, event.tokens) for event in events]
    assert len(events) < 64


@pytest.mark.parametrize("name", ["vllm-chat-final-usage", "vllm-chat-no-usage", "sglang-chat-final-usage", "llamacpp-chat"])
def test_a_total_at_the_end_is_no_events_own(name: str) -> None:
    answer = captured(name)
    assert answer.token_source == "none"
    assert {event.tokens for event in answer.events} == {None}
    assert (answer.usage is None) == (name == "vllm-chat-no-usage")


@pytest.mark.parametrize("name", ["vllm-chat", "sglang-chat", "llamacpp-chat-timings"])
def test_the_role_event_bears_no_token(name: str) -> None:
    events = captured(name).events
    assert (events[0].kind, events[0].text, events[0].tokens or 0) == (ROLE, "", 0)
    assert events[1].kind == CONTENT


def test_what_the_server_says_beside_the_text() -> None:
    sglang = captured("sglang-chat").usage
    assert sglang is not None
    assert (sglang.prompt_tokens, sglang.cached_tokens, sglang.reasoning_tokens) == (38, 37, 0)
    llama = captured("llamacpp-chat").timings
    assert llama is not None
    assert (llama.prefill_tokens, llama.prefill_ms, llama.decode_tokens, llama.decode_ms) == (1, 150.303, 6, 715.666)


def test_the_finish_may_carry_the_only_usage() -> None:
    """As llama.cpp's completions without `timings_per_token`: the total must not become the last event's tokens."""
    answer = said(
        {"choices": [{"text": "a"}]},
        {"choices": [{"text": "b"}]},
        {"choices": [{"text": "", "finish_reason": "length"}], "usage": {"completion_tokens": 5}},
    )
    assert [(event.kind, event.tokens) for event in answer.events] == [(CONTENT, None), (CONTENT, None), (OTHER, None)]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_kinds(field: str) -> None:
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a'}}]}
    more = {"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]}
    answer = said(
        choice({"role": "assistant", "content": ""}),
        choice({field: "hm", "content": None}),
        choice({field: "!", "content": "so"}),
        choice({"content": "yes"}),
        choice(call),
        choice(more),
        choice({"tool_calls": [{"function": {"arguments": ""}}]}),
        choice({}, "tool_calls"),
        {"choices": [], "usage": {"completion_tokens": 6}},
    )
    assert [(event.kind, event.text) for event in answer.events] == [
        (ROLE, ""),
        (REASONING, "hm"),
        (CONTENT, "!so"),
        (CONTENT, "yes"),
        (TOOL, 'f{"a'),
        (TOOL, '":1}'),
        (OTHER, ""),
        (OTHER, ""),
        (OTHER, ""),
    ]


def test_ids_without_text_bear_tokens_of_the_kind_around_them() -> None:
    """`<think>` and `</think>` are hidden by the server, and half a character is held back."""
    answer = said(
        choice({"role": "assistant", "content": ""}),
        choice({}, token_ids=[1]),
        choice({"reasoning": "hm"}, token_ids=[2]),
        choice({}, token_ids=[3]),
        choice({"content": "a"}, token_ids=[4]),
        choice({"content": ""}, token_ids=[5]),
        choice({"content": "é"}, token_ids=[6]),
        choice({}, token_ids=[]),
        choice({}, "stop"),
    )
    kinds = [ROLE, REASONING, REASONING, REASONING, CONTENT, CONTENT, CONTENT, OTHER, OTHER]
    assert [event.kind for event in answer.events] == kinds
    assert sum(event.tokens or 0 for event in answer.events) == 6
    assert [event.kind for event in said(choice({}, token_ids=[1]), choice({}, "stop")).events] == [CONTENT, OTHER]


def test_a_count_that_moves_without_text_is_kept_but_is_no_token_seen() -> None:
    answer = said(
        choice({"role": "assistant"}) | {"usage": {"completion_tokens": 0}},
        choice({"content": ""}) | {"usage": {"completion_tokens": 1}},
        choice({"content": "é"}) | {"usage": {"completion_tokens": 2}},
        choice({}, "stop") | {"usage": {"completion_tokens": 2}},
    )
    assert [(event.kind, event.tokens) for event in answer.events] == [(ROLE, 0), (OTHER, 1), (CONTENT, 1), (OTHER, 0)]


@pytest.mark.parametrize(
    ("event", "error", "detail"),
    [
        ({"error": {"message": "out of memory"}}, "server_error", "out of memory"),
        ({"object": "error", "message": "too long"}, "server_error", "too long"),
        (b"{not json", "bad_sse", "{not json"),
        (b'{"choices": [{"delta": {"content": "\xe8"}}]}', "bad_sse", "utf-8"),
        (b'{"x":' + b"[" * 10**5, "bad_sse", "recursion"),
        ({"choices": [], "usage": {"completion_tokens": 2**63}}, "bad_sse", "completion_tokens"),
        ({"choices": [{"delta": {"content": ["a"]}}]}, "bad_sse", "content"),
    ],
)
def test_a_stream_is_read_up_to_its_error(event: object, error: str, detail: str) -> None:
    answer = said(choice({"content": "a"}), event, choice({"content": "b"}, "stop"))
    assert answer.error == error
    assert detail in answer.error_detail
    assert [e.text for e in answer.events] == ["a"]
    assert not answer.ended


def test_null_is_no_error() -> None:
    answer = said({"error": None, **choice({"content": "a"}, "stop")}, b"[DONE]")
    assert answer.error is None
    assert answer.ended
