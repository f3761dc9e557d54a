"""Power at the wall: smart plugs on the local network, Home Assistant, and the log of any other meter.

`address` says what a user may type, `protocols` what each plug is asked and answers, `network` when it is asked; `log` reads a growing
CSV file. Opening asks no plug; the first reading does.
"""

from __future__ import annotations

from harness.errors import UsageError
from harness.sense.base import Source
from harness.sense.plug import address as addresses
from harness.sense.plug.log import MeterLog
from harness.sense.plug.network import Plug, SmallAnswers
from harness.sense.plug.protocols import HomeAssistant, Shelly, Tasmota

TOKEN_HINT = "create a long-lived access token on your profile page in Home Assistant, under Security, and copy the whole of it"


def open_plug(address: str, secret: str | None = None, part: str = "plug") -> Source:
    """`secret` is Home Assistant's access token; other kinds need none. Readings are called `<part>.power` and `<part>.energy`: each of
    several meters needs a part of its own. Raises UsageError for an address that `addresses.parse` refuses, for a token that is missing
    or cannot be one, and for a log that is not there or whose header names no time, power or energy."""
    place = addresses.parse(address)
    if place.kind == addresses.CSV:
        return MeterLog(place.item, part, place.offset_ns)
    if place.kind == addresses.SHELLY:
        return Plug(place.host, part, SmallAnswers(place.url), Shelly(place.item))
    if place.kind == addresses.TASMOTA:
        return Plug(place.host, part, SmallAnswers(place.url), Tasmota())
    return Plug(place.host, part, _with_token(place.url, secret), HomeAssistant(place.item))


def _with_token(url: str, secret: str | None) -> SmallAnswers:
    token = (secret or "").strip()
    if not token:
        raise UsageError("Home Assistant answers nobody without an access token", TOKEN_HINT)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("the access token for Home Assistant has characters that no token has", TOKEN_HINT)
    return SmallAnswers(url, {"authorization": f"Bearer {token}"})
