"""What servers of these tests have in common: real HTTP on loopback, each request kept, and connections that break on request."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Protocol

import msgspec


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Answer(NamedTuple):
    status: int
    body: object = b""
    """Bytes, or what becomes JSON."""
    headers: dict[str, str] = {}  # noqa: RUF012  it is never changed
    cut: bool = False
    """Nothing of it is sent: the connection is reset."""


CUT = Answer(0, cut=True)


class Site(Protocol):
    requests: list[Request]

    def answer(self, request: Request) -> Answer: ...

    def cut_within(self, method: str, path: str) -> bool:
        """Whether the connection is reset when half of the body was read."""
        ...


@contextmanager
def serving(site: Site) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            if site.cut_within(self.command, self.path):
                self.rfile.read(length // 2)
                self.reset()
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            site.requests.append(request)
            answer = site.answer(request)
            if answer.cut:
                self.reset()
                return
            body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815  names of the library

        def reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
