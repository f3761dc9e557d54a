"""What a difference of ratings on the Elo scale means: how often one model's answer would be preferred to the other's, ties aside.

Ratings are comparable within one table of one day: another configuration, category or date is another scale, and is refused. Not
covered: the covariance of two ratings of one day, which the arena does not publish, in the interval of their difference.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from harness.measure.entries import computed, is_number, number, of_fact, shown
from harness.schema.board import Entry
from harness.schema.facts import Rating

SCALE, BASE = 400.0, 10.0
"""Of the arena's Bradley-Terry ratings: 400 points are odds of ten to one."""
ELO = "Elo"


def expected(gap_elo: float) -> float:
    """The share of decided votes that the model rated higher by `gap_elo` wins; below 0.5 for a negative gap."""
    return 1.0 / (1.0 + math.pow(BASE, -gap_elo / SCALE))


def elo_of(win_rate: float) -> float:
    """The gap that gives that share, above 0 and below 1."""
    return SCALE * math.log(win_rate / (1 - win_rate), BASE)


def gap(one: Rating, other: Rating) -> Entry:
    """How much higher `one` is rated. Its interval by MOVER (Zou & Donner 2008): the sum of variances where intervals are symmetric."""
    why = incomparable(one, other)
    mine, theirs = entry(one), entry(other)
    if why or not is_number(mine) or not is_number(theirs):
        return Entry(unit=ELO, why=why or "; ".join(each.why for each in (mine, theirs) if each.why))
    value = number(mine) - number(theirs)
    low = high = None
    if mine.low is not None and mine.high is not None and theirs.low is not None and theirs.high is not None:
        low = value - math.hypot(number(mine) - mine.low, theirs.high - number(theirs))
        high = value + math.hypot(mine.high - number(mine), number(theirs) - theirs.low)
    return Entry(
        value=value,
        unit=ELO,
        low=low,
        high=high,
        origin="computed",
        date=one.date,
        how=f"{one.arena_name} {number(mine):g} - {other.arena_name} {number(theirs):g} ({one.config}, {one.category}, {one.date})",
        sources=tuple(dict.fromkeys((*mine.sources, *theirs.sources))),
    )


def win_rate(one: Rating, other: Rating) -> Entry:
    """How often `one` is preferred to `other`, ties aside."""
    return computed(
        "share",
        lambda v: expected(v["gap"]),
        {"gap": gap(one, other)},
        lambda v, value: f"1 / (1 + 10^(-({shown(v['gap'])}) / 400)), ties aside",
    )


def quality_tax(own: Rating, ratings: Sequence[Rating], closed: Collection[str]) -> tuple[Entry, Rating | None]:
    """(Elo points that `own` is below the best closed model of its table and day; below 0 where it is above; that model). `closed`: what
    the arena calls the models whose weights are not to be had."""
    rivals = [
        each
        for each in ratings
        if each.arena_name in closed and incomparable(each, own) is None and each.rating.value is not None
    ]
    if not rivals:
        why = f"no closed model is rated in {own.config}, {own.category}, {own.date}"
        return Entry(unit=ELO, why=why), None
    best = max(rivals, key=lambda each: each.rating.value or 0.0)
    return gap(best, own), best


def incomparable(one: Rating, other: Rating) -> str | None:
    """Why these two are on different scales; None: they are on one."""
    for name in ("config", "category", "date"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            return f"ratings of different {name} are not comparable: {mine} and {theirs}"
    return None


def entry(rating: Rating) -> Entry:
    return of_fact(rating.rating, ELO, "published", f"{rating.config}, {rating.category}, {rating.date}")
