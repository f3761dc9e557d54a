"""https endpoints, through the openai SDK: the same records as our own socket gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median

import msgspec
import pytest

from harness.hosts.local import free_port
from harness.load import drive
from harness.measure.latency import timing
from harness.schema.job import Job, Progress
from harness.schema.request import CONTENT, REASONING, Record
from harness.schema.run import ClientReport
from tests.driving import job
from tests.paced_server import paced
from tests.raw_server import CHUNKED, DONE, Answer, chunk, raw
from tests.tls_relay import tls

SLACK_NS = 15_000_000  # its stamps are the program's own, and TLS is passed on by a relay


def secure(what: Job, port: int) -> Job:
    return msgspec.structs.replace(what, scheme="https", host="localhost", port=port)


def through_tls(
    what: Job, folder: Path, *, api_key: str | None = None, trusted: bool = True
) -> tuple[list[Record], ClientReport, list[Progress]]:
    seen: list[Progress] = []
    with tls(what.port, folder) as (port, certificate):
        environment = {**os.environ, "OPENAI_API_KEY": "not to be sent"}
        if trusted:
            environment["SSL_CERT_FILE"] = str(certificate)
        out = folder / "records.jsonl"
        report = drive.drive(secure(what, port), out, seen.append, environment=environment, api_key=api_key)
    return drive.read_records(out), report, seen


@pytest.mark.quiet
def test_it_measures_what_the_server_logs(tmp_path: Path) -> None:
    with paced(ttft_ms=60, tpot_ms=15, tokens_per_event=2, behave="early_role:10,reasoning:8", api_key="s3cret") as server:
        what = job(server.port, 8, tokens=24, concurrency=4, fields={"return_token_ids": True})
        records, report, seen = through_tls(what, tmp_path, api_key="s3cret")
        truth = sorted(server.truth(), key=lambda one: one.prompt_tokens)
    assert [record.error for record in records] == [None] * 8, records[0].error_detail
    late, late_content, rates = [], [], []
    for record, true in zip(records, truth, strict=True):
        told = timing(record)
        assert (record.stamps, record.status, record.finish_reason) == ("user", 200, "length")
        assert record.token_source == "token_ids"
        assert [e.kind for e in record.events if e.kind in (REASONING, CONTENT)] == [REASONING] * 4 + [CONTENT] * 8
        assert (told.tokens, told.k1) == (true.tokens, true.first_tokens) == (24, 2)
        assert told.ttft_ns is not None
        assert told.ttft_content_ns is not None
        assert told.decode_tok_s is not None
        assert record.t_send_ns < (record.t_hdr_ns or 0) <= record.events[0].t_ns <= record.t_end_ns
        late.append(told.ttft_ns - ((true.t_first_ns or 0) - true.t_received_ns))
        late_content.append(told.ttft_content_ns - ((true.t_content_ns or 0) - true.t_received_ns))
        rates.append(told.decode_tok_s * ((true.t_last_ns or 0) - (true.t_first_ns or 0)) / 22e9)
    assert abs(median(late)) < SLACK_NS
    assert abs(median(late_content)) < SLACK_NS
    assert median(rates) == pytest.approx(1, rel=0.03)
    assert (report.stamps, report.peak_in_flight) == ("user", 4)
    assert report.rtt_ns is not None
    assert (seen[-1].done, seen[-1].total, seen[-1].in_flight) == (8, 8, 0)


@pytest.mark.parametrize(
    ("behave", "error", "detail"),
    [
        ("http:429", "http_429", "told to fail"),
        ("error:4", "server_error", "told to fail"),
        ("cut:4", "truncated", "finish reason"),
        ("split,crlf,comments,no_done", None, ""),
        ("close", None, ""),
    ],
)
def test_failures_and_framings(behave: str, error: str | None, detail: str, tmp_path: Path) -> None:
    with paced(ttft_ms=10, tpot_ms=2, behave=behave) as server:
        records, _, _ = through_tls(job(server.port, 3, tokens=8, concurrency=2), tmp_path)
    assert [record.error for record in records] == [error] * 3
    assert detail in records[0].error_detail
    assert error is not None or [len(record.events) for record in records] == [10] * 3
    assert not error or not error.startswith("http") or "SDK" not in records[0].error_detail


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer((CHUNKED + chunk(DONE[:30]),), "close"), "truncated"),
        (Answer((), "close"), "reset"),
        (Answer((b"SSH-2.0-OpenSSH_9\r\n\r\n",), "close"), "bad_http"),
        (Answer((CHUNKED + chunk(DONE[:30]),), "hang"), "timeout"),
    ],
)
def test_broken_answers(answer: Answer, error: str, tmp_path: Path) -> None:
    with raw(answer, Answer((CHUNKED + chunk(DONE) + b"0\r\n\r\n",), "close")) as server:
        records, _, _ = through_tls(job(server.port, 2, timeout_s=1.0), tmp_path)
        assert len(server.requests) == 2, "a request was sent again"
    assert [record.error for record in records] == [error, None]


def test_a_certificate_that_is_not_trusted_is_no_connection(tmp_path: Path) -> None:
    with paced() as server:
        (record,), *_ = through_tls(job(server.port), tmp_path, trusted=False)
        assert server.truth() == []
    assert record.error == "connect"
    assert "certificate" in record.error_detail.lower()


def test_nobody_listens(tmp_path: Path) -> None:
    out = tmp_path / "records"
    drive.drive(secure(job(1, 3), free_port()), out, lambda _: None, environment=os.environ, api_key=None)
    assert [record.error for record in drive.read_records(out)] == ["connect"] * 3


def test_the_request_goes_as_it_stands_and_without_a_key_none_is_sent(tmp_path: Path) -> None:
    what = job(0, fields={"top_k": 7, "cache_salt": "x", "stop": None})
    with raw(Answer((CHUNKED + chunk(DONE) + b"0\r\n\r\n",), "close")) as server:
        (record,), _, _ = through_tls(msgspec.structs.replace(what, port=server.port, headers={"x-mine": "yes"}), tmp_path)
        head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    assert record.error is None
    assert msgspec.json.decode(sent) == msgspec.json.decode(what.stages[0].asks[0].body)
    assert b"authorization" not in head.lower()
    assert b"not to be sent" not in head
    assert b"x-mine: yes" in head.lower()
    assert b"accept-encoding: identity" in head.lower()


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    with paced(ttft_ms=10, tpot_ms=20) as server, tls(server.port, tmp_path) as (port, certificate):
        (tmp_path / "job").write_bytes(msgspec.json.encode(secure(job(server.port, 5, tokens=10_000, concurrency=2), port)))
        command = [sys.executable, "-m", "harness.load", str(tmp_path / "job"), str(tmp_path / "records")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "SSL_CERT_FILE": str(certificate)})
        assert child.stdout is not None
        while msgspec.json.decode(child.stdout.readline(), type=Progress).reads < 4:
            pass
        child.send_signal(signal.SIGTERM)
        said, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert b'"report"' in said.splitlines()[-1]
    records = drive.read_records(tmp_path / "records")
    assert [record.error for record in records] == ["interrupted", "interrupted"]
    assert all(record.events for record in records)
