"""The server's end of the connections: which address answers, how far away it is, and what a request's head is like."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from harness import clock
from harness.schema.job import Job

Address = tuple[str, int] | tuple[str, int, int, int]


class Peer:
    """`find` it first."""

    def __init__(self, host: str, port: int, on_connected: Callable[[int], None]) -> None:
        self.host, self.port, self._on_connected = host, port, on_connected
        self.family = int(socket.AF_INET)
        self.address: Address = (host, port)

    def find(self, limit_s: float) -> None:
        """Takes the first address of the name that accepts a connection (`localhost` has two, and most servers listen on one of them).
        Where none does, the first one stays, and every request will say what is wrong with it."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return
        for family, _, _, _, address in [*found, found[0]]:
            self.family, self.address = family, address  # type: ignore[assignment]  # only Python without IPv6 gives (int, bytes)
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(limit_s)
                start = clock.now()
                try:
                    probe.connect(address)
                except OSError:
                    continue
                self._on_connected(clock.now() - start)
                return

    def socket(self) -> socket.socket:
        made = socket.socket(self.family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


def request_head(job: Job, api_key: str | None) -> bytes:
    """Everything up to the content length's value."""
    host = f"[{job.host}]" if ":" in job.host else job.host
    lines = [
        f"POST {job.path} HTTP/1.1",
        f"host: {host}:{job.port}",
        "content-type: application/json",
        "accept: text/event-stream",
    ]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    if api_key is not None:
        lines.append(f"authorization: Bearer {api_key}")
    return "\r\n".join([*lines, "content-length: "]).encode()


def hung_up(sock: socket.socket) -> bool:
    """Whether an idle connection has been closed by the server, or carries what nobody asked for."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def error_of(sock: socket.socket) -> OSError | None:
    """How a non-blocking connect failed."""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return OSError(number, os.strerror(number)) if number else None
