"""Control-plane HTTP: one connection as long as it stands, and every fault is an answer with status 0."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.http import Client, fetch


@contextmanager
def served(*scripts: list[bytes | None]) -> Iterator[tuple[str, list[int]]]:
    """A server that gives each connection its own list of answers; None: it closes instead. Gives the requests of each connection."""
    counts = [0] * len(scripts)
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for place, answers in enumerate(scripts):
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            with connection:
                for answer in answers:
                    while answer is not None and not connection.recv(65536).endswith(b"\r\n\r\n"):
                        pass
                    if answer is None:
                        break
                    counts[place] += 1
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", counts
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        listener.close()
        thread.join(timeout=5)


def test_one_connection_serves_many_requests() -> None:
    with served([b"1", b"2", b"3"]) as (url, counts):
        client = Client(url)
        assert [client.fetch("/a").body for _ in range(3)] == [b"1", b"2", b"3"]
        assert counts == [3]
        client.close()


def test_a_connection_that_was_closed_meanwhile_is_opened_anew() -> None:
    with served([b"1", None], [b"2"]) as (url, counts):
        client = Client(url)
        assert client.fetch("/a").body == b"1"
        assert client.fetch("/a").body == b"2"
        assert counts == [1, 1]
        client.close()


def test_a_fresh_connection_that_breaks_is_a_fault() -> None:
    with served([None], [b"never"]) as (url, counts):
        assert fetch(url).status == 0
        assert counts == [0, 0]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:8000", "http://127.0.0.1:port", "", "http://"])
def test_what_is_no_address_is_named(url: str) -> None:
    reply = fetch(url)
    assert (reply.status, reply.text) == (0, f"{url} is not an HTTP address")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reply = fetch(f"http://127.0.0.1:{port}/x")
    assert reply.status == 0
    assert "refused" in reply.text


@pytest.mark.parametrize("url", ["http://[::1]", "http://[fd00::abcd]/v1"])
def test_an_ipv6_address_needs_no_port(url: str) -> None:
    client = Client(url)
    assert client._connection.port == 80
    assert client._connection.host == url.partition("[")[2].partition("]")[0]
