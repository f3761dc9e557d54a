"""Control-plane HTTP: health, metrics, tokenize. Small, blocking, never timed; measured requests go through `harness.load`."""

from __future__ import annotations

import re
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """`status` is 0 when no HTTP answer came; `body` then holds the reason."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> object:
        """The decoded body. Raises `msgspec.DecodeError` when it is not JSON."""
        decoded: object = msgspec.json.decode(self.body)
        return decoded


def api(url: str) -> str:
    """What stands between a server's address and `/chat/completions`: `/v1`, unless the address has a version in it already, as
    `https://generativelanguage.googleapis.com/v1beta/openai` has."""
    return "" if re.search(r"/v\d\w*(/|$)", urlsplit(url).path) else "/v1"


class Client:
    """Requests to one server over one connection, which is opened anew when it has broken. No proxy is used: one between us and a local
    server would be measured without anyone knowing."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        """`url` is the server's, with the path that all requests begin with."""
        self._url = url
        try:
            place = urlsplit(url)
            port = place.port
        except ValueError:
            place, port = urlsplit(""), None
        self._known = place.scheme in ("http", "https") and bool(place.hostname)
        self._path = place.path.rstrip("/") + (f"?{place.query}" if place.query else "")
        kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
        self._connection = kind(place.hostname or "", port or kind.default_port)
        self._headers = {"content-type": "application/json", **(headers or {})}

    def fetch(self, path: str, *, payload: object | None = None, timeout_s: float = 10.0) -> Reply:
        """GET `path`, or POST `payload` as JSON. Never raises for the network's or the server's faults: see `Reply.status`."""
        if not self._known:
            return Reply(0, f"{self._url} is not an HTTP address".encode())
        data = None if payload is None else msgspec.json.encode(payload)
        used = self._connection.sock is not None
        try:
            return self._once(path, data, timeout_s)
        except TimeoutError as error:
            self._connection.close()
            return Reply(0, str(error).encode())
        except (HTTPException, OSError, ValueError) as error:
            self._connection.close()
            if not used:
                return Reply(0, str(error).encode())
        try:  # a server may close an idle connection just as it is used again
            return self._once(path, data, timeout_s)
        except (HTTPException, OSError, ValueError) as error:
            self._connection.close()
            return Reply(0, str(error).encode())

    def close(self) -> None:
        self._connection.close()

    def _once(self, path: str, data: bytes | None, timeout_s: float) -> Reply:
        connection = self._connection
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request("GET" if data is None else "POST", self._path + path or "/", data, self._headers)
        response = connection.getresponse()
        return Reply(response.status, response.read())


def fetch(url: str, *, payload: object | None = None, timeout_s: float = 10.0) -> Reply:
    """One request on a connection of its own: see `Client.fetch`."""
    client = Client(url)
    try:
        return client.fetch("", payload=payload, timeout_s=timeout_s)
    finally:
        client.close()
