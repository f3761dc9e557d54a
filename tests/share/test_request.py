"""A request ends, whatever the other side does, and tells no secret."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from harness.share import request


def dripping(head: bytes, drop: bytes) -> str:
    """A server that goes on for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, listener:
            try:
                sock.sendall(head)
                while True:
                    sock.sendall(drop)
                    time.sleep(0.02)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n"])
def test_a_server_that_never_ends(head: bytes) -> None:
    reply = request.send(dripping(head, b"x"), "POST", "/", {}, b"data", patience_s=0.3)
    assert (reply.status, reply.reached) == (0, True)
    assert reply.text


def test_an_answer_without_end_is_cut_off() -> None:
    reply = request.send(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000), "GET", "/", {})
    assert len(reply.body) == request.LARGEST_ANSWER


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply = request.send(f"http://127.0.0.1:{port}", "GET", "/", {})
    assert (reply.status, reply.reached) == (0, False)


def test_a_header_that_would_be_two() -> None:
    reply = request.send(dripping(b"", b""), "GET", "/", {"authorization": "Bearer x\r\nhost: y"})
    assert reply.status == 0


def test_secrets_are_taken_out_before_it_is_shortened() -> None:
    secret = "s" * 40
    for words in (f"{secret} and {secret}", "x" * (request.LONGEST_SAID - 10) + secret):
        assert "ssss" not in request.short(request.without(words, secret, ""))
