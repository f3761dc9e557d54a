"""A collector that does what its script says: the truth, a refusal, half of it, or a lie."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        collector = self.server
        play = collector.script.pop(0) if collector.script else drop
        play(self)

    do_PUT = do_GET = do_DELETE = _any  # noqa: N815

    def body(self, share: float = 1.0) -> bytes:
        """Reads so much of it, and notes the request."""
        length = int(self.headers.get("content-length", 0))
        data = self.rfile.read(int(length * share))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Request(self.command, self.path, headers, data))
        return data

    def answer(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its parent has it
        pass


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Sequence[Play]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen = list(script), list[Request]()
        self.arrived = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these servers break off, too."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


Play = Callable[[Handler], None]


@contextmanager
def collector(*script: Play) -> Iterator[Collector]:
    server = Collector(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def raw(status: int, data: bytes, **headers: str) -> Play:
    """Reads everything, and answers that."""

    def play(handler: Handler) -> None:
        handler.body()
        handler.answer(status, data, **headers)

    return play


def says(status: int, **said: object) -> Play:
    headers = {"retry_after": str(said.pop("retry_after"))} if "retry_after" in said else {}
    return raw(status, msgspec.json.encode(said), **headers)


def accept(handler: Handler) -> None:
    """Of a question, what it has of an earlier request."""
    data = handler.body() or max((request.body for request in handler.server.seen), key=len)
    said = {"sha256": hashlib.sha256(data).hexdigest(), "state": "accepted", "url": "https://collector.example.org/r/1"}
    handler.answer(201, msgspec.json.encode(said))


def withdraw(handler: Handler) -> None:
    handler.body()
    handler.answer(200, b'{"state": "withdrawn"}')


def drop(handler: Handler) -> None:
    """Nothing is read to the end."""
    handler.body(0.5)
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """Has everything, and says nothing."""
    handler.body()
    handler.close_connection = True


def hang(handler: Handler) -> None:
    """Has everything, and waits for the other side to go."""
    handler.body()
    handler.server.arrived.set()
    handler.rfile.read(1)
    handler.close_connection = True


def early(handler: Handler) -> None:
    """Answers before it has read anything, and closes."""
    handler.body(0)
    handler.answer(413, b'{"reasons": ["at most 1 MiB"]}', connection="close")
    handler.close_connection = True


def drip(handler: Handler) -> None:
    """Never ends."""
    handler.body()
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            threading.Event().wait(0.05)
    except OSError:
        pass
