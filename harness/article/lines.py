"""Lines of arithmetic out of entries."""

from __future__ import annotations

import msgspec

from harness.article.premises import span
from harness.measure.entries import is_number, number, of_fact
from harness.measure.verdict import DIFFERS, Span, how_far, of
from harness.schema.article import Sum
from harness.schema.board import Entry
from harness.schema.facts import Claim, Price

OWN = "by its own figures"
AT_WALL = "at the median of the watts published of such machines at the wall (behind it: by all of them)"


def judged(claim: Claim, what: str, found: Entry) -> Sum:
    """The sum of an entry, with its verdict on the claim."""
    claimed, by = span(claim.value), _span(found)
    verdict = of(claimed, by)
    far = how_far(claimed.low, by) if verdict == DIFFERS and claimed and by else ""
    return msgspec.structs.replace(plain(what, found), verdict=verdict, far=far)


def plain(what: str, found: Entry) -> Sum:
    """One that judges nothing."""
    by = _span(found)
    if by is None or not is_number(found):
        return Sum(what=what, how=found.why, sources=found.sources)
    low, high = by if by.high > by.low else (None, None)
    return Sum(what=what, how=found.how, value=number(found), low=low, high=high, unit=found.unit, sources=found.sources)


def _span(found: Entry) -> Span | None:
    """Its interval, where it has one: a value within a range that was published is no figure."""
    if found.low is not None and found.high is not None and found.high > found.low:
        return Span(found.low, found.high)
    return span(found)


def output(price: Price | None, how: str = "") -> Entry:
    """What it lists for a million tokens."""
    if price is None:
        return Entry(why="no price is known")
    return of_fact(price.output_mtok, f"{price.currency}/Mtok", "listed", how)
