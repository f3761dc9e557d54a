"""Whatever goes wrong with a request is its record's reason code, and never ends the run."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from harness import clock
from harness.hosts.local import free_port
from harness.load import drive
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record
from tests.driving import body, job, run
from tests.paced_server import paced
from tests.raw_server import CHUNKED, DONE, Answer, chunk, raw

WHOLE = Answer((CHUNKED + chunk(DONE) + b"0\r\n\r\n",))
TEXT = chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')


def one(*answers: Answer, timeout_s: float = 10.0) -> Record:
    """The record of the first request; a second one has to go well."""
    with raw(*answers, WHOLE) as server:
        (first, second), _ = run(job(server.port, 2, timeout_s=timeout_s))
    assert second.error is None, second.error_detail
    return first


@pytest.mark.parametrize(
    ("answer", "error", "detail"),
    [
        (Answer((b"SSH-2.0-OpenSSH_9\r\n\r\n",)), "bad_http", "SSH"),
        (Answer((CHUNKED + b"zz\r\n",)), "bad_http", "zz"),
        (Answer((CHUNKED + TEXT,), "close"), "truncated", "before the answer's end"),
        (Answer((CHUNKED + TEXT,), "reset"), "reset", ""),
        (Answer((CHUNKED + TEXT + b"0\r\n\r\n",)), "truncated", "finish reason"),
        (Answer((CHUNKED[:20],), "close"), "truncated", ""),
        (Answer((), "close"), "reset", "closed"),
        (Answer((CHUNKED + TEXT + chunk(b"data: {oops\n\n") + b"0\r\n\r\n",)), "bad_sse", "oops"),
        (Answer((b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"answer":42}'[:-1],)), "bad_sse", "answer"),
        (Answer((b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices":[{"del',), "close"), "truncated", ""),
        (
            Answer((CHUNKED + chunk(b'data: {"error":{"message":"no memory"}}\n\n') + b"0\r\n\r\n",)),
            "server_error",
            "no memory",
        ),
        (Answer((CHUNKED + chunk(b'data: {"error":{"message":"no memory"}}\n\n'),), "close"), "server_error", "no memory"),
        (Answer((b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno such",)), "http_404", "no such"),
        (Answer((b"HTTP/1.1 503 Busy\r\n\r\n" + b"late" * 1000,), "close"), "http_503", "latelate"),
        (Answer((b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nhalf",), "close"), "http_500", "half"),
        (Answer((b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",)), "http_302", ""),
    ],
)
def test_reason_codes(answer: Answer, error: str, detail: str) -> None:
    record = one(answer)
    assert record.error == error
    assert detail in record.error_detail
    assert len(record.error_detail) <= 500 + len("Object missing required field")
    assert record.t_send_ns <= record.t_end_ns


def test_what_came_before_the_failure_is_kept() -> None:
    record = one(Answer((CHUNKED, TEXT, TEXT), "reset"))
    assert [event.text for event in record.events] == ["a", "a"]
    assert record.t_hdr_ns is not None
    assert record.bytes_in > 0


def test_a_server_that_says_nothing_more_times_out() -> None:
    start = clock.now()
    record = one(Answer((CHUNKED + TEXT,), "hang"), timeout_s=0.3)
    assert record.error == "timeout"
    assert (record.t_end_ns - record.t_send_ns) / 1e9 > 0.3
    assert clock.since(start) < 10
    assert [event.text for event in record.events] == ["a"]


def test_nobody_listens() -> None:
    records, report = run(job(free_port(), 5, concurrency=2))
    assert [record.error for record in records] == ["connect"] * 5
    assert "refused" in records[0].error_detail
    assert report.rtt_ns is None


def test_a_name_that_does_not_exist() -> None:
    what = job(1, 2)
    (record, _), _ = run(msgspec.structs.replace(what, host="no-such-host.invalid"))
    assert record.error == "connect"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_refuses(status: int) -> None:
    with paced(behave=f"http:{status}") as server:
        records, _ = run(job(server.port, 4, concurrency=2))
    assert {(record.error, record.status) for record in records} == {(f"http_{status}", status)}
    assert "told to fail" in records[0].error_detail
    assert records[0].events == ()


@pytest.mark.parametrize(("behave", "error"), [("error:4", "server_error"), ("cut:4", "truncated"), ("reset:4", "reset")])
def test_failures_in_mid_stream(behave: str, error: str) -> None:
    with paced(ttft_ms=10, tpot_ms=2, behave=behave) as server:
        records, _ = run(job(server.port, 4, concurrency=2, tokens=8))
    assert [record.error for record in records] == [error] * 4
    assert {sum(event.tokens or 0 for event in record.events) for record in records} == {4}


def test_a_connection_is_used_again_and_opened_again_when_the_server_closed_it() -> None:
    with raw(WHOLE, WHOLE, Answer(WHOLE.pieces, "close"), WHOLE) as server:
        records, report = run(job(server.port, 4))
    assert [record.error for record in records] == [None] * 4
    assert server.connections == 2
    assert report.peak_in_flight == 1


@pytest.mark.quiet
def test_a_kept_connection_that_breaks_on_use_is_tried_once_more() -> None:
    """The server may close it just as the next request is on its way: not that request's fault."""
    with raw(WHOLE, Answer((), "reset"), WHOLE, Answer((), "reset"), Answer((), "reset"), WHOLE) as server:
        records, _ = run(job(server.port, 4))
    assert [record.error for record in records] == [None, None, "reset", None]


def test_a_server_that_says_it_will_close_is_believed() -> None:
    closing = Answer((WHOLE.pieces[0].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1),))
    with raw(closing, WHOLE) as server:
        records, _ = run(job(server.port, 2))
    assert [record.error for record in records] == [None, None]
    assert server.connections == 2


def test_an_answer_that_comes_before_the_request_was_read() -> None:
    """A proxy refuses a body that is too large at its first bytes. What was not sent must not go before the next request."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asks = (Ask("measure", body(1, 8, {"padding": "x" * 30_000_000})), Ask("measure", body(1, 8)))
    done = threading.Event()

    def refuse() -> None:
        listener.accept()[0].close()  # the probe
        first, _ = listener.accept()
        first.recv(1000)
        first.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
        second, _ = listener.accept()
        second.recv(1000)
        second.sendall(WHOLE.pieces[0])
        done.wait(20)
        first.close()
        second.close()

    threading.Thread(target=refuse, daemon=True).start()
    what = Job(host="127.0.0.1", port=listener.getsockname()[1], path="/", stages=(Stage(1, asks),), timeout_s=5.0)
    (large, small), _ = run(what)
    done.set()
    listener.close()
    assert (large.error, large.error_detail) == ("http_413", "large")
    assert small.error is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_every_address_of_a_name_is_tried(address: str) -> None:
    """`localhost` may have both, and most servers listen on one. (Where it has one, the other is reached by its number.)"""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    named = address in [str(found[4][0]) for found in socket.getaddrinfo("localhost", 0)]
    listener = socket.create_server((address, 0), family=family)

    def answer() -> None:
        listener.accept()[0].close()  # the probe
        sock, _ = listener.accept()
        heads.append(sock.recv(1000))
        sock.sendall(WHOLE.pieces[0])

    heads: list[bytes] = []
    threading.Thread(target=answer, daemon=True).start()
    what = job(listener.getsockname()[1], timeout_s=5.0)
    (record,), _ = run(msgspec.structs.replace(what, host="localhost" if named else address))
    listener.close()
    assert record.error is None, record.error_detail
    assert named or heads[0].split(b"\r\n")[1] == f"host: [{address}]:{what.port}".encode()


def test_an_early_refusal_is_read_although_the_server_closes() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asks = (Ask("measure", body(1, 8, {"padding": "x" * 30_000_000})),)

    def refuse() -> None:
        listener.accept()[0].close()  # the probe
        sock, _ = listener.accept()
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 5\r\n\r\nlarge")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):  # so that no reset overtakes the answer
            pass
        sock.close()

    threading.Thread(target=refuse, daemon=True).start()
    what = Job(host="127.0.0.1", port=listener.getsockname()[1], path="/", stages=(Stage(1, asks),), timeout_s=5.0)
    (large,), _ = run(what)
    listener.close()
    assert (large.error, large.error_detail) == ("http_413", "large")


def test_a_kept_connection_that_breaks_after_a_while_has_failed() -> None:
    """The server may have worked on the request: asking again would hide the failure and its time."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        listener.accept()[0].close()  # the probe
        sock, _ = listener.accept()
        sock.recv(65536)
        sock.sendall(WHOLE.pieces[0])
        sock.recv(65536)
        clock.sleep(0.3)
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    (first, second), report = run(job(listener.getsockname()[1], 2))
    listener.close()
    assert (first.error, second.error) == (None, "reset")
    assert second.t_end_ns - second.t_send_ns > 250_000_000
    assert report.send_lag_max_ns < 100_000_000


def test_running_out_of_descriptors_loses_no_record(tmp_path: Path) -> None:
    with paced(ttft_ms=300, tpot_ms=1) as server:
        what = job(server.port, 200, tokens=2, concurrency=100)
        (tmp_path / "job").write_bytes(msgspec.json.encode(what))
        command = f"ulimit -n 60; exec {sys.executable} -m harness.load {tmp_path}/job {tmp_path}/records"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = drive.read_records(tmp_path / "records")
    assert len(records) == 200
    errors = [record.error for record in records]
    assert set(errors) == {None, "connect"}
    assert "Too many open files" in next(record.error_detail for record in records if record.error)
