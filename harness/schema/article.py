"""The article's claims beside what is known of them: what `harness facts article` says."""

from __future__ import annotations

import datetime

import msgspec

from harness.schema.facts import Claim, Source


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Of one cell of a table."""

    claim: Claim
    verdict: str
    """One of `measure.verdict.VERDICTS`."""
    known: str = ""
    """What stands beside it, in a word: `25`, `0.17–0.75`."""
    far: str = ""
    """How far the claim is off, of one that differs: `3 times too high`."""
    why: str
    """In a sentence, with its sum."""
    sources: tuple[Source, ...] = ()


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """One line of arithmetic."""

    what: str
    how: str = ""
    value: float | None = None
    """None: it is not known, and `how` says why."""
    unit: str = ""
    low: float | None = None
    """With `high` the range that it lies in, by what the published inputs are between."""
    high: float | None = None
    verdict: str = ""
    """On the claim; empty: it says something else of it."""
    far: str = ""
    sources: tuple[Source, ...] = ()


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """Of one claim of the text."""

    claim: Claim
    own: Sum | None = None
    """By the article's other figures."""
    found: Sum | None = None
    """By what is listed, published or measured elsewhere."""
    more: tuple[Sum, ...] = ()
    notes: tuple[str, ...] = ()
    """What none of the sums says."""


class Article(msgspec.Struct, frozen=True, kw_only=True):
    tables: dict[str, tuple[Finding, ...]]
    """By `Claim.table`, in the article's order."""
    text: tuple[Reckoning, ...]
    day: datetime.date
    """Whose prices count."""
    assumed: tuple[str, ...] = ()
    """What all sums rest on."""
