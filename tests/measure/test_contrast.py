"""Which of two is faster: by hand, and by simulation of two that are the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.measure import contrast, stats
from harness.measure.contrast import Block, of_blocks, sign_flip
from harness.schema.contrast import FASTER, HIGHER, LOWER, NOT_TOLD, SLOWER, WITHIN, Contrast
from harness.schema.reproduction import Claim
from harness.schema.result import Figure


def read(metric: str, unit: str, one: list[float], two: list[float]) -> Contrast:
    then, now = stats.mean(one), stats.mean(two)
    claim = Claim(
        metric=metric, compared=metric, cell="c", value=then.value, low=then.low, high=then.high, runs=len(one), unit=unit,
        source="s", date="d",
    )  # fmt: skip
    figure = Figure(value=now.value, low=now.low, high=now.high, n=now.n, unit=unit, basis="runs")
    found = contrast.of_results(claim, figure)
    assert found is not None
    return found


def test_signs_by_hand() -> None:
    """1 + 2 + 3 = 6 and its opposite are the farthest of eight sums; 1 + 2 - 3 = 0 is no farther than any."""
    assert sign_flip([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flip([1.0, 2.0, -3.0]) == 1.0
    assert sign_flip([1.0, -2.0, 3.0]) == 6 / 8  # ±6, ±4 and ±2 of ±6, ±4, ±2, 0, 0
    assert sign_flip([0.1] * 6) == 2 / 64
    assert sign_flip([0.1] * 5) == 2 / 32
    assert sign_flip([-0.1] * 6) == 2 / 64, "slower is as far as faster"
    assert sign_flip([0.1, 0.3, 0.4, -0.1]) == 6 / 16, "0.9 twice, and 0.7 four times: also where its last bits differ"


def test_two_results_by_hand() -> None:
    """100 and 110, each of four runs with s = 1: errors of 0.005 and 0.0045455, 5.9 degrees of freedom by Welch, taken as 5."""
    spread = 1.5**0.5
    one = [100 - spread, 100.0, 100.0, 100 + spread]
    found = read("decode_tok_s", "tok/s", one, [value + 10 for value in one])
    half = 2.570582 * math.hypot(0.005, 0.5 / 110) * 1.1
    assert (found.ratio, found.low, found.high) == pytest.approx((1.1, 1.1 - half, 1.1 + half), rel=1e-6)
    assert (found.word, found.p) == (FASTER, None)


@pytest.mark.parametrize(
    ("metric", "unit", "factor", "word"),
    [
        ("decode_tok_s", "tok/s", 1.1, FASTER),
        ("decode_tok_s", "tok/s", 0.9, SLOWER),
        ("ttft_ms", "ms", 0.9, FASTER),
        ("ttft_ms", "ms", 1.1, SLOWER),
        ("acceptance_length", "tok/step", 1.1, HIGHER),
        ("gpu_j_tok", "J/tok", 0.9, LOWER),
        ("decode_tok_s", "tok/s", 1.0, WITHIN),
    ],
)
def test_the_word_goes_by_what_is_better(metric: str, unit: str, factor: float, word: str) -> None:
    one = [99.5, 100.0, 100.0, 100.5]
    assert read(metric, unit, one, [value * factor for value in one]).word == word


def test_noise_is_no_sameness() -> None:
    assert read("decode_tok_s", "tok/s", [80, 100, 120], [90, 100, 115]).word == NOT_TOLD
    assert read("decode_tok_s", "tok/s", [100], [110]).word == NOT_TOLD


def blocks(effects: list[float]) -> list[Block]:
    return [([100.0, 100.0], [100.0 * math.exp(effect)] * 2) for effect in effects]


def test_blocks_by_hand() -> None:
    """Effects of 1 to 6 %: mean 3.5 %, s = 1.870829 %, t(0.975, 5) = 2.570582."""
    found = of_blocks("decode_tok_s", "c", blocks([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    half = 2.570582 * 0.01870829 / 6**0.5
    assert (found.ratio, found.low, found.high) == pytest.approx(
        tuple(math.exp(each) for each in (0.035, 0.035 - half, 0.035 + half)), rel=1e-6
    )
    assert (found.p, found.word) == (2 / 64, FASTER)
    assert of_blocks("ttft_ms", "c", blocks([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])).word == SLOWER


def test_five_blocks_say_nothing_however_clear() -> None:
    found = of_blocks("decode_tok_s", "c", blocks([0.1, 0.11, 0.1, 0.11, 0.1]))
    assert (found.p, found.word) == (2 / 32, NOT_TOLD)
    one = of_blocks("decode_tok_s", "c", blocks([0.1]))
    assert (one.low, one.p, one.word) == (None, 1.0, NOT_TOLD)


def test_a_steady_drift_favours_neither() -> None:
    """1 % slower with each run: A B B A, and then B A A B."""
    speeds = iter(100 * 0.99**run for run in range(24))
    found: list[Block] = []
    for block in range(6):
        pair: tuple[list[float], list[float]] = ([], [])
        for letter in ("ABBA", "BAAB")[block % 2]:
            pair["AB".index(letter)].append(next(speeds))
        found.append(pair)
    assert of_blocks("decode_tok_s", "c", found).ratio == pytest.approx(1, abs=1e-4)


def test_two_that_are_the_same_are_seldom_told_apart() -> None:
    """With a day's drift between blocks, which pairs within a block take out: at most one in twenty."""
    rng = np.random.default_rng(9)
    said = []
    for _ in range(1500):
        level = rng.normal(100, 10, 6)
        drawn = [(list(rng.normal(each, 1, 2)), list(rng.normal(each, 1, 2))) for each in level]
        said.append(of_blocks("decode_tok_s", "c", drawn).word)
    assert 0.01 < sum(word in (FASTER, SLOWER) for word in said) / len(said) <= 0.05


def test_two_results_of_the_same_are_seldom_told_apart() -> None:
    """Five runs of each: one in twenty. By the 90 % interval it would be one in ten."""
    rng = np.random.default_rng(10)
    said = [read("decode_tok_s", "tok/s", list(rng.normal(100, 1, 5)), list(rng.normal(100, 1, 5))).word for _ in range(2000)]
    assert 0.02 < sum(word in (FASTER, SLOWER) for word in said) / len(said) < 0.065
