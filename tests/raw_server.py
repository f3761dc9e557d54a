"""A loopback server that answers each request with exactly the bytes it was given, to be as wrong as the test wants."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Answer(msgspec.Struct, frozen=True):
    pieces: tuple[bytes, ...]
    """One `send` each, a little apart."""
    then: str = "keep"
    """`keep` the connection, `close` it, `reset` it, or `hang` on to it in silence."""


class Raw:
    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = False
        while request := _request(sock):
            with self._lock:
                self.connections += not asked
                asked = True
                self.requests.append(request)
                answer = self._answers.pop(0)
            for piece in answer.pieces:
                sock.sendall(piece)
                time.sleep(0.005)
            if answer.then == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if answer.then in ("reset", "close"):
                sock.close()
                return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self._open:
            sock.close()


def _request(sock: socket.socket) -> bytes:
    """One whole request; nothing when the client has hung up."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += (got := sock.recv(65536))
            if not got:
                return b""
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1])
        while len(rest) < length:
            rest += sock.recv(65536)
    except OSError:
        return b""
    return head + b"\r\n\r\n" + rest


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def raw(*answers: Answer) -> Iterator[Raw]:
    """The nth request, on whatever connection, gets the nth answer."""
    server = Raw(answers)
    try:
        yield server
    finally:
        server.close()
