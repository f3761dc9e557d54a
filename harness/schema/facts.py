"""Facts from outside: what others charge, promise, draw, or were voted to be. Each has sources with a date, or is unknown."""

from __future__ import annotations

import datetime
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

NO_SOURCE = "no source"

KINDS = ("primary", "mirror", "secondary", "package")
"""Of sources: the party's own text, a dated copy of it, somebody else's reading, data that an installed package carries."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where something was read."""

    url: str
    quote: str = ""
    """Verbatim, 30 words at the most; empty where a figure was taken from a table or a data file."""
    kind: str
    """One of `KINDS`."""
    date: datetime.date
    """The day that it speaks of: its own date, or the day it was read where it bears none."""
    dated: str = ""
    """What else is said of its date: `effective 2025-06-17; copy of 2026-03-11`, `undated, read on that day`."""


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing known of a row, or why it is not."""

    value: T | None = None
    sources: tuple[Source, ...] = ()
    note: str = ""
    """What the value leaves out: `opt-in only`, a conflict between sources."""
    why: str = ""
    """Why there is no value; empty when there is one."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of one offering over an API. They differ by product, endpoint and model, so all four are the key; None: all."""

    provider: str
    product: str
    endpoint: str | None = None
    model: str | None = None
    parent_seat: Fact[str]
    """Country of the company that decides, ISO 3166 alpha-2."""
    contract_law: Fact[str]
    """Under whose law the contract stands, in words."""
    contract_eu: Fact[bool]
    """Whether a customer in the EU contracts under the law of a member state."""
    residency: Fact[str]
    """Where prompts are processed and kept, in words."""
    residency_eu: Fact[str]
    """`yes` (default), `option`, or `no`: whether processing and storage can be confined to the EU."""
    retention_days: Fact[float]
    """Of prompts and answers of stateless calls, by default; 0: not kept."""
    zero_retention: Fact[str]
    """`default`, `self-serve`, `approval` or `no`."""
    trains_on_data: Fact[str]
    """`no`, `opt-in`, `opt-out` or `yes`, of what is sent through the API by a paying customer."""
    dpa: Fact[str]
    """The data processing agreement, in words."""
    certifications: Fact[tuple[str, ...]]
    weights_self_hostable: Fact[str]
    """`yes`, `some` or `no`."""
    weights_licence: Fact[str]
    cloud_act: Fact[str]
    """Exposure to 18 U.S.C. 2713, derived from the seat: `direct`, `indirect` (a US company among its processors) or `none`."""
    note: str = ""
