"""Waiting for a server in steps: its port opens, its health page says 200, a first token comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from harness import clock
from harness.engines.base import Engine
from harness.errors import EngineError
from harness.http import Reply, fetch
from harness.launch import logs

STEPS = ("port", "health", "first_token")
POLL_S = 0.05
HEALTH_LIMIT_S = 5.0
NOT_YET = (0, 429, 503)
"""Answers to a first request that mean "not yet": no connection, overloaded, still loading."""


def wait(
    url: str,
    engine: Engine,
    served_model: str,
    log: Path,
    limit_s: float,
    still_runs: Callable[[], None],
    on_step: Callable[[str, float], None],
    port: Callable[[], str | None] | None = None,
) -> dict[str, float]:
    """Seconds from now to each step of `STEPS`. `port` says why the port is not open yet, where a connection does not tell.

    `still_runs` is called all the while and raises when the server has died. Raises `EngineError` when `limit_s` is over, or
    when the first request is refused.
    """
    start = clock.now()
    attempts: dict[str, Callable[[], str | None]] = {
        "port": port or (lambda: _port(url)),
        "health": lambda: _health(url, engine.HEALTH),
        "first_token": lambda: _first_token(url, served_model, limit_s - clock.since(start), still_runs),
    }
    reached: dict[str, float] = {}
    for step in STEPS:
        while (not_yet := attempts[step]()) is not None:
            still_runs()
            if clock.since(start) >= limit_s:
                raise _too_late(engine, step, not_yet, limit_s, log)
            clock.sleep(POLL_S)
        still_runs()
        reached[step] = clock.since(start)
        on_step(step, reached[step])
    return reached


def _port(url: str) -> str | None:
    import socket

    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname, place.port or 80), timeout=HEALTH_LIMIT_S):
            return None
    except OSError as error:
        return f"nothing listens on port {place.port} ({error.strerror or error})"


def _health(url: str, path: str) -> str | None:
    reply = fetch(url + path, timeout_s=HEALTH_LIMIT_S)
    if reply.status == 200:
        return None
    return f"{path} answers HTTP {reply.status}" if reply.status else f"{path} does not answer ({reply.text})"


def _first_token(url: str, model: str, left_s: float, still_runs: Callable[[], None]) -> str | None:
    """One request of one token; the first of all may compile for minutes, so it waits to the end of the limit."""
    reply = _watched(url + "/v1/chat/completions", _payload(model), max(left_s, 1.0), still_runs)
    if reply.status in NOT_YET:
        return (
            f"a request of one token got HTTP {reply.status}"
            if reply.status
            else f"a request of one token got no answer ({reply.text})"
        )
    if not reply.ok:
        raise EngineError(
            f"the server answers HTTP {reply.status} to a request of one token: {_said(reply)}",
            "check the served model name and the chat template in the recipe; the server's log may say more",
        )
    if not _is_completion(reply):
        raise EngineError(
            f"the server answers a request of one token in another shape: {_said(reply)}",
            "check that the engine named in the recipe is the one that answers",
        )
    return None


def _payload(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}


def _watched(url: str, payload: object, timeout_s: float, still_runs: Callable[[], None]) -> Reply:
    """A request in the background, so that a server that dies while it hangs is noticed at once."""
    replies: list[Reply] = []
    asking = threading.Thread(target=lambda: replies.append(fetch(url, payload=payload, timeout_s=timeout_s)), daemon=True)
    asking.start()
    while asking.is_alive():
        asking.join(POLL_S)
        still_runs()
    return replies[0]


def _is_completion(reply: Reply) -> bool:
    try:
        match reply.json():
            case {"choices": [{"message": dict()}, *_]}:
                return True
    except msgspec.DecodeError:
        pass
    return False


def _said(reply: Reply) -> str:
    """The error message of a reply, on one line."""
    try:
        match reply.json():
            case {"error": {"message": str(message)}} | {"message": str(message)}:
                return " ".join(message.split())[:300]
    except msgspec.DecodeError:
        pass
    return " ".join(reply.text.split())[:300] or "(nothing)"


def _too_late(engine: Engine, step: str, why: str, limit_s: float, log: Path) -> EngineError:
    last = logs.last(log)
    return EngineError(
        f"{engine.NAME} was not ready after {limit_s:g} s: it hung at the step {step} ({why}); last log line: {last}",
        f"read {log}; if it was still at work, give it more time: --set ready_timeout_s={2 * limit_s:g}",
    )
