"""Ratings as expected win rates: by hand, by properties, and what is refused."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.entries import is_number, number
from harness.measure.quality import elo_of, expected, gap, quality_tax, win_rate
from harness.schema.facts import Fact, Rating, Source

DAY = datetime.date(2026, 4, 29)
SOURCE = Source(url="https://example.org/arena", kind="secondary", date=DAY)


def rating(
    value: float | None,
    half: float | None = None,
    *,
    name: str = "m",
    config: str = "text",
    category: str = "overall",
    date: datetime.date = DAY,
) -> Rating:
    fact: Fact[float] = Fact(why="no source")
    if value is not None:
        low, high = (None, None) if half is None else (value - half, value + half)
        fact = Fact(value=value, low=low, high=high, sources=(SOURCE,))
    return Rating(arena_name=name, model=name, config=config, category=category, date=date, rating=fact)


def test_by_hand() -> None:
    """400 points are ten to one; 80 points 10^0.2 = 1.5849 to one, 61.31 %."""
    assert expected(400) == pytest.approx(10 / 11)
    assert expected(80) == pytest.approx(0.613137, abs=1e-6)
    assert expected(0) == 0.5


def test_a_gap_and_its_interval() -> None:
    """3 and 4 make 5: the sum of variances."""
    found = gap(rating(1420, 3, name="ours"), rating(1503, 4, name="theirs"))
    assert (found.value, found.low, found.high) == pytest.approx((-83, -88, -78))
    assert found.how == "ours 1420 - theirs 1503 (text, overall, 2026-04-29)"
    assert (found.sources, found.date, found.unit) == ((SOURCE,), DAY, "Elo")
    won = win_rate(rating(1420, 3), rating(1503, 4))
    assert (won.value, won.low, won.high) == pytest.approx((expected(-83), expected(-88), expected(-78)))


def test_an_uneven_interval() -> None:
    """Of the lower end: how far down ours may be, and how far up theirs."""
    ours = Rating(
        arena_name="ours", config="text", category="overall", date=DAY, rating=Fact(value=1400.0, low=1397.0, high=1412.0)
    )
    theirs = Rating(
        arena_name="theirs", config="text", category="overall", date=DAY, rating=Fact(value=1500.0, low=1495.0, high=1504.0)
    )
    found = gap(ours, theirs)
    assert (found.low, found.high) == pytest.approx((-100 - 5, -100 + 13))


def test_without_an_interval_there_is_none() -> None:
    found = win_rate(rating(1420, 3), rating(1503))
    assert (found.low, found.high) == (None, None)
    assert number(found) == pytest.approx(expected(-83))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (rating(1500, config="text_style_control"), "different config are not comparable: text and text_style_control"),
        (rating(1500, category="coding"), "different category are not comparable: overall and coding"),
        (rating(1500, date=datetime.date(2026, 9, 13)), "different date are not comparable: 2026-04-29 and 2026-09-13"),
    ],
)
def test_other_scales_are_refused(other: Rating, why: str) -> None:
    for found in (gap(rating(1420), other), win_rate(rating(1420), other)):
        assert found.value is None
        assert why in found.why


def test_unrated() -> None:
    found = win_rate(rating(1420), rating(None))
    assert (found.value, found.why) == (None, "gap: no source")


def test_quality_tax() -> None:
    """Against the best closed model of the same table and day, whatever open ones and other days say."""
    own = rating(1420, name="open")
    rivals = [
        rating(1503, name="opus"),
        rating(1488, name="gpt"),
        rating(1600, name="better open"),
        rating(1700, name="gpt", date=datetime.date(2026, 9, 13)),
        rating(None, name="gemini"),
    ]
    found, best = quality_tax(own, rivals, {"opus", "gpt", "gemini"})
    assert (found.value, best) == (83, rivals[0])
    assert quality_tax(rating(1510), rivals, {"opus"})[0].value == -7
    none, nobody = quality_tax(own, rivals, {"somebody"})
    assert (none.value, none.why, nobody) == (None, "no closed model is rated in text, overall, 2026-04-29", None)


@given(st.floats(-1500, 1500))
def test_both_sides_make_one(points: float) -> None:
    assert expected(points) + expected(-points) == pytest.approx(1)
    assert elo_of(expected(points)) == pytest.approx(points, abs=1e-6)


@given(st.floats(1000, 1700), st.floats(1000, 1700), st.floats(0, 50), st.floats(0, 50))
def test_it_lies_in_its_interval(one: float, other: float, half: float, other_half: float) -> None:
    found = win_rate(rating(one, half), rating(other, other_half))
    assert is_number(found)
    assert found.low is not None
    assert found.high is not None
    assert found.low - 1e-9 <= number(found) <= found.high + 1e-9
    assert (number(found) > 0.5) == (one > other) or one == pytest.approx(other)
