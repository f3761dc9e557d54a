"""The load client against every misbehaviour of the paced server: each quantity is the truth of the server's own log, or null with its
reason, and what does not count is kept under its reason code.

Instants are compared as differences within one request, medians over the requests of a case, so others may use the machine, if not much.
`HARNESS_UPDATE_GOLDEN=1` writes `docs/conformance.md` anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import median

import msgspec
import pytest

from harness import clock
from harness.engines import paced as engine
from harness.engines.paced import schedule, segments
from harness.engines.paced.behaviours import BEHAVIOURS, Asked, Pace
from harness.engines.paced.server import Truth
from harness.http import fetch
from harness.load import sse, tokens
from harness.load.tokens import Ruler
from harness.load.wire import Answer
from harness.measure.latency import Timing, excluded, timing
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record
from tests.driving import CHAT, body, run
from tests.load.conformance import CASES, Case
from tests.paced_server import Paced, paced

pytestmark = pytest.mark.quiet

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
REQUESTS = 3
SLACK_NS = 5_000_000
SLACK_SHARE = 0.01
RUNS = 2
"""A case that does not agree is run once more: on a shared machine everything may stand still for a moment."""
AGREES, UNKNOWN = "✓", "–"
EVERY = [case for cases in CASES.values() for case in cases]


class Seen(msgspec.Struct, frozen=True):
    """One request as measured, and as the server logged it."""

    case: Case
    record: Record
    told: Timing
    true: Truth


class Found(msgspec.Struct, frozen=True):
    """What one case gave: a mark for each quantity, and the reason codes of its requests (None: it counts)."""

    marks: dict[str, str]
    codes: tuple[str | None, ...]
    requests: tuple[Seen, ...]


Pair = tuple[float | str | None, float | str | None, str | None]
"""What is measured and what is true, None where it is not defined; then the reason, where what is measured is null."""


def _since_received(instant_ns: int | None, seen: Seen) -> int | None:
    return None if instant_ns is None else instant_ns - seen.true.t_received_ns


def _decode_s(true: Truth) -> float:
    return ((true.t_last_ns or 0) - (true.t_first_ns or 0)) / 1e9


def _rate(counted: int, seen: Seen) -> float | None:
    return counted / _decode_s(seen.true) if _decode_s(seen.true) > 0 else None


def _ttft(seen: Seen) -> Pair:
    return seen.told.ttft_ns, _since_received(seen.true.t_first_ns, seen), seen.told.why.get("ttft_ns")


def _ttft_content(seen: Seen) -> Pair:
    return seen.told.ttft_content_ns, _since_received(seen.true.t_content_ns, seen), seen.told.why.get("ttft_content_ns")


def _ttfr(seen: Seen) -> Pair:
    return seen.told.ttfr_ns, _since_received(seen.true.t_event_ns, seen), seen.told.why.get("ttfr_ns")


def _e2e(seen: Seen) -> Pair:
    """To the failure, where there is one and the server did not end the answer: no time of an answer."""
    failed = seen.record.error if seen.true.t_end_ns is None else None
    return None if failed else seen.told.e2e_ns, _since_received(seen.true.t_end_ns, seen), failed


def _tokens(seen: Seen) -> Pair:
    return seen.told.tokens, seen.true.tokens, seen.told.why.get("tokens")


def _k1(seen: Seen) -> Pair:
    return seen.told.k1, seen.true.first_tokens, seen.told.why.get("k1")


def _decode(seen: Seen) -> Pair:
    return seen.told.decode_tok_s, _rate(seen.true.tokens - seen.true.first_tokens, seen), seen.told.why.get("decode_tok_s")


def _decode_n1(seen: Seen) -> Pair:
    return seen.told.decode_tok_s_n1, _rate(seen.true.tokens - 1, seen), seen.told.why.get("decode_tok_s_n1")


def _tpot(seen: Seen) -> Pair:
    left = seen.true.tokens - seen.true.first_tokens
    return seen.told.tpot_ns, _decode_s(seen.true) * 1e9 / left if left else None, seen.told.why.get("tpot_ns")


def _gaps(seen: Seen) -> Pair:
    measured = len(seen.told.gaps_ns) if seen.told.token_events else None
    return measured, max(0, seen.true.token_events - 1), seen.told.why.get("ttft_ns")


def _prompt(seen: Seen) -> Pair:
    usage = seen.record.usage
    said = usage.prompt_tokens if usage else None
    return said, seen.true.prompt_tokens + _value(seen.case, "prompt_off"), seen.told.why.get("prefill_tokens")


def _cached(seen: Seen) -> Pair:
    usage = seen.record.usage
    return usage.cached_tokens if usage else None, _value(seen.case, "cached"), seen.told.why.get("prefill_tokens")


def _text(seen: Seen) -> Pair:
    """All that was said, in order: nothing is lost or doubled, and no character is broken."""
    said = "".join(event.text for event in seen.record.events)
    true = range(_value(seen.case, "mute_first"), seen.true.tokens - _value(seen.case, "mute_last"))
    return said or None, "".join(f" wörd{n}" for n in true), seen.record.error or "no text was sent"


def _source(seen: Seen) -> Pair:
    return seen.told.token_source, seen.case.source, None


def _exactly(measured: Sequence[float | str], true: Sequence[float | str]) -> bool:
    return list(measured) == list(true)


def _within_slack(measured: Sequence[float | str], true: Sequence[float | str]) -> bool:
    return abs(median(float(a) - float(b) for a, b in zip(measured, true, strict=True))) < SLACK_NS


def _within_share(measured: Sequence[float | str], true: Sequence[float | str]) -> bool:
    return abs(median(float(a) / float(b) for a, b in zip(measured, true, strict=True)) - 1) < SLACK_SHARE


QUANTITIES: dict[str, tuple[Callable[[Seen], Pair], Callable[[Sequence[float | str], Sequence[float | str]], bool]]] = {
    "TTFT": (_ttft, _within_slack),
    "TTFT content": (_ttft_content, _within_slack),
    "TTFR": (_ttfr, _within_slack),
    "e2e": (_e2e, _within_slack),
    "N": (_tokens, _exactly),
    "k1": (_k1, _exactly),
    "rate": (_decode, _within_share),
    "N-1 rate": (_decode_n1, _within_share),
    "TPOT": (_tpot, _within_share),
    "gaps": (_gaps, _exactly),
    "prompt": (_prompt, _exactly),
    "cached": (_cached, _exactly),
    "text": (_text, _exactly),
    "source": (_source, _exactly),
}


def _value(case: Case, name: str) -> int:
    """What a behaviour of this case is set to; 0 without it."""
    found = re.search(rf"\b{name}:(-?\d+)", case.behave)
    return int(found[1]) if found else 0


def name(case: Case) -> str:
    words = [case.behave] if case.behave else []
    words += [f"k={case.k}"] if case.k > 1 else []
    words += ["completions"] if not case.chat else []
    words += ["no ids asked"] if not case.ids else []
    words += ["may stop"] if not case.endless else []
    words += ["of any length"] if not case.exact else []
    words += ["tokenizer"] if case.tokenizer else []
    return ", ".join(words) or "plain"


def judge(quantity: str, requests: Sequence[Seen]) -> str:
    """✓, – or what is wrong."""
    pair, agree = QUANTITIES[quantity]
    pairs = [pair(seen) for seen in requests]
    measured = [told for told, _, _ in pairs if told is not None]
    if not measured:
        return UNKNOWN if all(why for _, _, why in pairs) else "null without a reason"
    true = [true for _, true, _ in pairs if true is not None]
    if len(measured) == len(true) == len(pairs) and agree(measured, true):
        return AGREES
    return f"measured {[told for told, _, _ in pairs]}, true {[true for _, true, _ in pairs]}"


def _ended(server: Paced, requests: int) -> list[Truth]:
    """The log once all requests are in it, in the order of the job: what the client gave up is noticed a moment later."""
    start = clock.now()
    while len(server.truth()) < requests and clock.since(start) < 5:
        clock.sleep(0.01)
    return sorted(server.truth(), key=lambda one: one.prompt_tokens)


def _run(case: Case) -> Found:
    fields = {"return_token_ids": case.ids, "ignore_eos": case.endless}
    exactly, number = case.tokens if case.exact else None, REQUESTS * case.rounds
    asks = tuple(
        Ask("measure", body(words, case.tokens, fields, chat=case.chat), asked_tokens=exactly, asked_prompt_tokens=words)
        for words in range(1, number + 1)
    )
    with paced(ttft_ms=case.ttft_ms, tpot_ms=case.tpot_ms, tokens_per_event=case.k, behave=case.behave) as server:
        job = Job(
            host="127.0.0.1",
            port=server.port,
            path=CHAT if case.chat else "/v1/completions",
            stages=(Stage(REQUESTS, asks),),
            timeout_s=case.timeout_s,
        )
        records, _ = run(job)
        truth = _ended(server, number)
        if case.tokenizer:
            ruler = Ruler(count=lambda text: _tokenized(server, text), exact=True, overheads={})
            records = tokens.retokenize(tokens.fill_first(records, ruler), ruler, sample=number, seed=0)
    requests = [Seen(case, record, timing(record), true) for record, true in zip(records, truth, strict=True)]
    marks = {quantity: judge(quantity, requests) for quantity in QUANTITIES}
    return Found(marks, tuple(excluded(seen.record, seen.told) for seen in requests), tuple(requests))


def _tokenized(server: Paced, text: str) -> int:
    asked = engine.tokenize_request(text, "m")
    assert asked is not None
    count = engine.tokenize_count(fetch(server.url + asked[0], payload=asked[1]).json())
    assert count is not None
    return count


def _expected(case: Case) -> dict[str, str]:
    return {quantity: UNKNOWN if quantity in case.unknown else AGREES for quantity in QUANTITIES}


@cache
def result(case: Case) -> Found:
    for _ in range(RUNS):
        found = _run(case)
        if found.marks == _expected(case):
            break
    return found


@pytest.mark.parametrize("case", EVERY, ids=name)
def test_it_measures_the_truth(case: Case) -> None:
    found = result(case)
    assert found.marks == _expected(case)
    assert set(found.codes) == {case.excluded}
    assert [seen.record.index for seen in found.requests] == list(range(REQUESTS * case.rounds)), "sent = counted + excluded"
    assert {seen.record.stamps for seen in found.requests} == {"kernel"}


def test_every_behaviour_is_in_the_table() -> None:
    used = {word.partition(":")[0] for case in EVERY for word in case.behave.split(",") if word}
    assert used == set(BEHAVIOURS)
    assert len({name(case) for case in EVERY}) == len(EVERY)
    assert {quantity for case in EVERY for quantity in case.unknown} <= set(QUANTITIES)


@pytest.mark.parametrize("behave", [{}, {"crlf": 1, "reasoning": 2}, {"tools": 1, "comments": 1, "unchunked": 1}])
def test_cut_at_every_byte(behave: dict[str, int]) -> None:
    """What comes with the first segment has its stamp, the rest that of the second; nothing else changes."""
    pace = Pace(ttft_ns=0, tpot_ns=0, behave=behave)
    ask = Asked(chat=True, model="m", stream=True, limit=4, endless=True, prompt_tokens=7, ids=True, continuous=True)
    wire, finished = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", []
    if "unchunked" in behave:
        wire = b"HTTP/1.1 200 OK\r\n\r\n"
    for send in schedule.answer(ask, pace, 0):
        data = send.data if "unchunked" in behave else segments.chunk(send.data, send.end)
        finished.append(len(wire) + data.index(send.data) + len(send.data))
        wire += data
    whole = [data for _, data in _events(wire, len(wire))]
    for place in range(1, len(wire)):
        events = _events(wire, place)
        assert [data for _, data in events] == whole
        assert [stamp for stamp, _ in events] == [0 if end <= place else 1 for end in finished]


def _events(wire: bytes, place: int) -> list[tuple[int, bytes]]:
    answer = Answer()
    for stamp, data in enumerate((wire[:place], wire[place:])):
        if data:
            answer.feed(data, stamp)
    assert answer.close()
    return list(sse.events(answer.pieces, answer.stamps))


def does(case: Case) -> str:
    """What the server does, in the words of its behaviours."""
    words = ["completions"] if not case.chat else []
    words += [f"{case.k} tokens per event"] if case.k > 1 else []
    for word in filter(None, case.behave.split(",")):
        behaviour, _, value = word.partition(":")
        said = re.sub(rf" \({behaviour}:-?\d+\)", "", BEHAVIOURS[behaviour])
        words.append(re.sub(r"\bN\b", value, re.sub(r"\bMS\b", f"{value} ms", said)))
    words += ["token ids are not asked for"] if not case.ids else []
    words += ["the client does not forbid an early end"] if not case.endless else []
    words += ["the client asks for no certain length"] if not case.exact else []
    words += ["the client asks the server's tokenizer"] if case.tokenizer else []
    words += [f"first token after {case.ttft_ms / 1000:g} s"] if case.ttft_ms > 1000 else []
    words += ["another request follows"] if case.rounds > 1 else []
    words += [f"the client waits {case.timeout_s:g} s"] if case.timeout_s < 10 else []
    return "; ".join(words) or "nothing special: one token per event, the role event with the first"


HEAD = """# Conformance of the load client

Written by `tests/load/test_conformance.py` from the table in `tests/load/conformance.py` and a run of it; not by hand. Each row is a
misbehaviour of `python -m harness.engines.paced`, our server of exactly known speed, met by {requests} concurrent requests, or by
{requests} and then {requests} more where it says that another follows. What the client measured ([metrics.md](metrics.md)) is compared with
what the server logged of the same requests.

✓ agrees: times within {slack} ms and rates within {share} % of the server's log, both as the median over the requests; counts, text and
token source exactly. – is not defined or not told by the server, and null with a reason. The last column says whether the request
counts, or the reason code under which it is kept: sent = counted + excluded. The time stamps are the kernel's. `N`, `k1` and the other
symbols are those of metrics.md; "gaps" is how many there are between token-bearing events, "text" all that was said, in order.

Run it: `make test ARGS=tests/load/test_conformance.py`; with `HARNESS_UPDATE_GOLDEN=1` this page is written anew.

{behaviours} behaviours in {cases} cases, {quantities} quantities each.
"""


def document() -> str:
    lines = [
        HEAD.format(
            requests=REQUESTS,
            slack=SLACK_NS // 1_000_000,
            share=f"{100 * SLACK_SHARE:g}",
            behaviours=len(BEHAVIOURS),
            cases=len(EVERY),
            quantities=len(QUANTITIES),
        )
    ]
    headings = [quantity for quantity in QUANTITIES if quantity != "source"]
    for title, cases in CASES.items():
        lines += [f"## {title}", "", f"| the server | {' | '.join(headings)} | token source | counts |"]
        lines.append("|---" * (len(headings) + 3) + "|")
        for case in cases:
            found = result(case)
            (code,) = set(found.codes)
            source = f"`{case.source}`" if found.marks["source"] == AGREES else "✗"
            marks = [found.marks[quantity] if len(found.marks[quantity]) == 1 else "✗" for quantity in headings]
            flags = f" (`{case.behave}`)" if case.behave else ""
            counts = f"`{code}`" if code else "yes"
            lines.append(f"| {does(case)}{flags} | {' | '.join(marks)} | {source} | {counts} |")
        lines.append("")
    return "\n".join(lines)


def test_the_document_is_what_this_suite_finds() -> None:
    written = document()
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        DOCUMENT.write_text(written, encoding="utf-8")
    assert written == DOCUMENT.read_text(encoding="utf-8")
