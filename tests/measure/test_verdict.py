"""The rule by which a claim holds or does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.verdict import DEPENDS, DIFFERS, HOLDS, NEAR, ROUNDED, SAME, UNCHECKED, Span, at, how_far, of


@pytest.mark.parametrize(
    ("claimed", "known", "verdict"),
    [
        (at(37.5), at(37.5), HOLDS),
        (at(3.4), at(3.3875), HOLDS),  # 0.37 %
        (at(1.0049), at(1), HOLDS),
        (at(1.0051), at(1), ROUNDED),
        (at(480), at(474.25), ROUNDED),  # 1.2 %
        (at(80), at(83), ROUNDED),  # 3.6 %
        (at(1.0499), at(1), ROUNDED),
        (at(1.051), at(1), DIFFERS),
        (at(0.949), at(1), DIFFERS),
        (at(75), at(25), DIFFERS),
        (at(0.05), Span(0.17, 0.75), DIFFERS),
        (at(1), Span(0.17, 0.75), DIFFERS),
        (at(140), Span(60, 156), DEPENDS),
        (at(160), Span(60, 156), DEPENDS),  # within 5 % of its end
        (at(41), Span(38, 41), DEPENDS),
        (at(41), Span(40, 41), HOLDS),  # a range no wider than rounding is a figure
        (Span(12, 15), at(14), HOLDS),
        (Span(12, 15), at(15.7), HOLDS),
        (Span(12, 15), at(16), DIFFERS),
        (Span(12, 15), Span(14, 30), DEPENDS),
        (Span(12, 15), Span(20, 30), DIFFERS),
        (None, at(1), UNCHECKED),
        (at(1), None, UNCHECKED),
    ],
)
def test_verdicts(claimed: Span | None, known: Span | None, verdict: str) -> None:
    assert of(claimed, known) == verdict


@pytest.mark.parametrize(
    ("claimed", "known", "words"),
    [
        (75, at(25), "3 times too high"),
        (100, at(30), "3.3 times too high"),
        (0.1, at(0.142276), "30 % too low"),
        (1.5, at(1.2), "25 % too high"),
        (11_000, at(263.6), "42 times too high"),
        (0.06, Span(0.17, 0.75), "2.8 times too low"),
        (50, Span(2, 40), "25 % too high"),
        (0.3, at(0), ""),
        (0, at(0.3), ""),
    ],
)
def test_how_far_off(claimed: float, known: Span, words: str) -> None:
    assert how_far(claimed, known) == words


@given(st.floats(1e-3, 1e6), st.floats(0.5, 2))
def test_the_tolerances_are_shares_of_what_is_known(known: float, ratio: float) -> None:
    off = abs(ratio - 1)
    if min(abs(off - SAME), abs(off - NEAR)) > 1e-9:
        expected = HOLDS if off < SAME else ROUNDED if off < NEAR else DIFFERS
        assert of(at(known * ratio), at(known)) == expected


@given(st.floats(1, 1e3), st.floats(1, 1e3), st.floats(1, 1e3))
def test_a_wider_range_is_never_a_firmer_verdict(claimed: float, one: float, other: float) -> None:
    narrow, wide = at(one), Span(min(one, other), max(one, other))
    if of(at(claimed), narrow) in (HOLDS, ROUNDED):
        assert of(at(claimed), wide) in (HOLDS, ROUNDED, DEPENDS)
