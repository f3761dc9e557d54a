"""One HTTPS request that carries bytes and ends in bounded time, whatever the other side does. No proxy, no redirection: it goes to the
host that was named, or nowhere."""

from __future__ import annotations

import ipaddress
import re
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR, socket
from urllib.parse import SplitResult, urlsplit

import msgspec

from harness.errors import one_line

LARGEST_ANSWER, LONGEST_SAID = 64 << 10, 300
PATIENCE_S, SLOWEST_BYTES_S = 60.0, 50_000
"""For a request, and besides for what it carries."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    status: int = 0
    """0: no answer came; `body` has the reason."""
    body: bytes = b""
    whole: bool = True
    """False: it says more than that, which was not read."""
    reached: bool = True
    """False: nothing was sent at all."""
    later_s: int | None = None
    """When to come back, if it says so in seconds."""
    location: str = ""
    """Where it sends us instead: nobody goes there."""

    @property
    def text(self) -> str:
        return short(self.body.decode("utf-8", "replace"))


def send(
    base: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    data: bytes | None = None,
    *,
    patience_s: float = PATIENCE_S,
    slowest_bytes_s: int = SLOWEST_BYTES_S,
) -> Reply:
    """To `base`, which is `http(s)://host[:port]`, on a connection of its own."""
    connection = _connection(urlsplit(base), patience_s)
    try:
        connection.connect()
    except OSError as error:  # a certificate that cannot be trusted, too: nothing was said to whoever has it
        connection.close()
        return Reply(body=_why(error), reached=False)
    ended = threading.Event()
    limit = threading.Timer(patience_s + len(data or b"") / slowest_bytes_s, _cut, (connection.sock, ended))
    limit.daemon = True
    limit.start()
    try:
        try:
            connection.request(method, path, data, dict(headers))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it had read everything
        response = connection.getresponse()
        body = response.read(LARGEST_ANSWER + 1)
        if ended.is_set():
            return Reply(body=b"it took too long, so it was cut off")
        later = response.getheader("retry-after", "")
        return Reply(
            status=response.status,
            body=body[:LARGEST_ANSWER],
            whole=len(body) <= LARGEST_ANSWER,
            later_s=int(later) if re.fullmatch("[0-9]{1,6}", later) else None,
            location=response.getheader("location") or "",
        )
    except (OSError, HTTPException, ValueError) as error:
        return Reply(body=_why(error))
    finally:
        limit.cancel()
        connection.close()


def loopback(base: str) -> bool:
    """Whether it is `http://` and a port of this machine, and nothing else."""
    try:
        place = urlsplit(base)
        host, port = place.hostname or "", place.port
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return here and base in (f"http://{host}:{port}", f"http://[{host}]:{port}")


def short(text: str) -> str:
    text = one_line(text.strip())
    return text if len(text) <= LONGEST_SAID else f"{text[:LONGEST_SAID]} …"


def without(text: str, *secrets: str) -> str:
    """A server's words may be our own: its answer without what only we may know."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "[secret]")
    return text


def _connection(place: SplitResult, patience_s: float) -> HTTPConnection:
    if place.scheme == "https":
        return HTTPSConnection(place.hostname or "", place.port, timeout=patience_s, context=ssl.create_default_context())
    return HTTPConnection(place.hostname or "", place.port, timeout=patience_s)


def _cut(connection: socket, ended: threading.Event) -> None:
    ended.set()
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)


def _why(error: Exception) -> bytes:
    return (one_line(str(error)) or type(error).__name__).encode()
