"""Open loop: requests leave when they are due, whatever the server does, and latency counts from then. Conversations keep their order."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from statistics import median

import msgspec
import pytest

from harness.load.asks import Asks
from harness.measure.latency import timing
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record
from tests.driving import body, job, run
from tests.load.test_sdk import through_tls
from tests.paced_server import paced

pytestmark = pytest.mark.quiet

MS = 1_000_000


def open_job(port: int, asks: tuple[Ask, ...]) -> Job:
    return msgspec.structs.replace(job(port), stages=(Stage(None, asks),))


def every(gap_ms: int, number: int, tokens: int = 4) -> tuple[Ask, ...]:
    """Request i has i + 1 words."""
    return tuple(Ask("measure", body(i + 1, tokens), due_ns=i * gap_ms * MS) for i in range(number))


def conversation(turns: int, gap_ms: int, tokens: int = 5) -> tuple[Ask, ...]:
    """Each turn has the turns before it, their answers included, and one word more."""
    asks = []
    for turn in range(turns):
        messages = []
        for _ in range(turn):
            messages += [{"role": "user", "content": "word"}, {"role": "assistant", "content": 0}]
        messages.append({"role": "user", "content": "word"})
        made = msgspec.json.decode(body(1, tokens)) | {"messages": messages}
        text = msgspec.json.encode(made).decode().replace('"content":0', '"content":\0')
        asks.append(Ask("measure", text, turn=turn, after=turn - 1 if turn else None, due_ns=turn * gap_ms * MS))
    return tuple(asks)


def sched_ms(record: Record) -> float:
    found = timing(record).ttft_sched_ns
    assert found is not None
    return found / MS


@pytest.mark.parametrize("secure", [False, True], ids=["own socket", "SDK"])
def test_the_schedule_is_kept(secure: bool, tmp_path: Path) -> None:
    gap, number = (
        (20, 40) if secure else (5, 80)
    )  # a TLS connection for each of 200 a second is more than two cores may have to give
    with paced(ttft_ms=150, tpot_ms=2) as server:
        what = open_job(server.port, every(gap, number))
        records, report = through_tls(what, tmp_path)[:2] if secure else run(what)
        truth = sorted(server.truth(), key=lambda one: one.prompt_tokens)
    assert [record.error for record in records] == [None] * number
    start = records[0].t_sched_ns
    assert [record.t_sched_ns - start for record in records] == [i * gap * MS for i in range(number)]
    assert all(record.t_send_ns >= record.t_sched_ns for record in records)
    assert report.peak_in_flight >= 100 / gap, "something held requests back"
    late = [(true.t_received_ns - record.t_sched_ns) / MS for record, true in zip(records, truth, strict=True)]
    assert median(late) < (50 if secure else 3)
    assert report.send_lag_p50_ns < (50 if secure else 3) * MS


def test_a_stalled_server_gets_its_requests_all_the_same() -> None:
    """A closed loop would have sent next to nothing in the stall, and so have measured next to nothing of it."""
    with paced(ttft_ms=10, tpot_ms=2) as server:
        threading.Timer(0.4, os.kill, (server.pid, signal.SIGSTOP)).start()
        threading.Timer(1.2, os.kill, (server.pid, signal.SIGCONT)).start()
        records, _ = run(open_job(server.port, every(10, 160)))
    assert [record.error for record in records] == [None] * 160
    assert median(record.t_send_ns - record.t_sched_ns for record in records) < 3 * MS
    waits = [sched_ms(record) for record in records]
    assert max(waits) > 600
    assert sum(wait > 100 for wait in waits) >= 50, "those that came in the stall waited for its end"


def test_a_turn_that_had_to_wait_counts_from_when_it_was_due() -> None:
    with paced(ttft_ms=400, tpot_ms=2) as server:
        first, second = run(open_job(server.port, conversation(2, gap_ms=50)))[0]
    assert second.t_send_ns >= first.t_end_ns
    assert second.t_sched_ns - first.t_sched_ns == 50 * MS
    told = timing(second)
    assert told.ttft_ns is not None
    assert sched_ms(second) - told.ttft_ns / MS > 300, "the wait for the turn before is left out"


def test_a_turn_is_not_sent_before_it_is_due() -> None:
    with paced(ttft_ms=5, tpot_ms=1) as server:
        records, _ = run(open_job(server.port, conversation(3, gap_ms=200)))
    assert all(record.t_send_ns >= record.t_sched_ns for record in records)
    assert [record.turn for record in records] == [0, 1, 2]


@pytest.mark.parametrize("secure", [False, True], ids=["own socket", "SDK"])
@pytest.mark.parametrize("concurrency", [None, 2], ids=["open", "closed"])
def test_turns_carry_the_answers_before_them(concurrency: int | None, secure: bool, tmp_path: Path) -> None:
    asks = conversation(3, gap_ms=1)
    other = tuple(msgspec.structs.replace(ask, after=None if ask.after is None else ask.after + 3) for ask in asks)
    with paced(ttft_ms=20, tpot_ms=2, behave="reasoning:2") as server:
        what = msgspec.structs.replace(job(server.port), stages=(Stage(concurrency, asks + other),))
        records = through_tls(what, tmp_path)[0] if secure else run(what)[0]
        truth = server.truth()
    assert [record.error for record in records] == [None] * 6
    for turn in range(3):
        assert sum(record.turn == turn for record in records) == 2
    # a word of its own, the words before, three words of each answer (two of its five are reasoning), four of the template
    assert sorted(true.prompt_tokens for true in truth) == [5, 5, 9, 9, 13, 13]


def test_the_rest_of_a_conversation_that_broke_is_kept_as_unanswered() -> None:
    with paced(ttft_ms=10, tpot_ms=1, behave="cut:2") as server:
        records, _ = run(open_job(server.port, conversation(3, gap_ms=10)))
        assert len(server.truth()) == 1
    assert [record.error for record in records] == ["truncated", "unanswered", "unanswered"]


def test_answers_are_put_in_as_json() -> None:
    said = 'she said "no"\n\\ \0 ü'
    asks = Asks(Stage(1, (Ask("measure", "{}"), Ask("measure", '{"a":\0,"b":1}', after=0))), 0)
    first = asks.take(0)
    assert first is not None
    assert asks.take(0) is None
    asks.answered(first.place, said, 5)
    second = asks.take(0)
    assert second is not None
    assert msgspec.json.decode(second.body or b"") == {"a": said, "b": 1}
    assert not asks
