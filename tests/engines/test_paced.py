"""The paced server keeps its own promises: its schedule, its log, its pages, and its behaviours."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from itertools import pairwise
from statistics import median

import msgspec
import pytest

from harness.engines import detect, paced
from harness.engines.paced import schedule, segments
from harness.engines.paced.behaviours import CONTEXT_TOKENS, MS, TEMPLATE_TOKENS, Asked, Pace, Send
from harness.http import Reply, fetch
from tests import paced_server

PACE = Pace(ttft_ns=50 * MS, tpot_ns=10 * MS)
ASK = Asked(chat=True, model="m", stream=True, limit=12, endless=True, prompt_tokens=7, ids=True, continuous=True)


def sends(k: int = 1, **behave: int) -> list[Send]:
    return answered(ASK, behave, k)


def answered(ask: Asked, behave: Mapping[str, int], k: int = 1) -> list[Send]:
    return list(schedule.answer(ask, msgspec.structs.replace(PACE, tokens_per_event=k, behave=dict(behave)), 1000 * MS))


def due_ms(found: list[Send]) -> list[float]:
    return [send.due_ns / MS - 1000 for send in found if send.tokens]


def events(found: list[Send]) -> list[bytes]:
    return b"".join(send.data for send in found).replace(b"\r\n", b"\n").split(b"\n\n")[:-1]


def test_the_schedule_is_absolute() -> None:
    assert due_ms(sends()) == [50 + 10 * j for j in range(12)]
    assert [send.tokens for send in sends(k=5) if send.tokens] == [5, 5, 2]
    assert due_ms(sends(k=5)) == [50, 100, 150]
    assert due_ms(sends(stall=500)) == [50, 60, 70, 80, *range(590, 670, 10)]


@pytest.mark.parametrize(
    "behave", [{}, {"merge": 3}, {"split": 1}, {"crlf": 1}, {"merge": 4, "crlf": 1}, {"split": 1, "crlf": 1}]
)
def test_cutting_and_framing_leave_the_events_alone(behave: Mapping[str, int]) -> None:
    found = answered(ASK, behave)
    assert events(found) == events(sends())
    assert sum(send.tokens for send in found) == 12
    assert [send.end for send in found] == [False] * (len(found) - 1) + [True]


def test_each_cut_is_where_it_is_said_to_be() -> None:
    whole = len(sends())
    assert len(sends(merge=3)) == -(-whole // 3)
    assert len(sends(split=1)) == 2 * whole
    halves = [send.data for send in sends(split=1) if "ö".encode()[:1] == send.data[-1:]]
    assert len(halves) == 12, "not inside a character"


def test_behaviours_change_what_they_name() -> None:
    plain = b"\n".join(events(sends()))
    assert plain.count(b'"token_ids"') == plain.count(b'"content":" ') == 12
    assert plain.count(b'"completion_tokens"') == 14
    assert plain.count(b'"finish_reason":"length"') == 1
    assert b'"token_ids"' not in b"\n".join(events(sends(no_ids=1)))
    assert b"\n".join(events(sends(no_steps=1))).count(b'"completion_tokens"') == 1
    assert b"usage" not in b"\n".join(events(sends(no_usage=1)))
    assert b"\n".join(events(sends(reasoning=5))).count(b"reasoning_content") == 5
    assert events(sends())[-1] == b"data: [DONE]"
    assert b"[DONE]" not in events(sends(no_done=1))[-1]
    assert b'"finish_reason":"stop"' in b"\n".join(events(sends(stop_early=3)))
    assert b": keep-alive" in events(sends(comments=1))
    assert sends(early_role=20)[0].due_ns == 1020 * MS
    assert sends(reset=4)[-1].broken == "reset"
    assert b"error" in events(sends(error=4))[-1]
    assert [sum(send.tokens for send in answered(ASK, {name: 4})) for name in ("error", "cut", "reset", "stop_early")] == [
        4
    ] * 4
    assert b'finish_reason":"' not in b"\n".join(events(sends(cut=4)))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "behave",
    [
        {},
        {"reasoning": 5, "reasoning_field": 1, "nulls": 1},
        {"tools": 4, "joined_role": 1},
        {"reasoning": 2, "tools": 6, "roles": 1},
        {"mute_first": 3, "mute_last": 3, "empty": 1},
        {"mute_first": 3, "no_ids": 1},
        {"first": 5, "late_finish": 1, "finish_usage": 1},
        {"wrong_length": 2, "finish_stop": 1},
        {"wrong_length": -2, "null_ids": 1, "null_usage": 1, "no_details": 1},
        {"early_role": 9, "early_empty": 3, "keep_alive": 4, "empty_ids": 1, "late_usage": 30},
    ],
)
def test_what_is_logged_of_an_event_is_what_it_says(k: int, behave: dict[str, int]) -> None:
    found = sends(k, **behave)
    total = 0
    assert [send.due_ns for send in found] == sorted(send.due_ns for send in found)
    for send in found:
        said = send.data.partition(b"data: ")[2].strip()
        assert bool(said) == send.event
        chunk = msgspec.json.decode(said) if send.event and not send.end else {}
        if not chunk.get("choices"):
            assert not send.tokens
            continue
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        called = [one["function"] for one in delta.get("tool_calls", [])]
        reasoning = delta.get("reasoning") or delta.get("reasoning_content") or ""
        text = (delta.get("content") or "") + reasoning + "".join(one.get("name", "") + one["arguments"] for one in called)
        total += send.tokens
        ids = choice.get("token_ids") or []
        assert len(text.split()) in (send.tokens, 0)
        assert len(ids) in (send.tokens, 0)
        assert send.bearing == bool(send.tokens)
        assert send.hidden == bool(send.tokens and not text and not ids)
        assert send.content == bool(delta.get("content"))
        if chunk.get("usage"):
            assert chunk["usage"]["completion_tokens"] == total
    assert total == 12 + behave.get("wrong_length", 0)


@pytest.mark.parametrize("behave", [{"torn": 1}, {"drip": 1}, {"drip": 20, "late_head": 1}, {"late_head": 1, "torn": 3}])
@pytest.mark.parametrize("chunked", [True, False])
def test_cutting_on_the_wire_leaves_the_bytes_alone_and_the_last_one_on_time(behave: dict[str, int], chunked: bool) -> None:
    plain = [(send.due_ns, segments.chunk(send.data, send.end) if chunked else send.data) for send in sends()]
    cut = list(segments.on_wire(sends(), msgspec.structs.replace(PACE, behave=behave), b"head", 0, chunked=chunked))
    assert b"".join(send.data for send in cut) == b"head" + b"".join(data for _, data in plain)
    assert (cut[0].data == b"head") == ("late_head" not in behave)
    assert [send.due_ns for send in cut if send.event] == [due for due, _ in plain]
    assert sum(send.tokens for send in cut) == 12
    longest = max(len(send.data) for send in cut[1:])
    assert longest <= behave.get("drip", longest)
    assert len(cut) > 2 * len(plain), "not cut at all"


def test_a_model_that_may_end_ends_unless_it_is_told_not_to() -> None:
    free = msgspec.structs.replace(ASK, endless=False)
    assert sum(send.tokens for send in answered(free, {"eos": 5})) == 5
    assert sum(send.tokens for send in answered(ASK, {"eos": 5})) == 12


def post(server: paced_server.Paced, path: str, **fields: object) -> Reply:
    return fetch(server.url + path, payload={"model": "m", **fields})


def test_pages_as_an_engine_has_them() -> None:
    with paced_server.paced(ttft_ms=5, tpot_ms=1, tokens_per_event=3, behave="cached:2") as server:

        def get(path: str) -> object | None:
            reply = fetch(server.url + path)
            return reply.json() if reply.ok else None

        assert fetch(server.url + paced.HEALTH).ok
        assert fetch(server.url + "/nothing").status == 404
        assert detect(get).NAME == "paced"
        assert paced.facts(get).context_limit == CONTEXT_TOKENS
        for payload in ({"prompt": "one two three"}, {"content": "one two three"}):
            assert paced.tokenize_count(fetch(server.url + "/tokenize", payload=payload).json()) == 3
        asked = paced.tokenize_request("one two", "m")
        assert asked is not None
        assert paced.tokenize_count(fetch(server.url + asked[0], payload=asked[1]).json()) == 2
        before = paced.counters(fetch(server.url + "/metrics").text)
        chat = post(server, "/v1/chat/completions", messages=[{"role": "user", "content": "a b c"}], max_tokens=7).json()
        text = post(server, "/v1/completions", prompt="a b c", max_tokens=7, stream=True).text
        after = paced.counters(fetch(server.url + "/metrics").text)
    assert isinstance(chat, dict)
    assert chat["usage"]["prompt_tokens"] == 3 + TEMPLATE_TOKENS
    assert chat["usage"]["completion_tokens"] == len(chat["choices"][0]["message"]["content"].split()) == 7
    assert text.count('"text":" w') == 3
    moved = {name: after[name] - before[name] for name in after}
    assert moved.pop("ttft_sum_s") >= 0.01
    assert moved == {
        "prompt_tokens": 3 + 3 + TEMPLATE_TOKENS - 4,
        "generation_tokens": 14,
        "requests_finished": 2,
        "cached_tokens": 4,
        "cache_queries_tokens": 6 + TEMPLATE_TOKENS,
        "spec_drafts": 6,
        "spec_draft_tokens": 12,
        "spec_accepted_tokens": 8,
        "ttft_count": 2,
    }


@pytest.mark.quiet
def test_it_keeps_its_schedule_and_logs_what_it_did() -> None:
    with paced_server.paced(ttft_ms=60, tpot_ms=20) as server:
        for words in (1, 2, 3):
            assert post(server, "/v1/completions", prompt="x " * words, max_tokens=6, stream=True).ok
        truth = server.truth()
    assert [(one.prompt_tokens, one.tokens, one.first_tokens, one.status) for one in truth] == [
        (n, 6, 1, 200) for n in (1, 2, 3)
    ]
    assert all(a.t_last_ns is not None and a.t_last_ns < b.t_received_ns for a, b in pairwise(truth))
    waits = [(one.t_first_ns or 0) - one.t_received_ns for one in truth]
    spans = [(one.t_last_ns or 0) - (one.t_first_ns or 0) for one in truth]
    assert min(waits) >= 60 * MS
    assert median(waits) < 70 * MS
    assert median(spans) == pytest.approx(100 * MS, rel=0.05)


@pytest.mark.parametrize(
    ("words", "said"), [(["--behave", "nonsense"], "unknown behaviour nonsense"), (["--ttft", "5"], "unrecognized arguments")]
)
def test_a_wrong_command_line(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "harness.engines.paced", *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_body_that_is_no_json_is_refused_and_the_server_lives_on() -> None:
    with paced_server.paced() as server:
        request = urllib.request.Request(server.url + "/v1/completions", data=b"{oops")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request)
        assert fetch(server.url + "/health").ok
