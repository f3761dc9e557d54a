"""The board: one row per system or offer, each of its entries with where it is from and from when."""

from __future__ import annotations

import datetime

import msgspec

from harness.schema.facts import Source

ORIGINS = ("measured", "published", "listed", "claimed", "computed", "assessed", "given", "imported")
"""By this harness here; by somebody for this very setup; a vendor's list; said somewhere without evidence; arithmetic over other entries;
self-assessed against a framework; by who asked; by another program, in a file without raw data."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A figure or a word. Without `value` there is a `why`, and the other way round."""

    value: float | str | bool | None = None
    unit: str = ""
    low: float | None = None
    """With `high` its 95 % interval, or the range it is known to lie in."""
    high: float | None = None
    origin: str = ""
    """One of `ORIGINS`."""
    date: datetime.date | None = None
    how: str = ""
    """Its conditions, or the arithmetic."""
    sources: tuple[Source, ...] = ()
    result: str = ""
    """Id of the stored result that it was measured in."""
    why: str = ""
    also: tuple[Entry, ...] = ()
    """Other values for the same thing: what was published, where `value` was measured; what was claimed, where it is listed."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """The recipe's name, with the hardware behind it where there are several; `provider/model` of an API."""
    model: str
    engine: str = ""
    """Empty for an API."""
    quantization: str = ""
    nodes: int | None = None
    """Machines; None for an API."""
    hardware: str = ""
    """Of one machine: `GB10`; empty for an API, or where it is not known."""
    provider: str = ""
    """`name, product` of an API; empty for what runs on machines of one's own."""
    entries: dict[str, Entry]
    """By the names of the board's columns."""


class Board(msgspec.Struct, frozen=True, kw_only=True):
    rows: tuple[Row, ...]
    day: datetime.date
    """That ages are counted from."""
    notes: tuple[str, ...] = ()
