"""The same small plan on several servers, again and again for days: the file that asks for it, and a line for each visit."""

from __future__ import annotations

import msgspec

EVERY_S, FOR_S = 900.0, 7 * 86_400.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that already runs."""

    name: str
    url: str
    model: str | None = None
    api_key_env: str | None = None
    """The environment variable that holds the key."""
    price: tuple[float, float] | None = None
    """Dollars per million tokens, input and output; None: the list price where it is known."""
    max_usd: float | None = None
    """What all visits together may cost."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file for `harness observe`. Every visit sends `requests` requests, one after the other."""

    endpoints: tuple[Endpoint, ...]
    pp: int = 512
    tg: int = 64
    requests: int = 8


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal."""

    endpoint: str
    round: int
    """Which of the instants that were asked for, from 0."""
    when: str
    """RFC 3339, UTC."""
    every_s: float | None = None
    """Between two instants. None: a line of an older harness, which did not say."""
    asked: bool = True
    """False: nothing was learnt of the server, as nothing was sent (the sum is used up, a key is missing) or the visit was cut short."""
    result: str = ""
    """Id of the stored result; empty: there is none."""
    error: str = ""
    """Why nothing was measured; empty: something was."""
    sent: int = 0
    answered: int = 0
    errors: dict[str, int] = {}
    """Requests without a whole answer, by the reason codes of records: `http_429`, `timeout`."""
    ttft_ms: tuple[float, ...] = ()
    e2e_ms: tuple[float, ...] = ()
    decode_tok_s: tuple[float, ...] = ()
    """Of requests whose server tells token counts."""
    usd: float | None = None
    """Of a visit that failed or was cut short, the most that it can have cost. None: nothing is charged, or nothing was sent."""
