"""Addresses of power meters, as a user types them. Pure."""

from __future__ import annotations

import math
import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from harness.errors import UsageError, did_you_mean
from harness.units import NS_PER_S

SHELLY, TASMOTA, HOME_ASSISTANT, CSV = "shelly", "tasmota", "homeassistant", "csv"
LOOKS = {
    SHELLY: "shelly://192.168.1.20, or shelly://192.168.1.20/1 for its second channel",
    TASMOTA: "tasmota://192.168.1.20",
    HOME_ASSISTANT: "homeassistant://homeassistant.local:8123/sensor.my_plug_power (homeassistants:// for https)",
    CSV: "csv:///home/me/meter.csv, csv:///home/me/meter.csv?offset=-3.5, or just the path of a file that ends in .csv",
}
SCHEMES = {SHELLY: "http", TASMOTA: "http", HOME_ASSISTANT: "http", "homeassistants": "https"}


class Address(msgspec.Struct, frozen=True):
    kind: str
    item: str
    """Shelly: the channel's number. Home Assistant: the entity. CSV: the file's path."""
    url: str = ""
    """Of the server."""
    host: str = ""
    offset_ns: int = 0
    """CSV: added to the time of each row."""


def parse(address: str) -> Address:
    """Touches neither network nor disk. Raises UsageError; a password or token in the address is not repeated there."""
    scheme, mark, rest = address.partition("://")
    path, _, query = address.partition("?")
    if not mark and path.endswith(".csv"):
        return Address(CSV, path, offset_ns=_offset_ns(address, query))
    if scheme == CSV:
        path, _, query = rest.partition("?")
        if not path.startswith("/"):
            raise _wrong(address, "the path after csv:// is not absolute", CSV)
        return Address(CSV, unquote(path), offset_ns=_offset_ns(address, query))
    if "@" in address:
        raise UsageError(
            "the address of a power meter carries no user and no password", f"{_look(*LOOKS)}; tokens are given apart"
        )
    if not mark:
        raise _wrong(address, "it names no kind of meter and is not the path of a .csv file", *LOOKS)
    if scheme not in SCHEMES:
        near = did_you_mean(scheme, [*SCHEMES, CSV])
        raise _wrong(
            address, f"'{scheme}' is no kind of meter that is known" + (f", did you mean '{near}'?" if near else ""), *LOOKS
        )
    return _server(address, scheme, rest)


def _server(address: str, scheme: str, rest: str) -> Address:
    kind = scheme.removesuffix("s") if scheme != "homeassistants" else HOME_ASSISTANT
    place = _split(f"{SCHEMES[scheme]}://{rest}")
    if place is None or not place.hostname or re.search(r"\s", rest):
        raise _wrong(address, "its host or port is missing or wrong", kind)
    item = place.path.strip("/")
    if kind == SHELLY and not re.fullmatch(r"\d{0,2}", item):
        raise _wrong(address, f"'{item}' is no number of a channel", kind)
    if kind == TASMOTA and item:
        raise _wrong(address, "nothing follows the host", kind)
    if kind == HOME_ASSISTANT and not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", item):
        raise _wrong(address, f"'{item}' is no entity of Home Assistant", kind)
    if place.query or place.fragment:
        raise _wrong(address, "only the address of a CSV file takes options", kind)
    return Address(kind, item or "0", f"{place.scheme}://{place.netloc}", place.hostname)


def _split(url: str) -> SplitResult | None:
    try:
        place = urlsplit(url)
        _ = place.port
    except ValueError:
        return None
    return place


def _offset_ns(address: str, query: str) -> int:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "offset":
            raise _wrong(address, f"'{name}' is no option of a CSV file", CSV)
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            raise _wrong(address, f"'{value}' is no number of seconds", CSV)
        return round(seconds * NS_PER_S)
    return 0


def _wrong(address: str, why: str, *kinds: str) -> UsageError:
    bare = address.partition("?")[0]  # behind it somebody may have put a token
    return UsageError(f"'{bare}' is no address of a power meter: {why}", _look(*kinds))


def _look(*kinds: str) -> str:
    return "it should look like " + "; ".join(LOOKS[kind] for kind in kinds)
