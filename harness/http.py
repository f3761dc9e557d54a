"""Control-plane HTTP: health, metrics, tokenize. Small, blocking, never timed; measured requests go through `harness.load`."""

from __future__ import annotations

from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

_DIRECT = build_opener(ProxyHandler({}))  # a proxy between us and a local server would be measured without anyone knowing


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


def fetch(url: str, *, payload: object | None = None, headers: dict[str, str] | None = None, timeout_s: float = 10.0) -> Reply:
    """GET `url`, or POST `payload` as JSON. Never raises for the network's or the server's faults: see `Reply.status`."""
    if not url.startswith(("http://", "https://")):
        return Reply(0, f"{url} is not an HTTP address".encode())
    data = None if payload is None else msgspec.json.encode(payload)
    request = Request(url, data=data, headers={"content-type": "application/json", **(headers or {})})  # noqa: S310  checked above
    try:
        with _DIRECT.open(request, timeout=timeout_s) as response:
            return Reply(response.status, response.read())
    except HTTPError as error:
        return Reply(error.code, error.read())
    except (URLError, OSError, ValueError) as error:
        return Reply(0, str(getattr(error, "reason", error)).encode())
