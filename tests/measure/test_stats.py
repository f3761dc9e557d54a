"""Against published tables, closed forms, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure import stats
from harness.schema.workload import PERCENTILE_FLOORS


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (0, {50: 7, 90: 44, 95: 90, 99: 459, 99.9: 4603}),
        (1, {50: 11, 90: 64, 95: 130, 99: 662, 99.9: 6636}),
        (2, {50: 14, 90: 81, 95: 165, 99: 838, 99.9: 8403}),
        (5, {50: 22, 90: 127, 95: 259, 99: 1307}),
    ],
)
def test_floors_follow_from_early_stopping(over: int, expected: dict[float, int]) -> None:
    assert {percent: stats.requests_needed(percent, over) for percent in expected} == expected


def test_the_schema_names_the_same_floors() -> None:
    assert {percent: stats.requests_needed(percent) for percent in PERCENTILE_FLOORS} == PERCENTILE_FLOORS


@pytest.mark.parametrize(("percent", "smallest"), [(50, 6), (90, 36), (95, 72), (99, 368), (99.9, 3688)])
def test_smallest_n_with_an_interval(percent: float, smallest: int) -> None:
    assert stats.interval_ranks(smallest - 1, percent) is None
    assert stats.interval_ranks(smallest, percent) is not None


@pytest.mark.parametrize(
    ("n", "percent", "ranks"),
    [(1000, 90, (881, 919)), (1000, 99, (983, 997)), (2000, 99, (1971, 1989)), (10_000, 99, (9880, 9920)), (6, 50, (1, 6))],
)
def test_interval_ranks(n: int, percent: float, ranks: tuple[int, int]) -> None:
    low, high = ranks
    assert stats.interval_ranks(n, percent) == ranks
    # both tails hold at most 2.5 % and would hold more one rank further in
    below = np.cumsum([float(p) for p in binomial(n, percent / 100)])
    assert below[low - 1] <= 0.025 < below[low]
    assert 1 - below[high - 1] <= 0.025 < 1 - below[high - 2]


def binomial(n: int, p: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """By the recurrence from the mode outwards: another way than the code's."""
    result = np.zeros(n + 1)
    mode = int(n * p)
    result[mode] = 1.0
    for k in range(mode + 1, n + 1):
        result[k] = result[k - 1] * (n - k + 1) / k * p / (1 - p)
    for k in range(mode - 1, -1, -1):
        result[k] = result[k + 1] * (k + 1) / (n - k) * (1 - p) / p
    return np.asarray(result / result.sum())


def test_percentile_below_its_floor_says_how_many_are_missing() -> None:
    assert stats.percentile(range(10), 50) == stats.Estimate(n=10, reason="needs 1 more request")
    assert stats.percentile(range(11), 90) == stats.Estimate(n=11, reason="needs 53 more requests")


def test_percentile_of_known_values() -> None:
    found = stats.percentile(list(range(101)), 90)
    assert found.value == 90.0
    assert found.n == 101
    low, high = stats.interval_ranks(101, 90) or (0, 0)
    assert (found.low, found.high) == (low - 1, high - 1)
    assert stats.percentile([3.0, 1.0, 2.0] * 4, 50).value == 2.0


@pytest.mark.parametrize(
    ("df", "confidence", "expected"),
    [
        (1, 0.95, 12.7062), (2, 0.95, 4.3027), (3, 0.95, 3.1824), (4, 0.95, 2.7764), (5, 0.95, 2.5706), (9, 0.95, 2.2622),
        (10, 0.95, 2.2281), (19, 0.95, 2.0930), (30, 0.95, 2.0423), (120, 0.95, 1.9799), (5000, 0.95, 1.9604),
        (1, 0.99, 63.6567), (4, 0.99, 4.6041), (10, 0.99, 3.1693),
    ],
)  # fmt: skip
def test_t_quantile_against_the_table(df: int, confidence: float, expected: float) -> None:
    assert stats.t_quantile(df, confidence) == pytest.approx(expected, abs=6e-5)


def test_mean_interval_by_hand() -> None:
    found = stats.mean([40.0, 41.0, 42.0, 43.0, 44.0])
    half = 2.776445 * 1.5811388 / 5**0.5
    assert (found.value, found.n) == (42.0, 5)
    assert found.low == pytest.approx(42 - half, rel=1e-6)
    assert found.high == pytest.approx(42 + half, rel=1e-6)
    assert found.half_width == pytest.approx(half / 42, rel=1e-6)


def test_no_interval_from_one_run() -> None:
    assert stats.mean([5.0]) == stats.Estimate(value=5.0, n=1, reason="one run gives no interval")
    assert stats.mean([]).value is None
    assert stats.ratio_of_sums([6.0], [3.0]) == stats.Estimate(value=2.0, n=1, reason="one run gives no interval")
    assert stats.ratio_of_sums([], []).value is None


def test_ratio_of_sums_weighs_by_the_denominator() -> None:
    found = stats.ratio_of_sums([10.0, 90.0], [1.0, 99.0])
    assert found.value == pytest.approx(1.0)  # the mean of the ratios would be 5.45
    even = stats.ratio_of_sums([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])  # equal weights: the same as the mean
    assert (even.low, even.high) == pytest.approx((stats.mean([2, 3, 4]).low, stats.mean([2, 3, 4]).high))


def test_coverage_of_order_statistics() -> None:
    """Skewed data, 4,000 samples each: the interval holds the true percentile at least as often as it says."""
    rng = np.random.default_rng(1)
    for n, percent, z in ((11, 50, 0.0), (64, 90, 1.2815516), (400, 99, 2.3263479), (662, 99, 2.3263479)):
        low, high = stats.interval_ranks(n, percent) or (0, 0)
        data = np.sort(rng.lognormal(0, 0.6, (4000, n)), axis=1)
        true = np.exp(0.6 * z)
        covered = np.mean((data[:, low - 1] <= true) & (true <= data[:, high - 1]))
        assert covered >= 0.94, (n, percent, covered)
        assert covered <= 0.995, (n, percent, covered)  # nor so wide that it says nothing


def test_coverage_of_the_mean() -> None:
    rng = np.random.default_rng(2)
    inside = sum(
        (found.low or 0) <= 40 <= (found.high or 0) for found in (stats.mean(list(rng.normal(40, 2, 5))) for _ in range(3000))
    )
    assert 0.94 <= inside / 3000 <= 0.96


def test_coverage_of_the_jackknife() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(2000):
        below = rng.uniform(50, 150, 8)
        above = 2.5 * below + rng.normal(0, 10, 8)
        found = stats.ratio_of_sums(list(above), list(below))
        inside += (found.low or 0) <= 2.5 <= (found.high or 0)
    assert 0.92 <= inside / 2000 <= 0.97


def test_mser5_finds_the_end_of_a_warm_up() -> None:
    noise = np.random.default_rng(4).normal(0, 1, 130)
    warm = noise + np.concatenate((np.linspace(30, 0, 30), np.zeros(100)))
    assert 20 <= stats.mser5(list(warm)) <= 40
    assert stats.mser5(list(100 + noise)) <= 30
    assert stats.mser5([5.0] * 60) == 0


def test_mser5_by_hand() -> None:
    """Σ/(n-d)² at cuts 0 to 3 is 13.33/36, 4.8/25, 4/16, 2.67/9: the second is the least. The variance alone would cut at 3."""
    means = [4.0, 0.0, 0.0, 0.0, 2.0, 2.0]
    assert stats.mser5([mean for mean in means for _ in range(5)]) == 5


def test_mser5_needs_four_batches() -> None:
    assert stats.mser5([100.0] * 5 + [1.0] * 14) == 0
    assert stats.mser5([100.0] * 5 + [1.0] * 15) == 5


def test_trend_of_a_line() -> None:
    found = stats.trend([10.0, 11.0, 12.0, 13.0, 14.0])
    assert found.value == pytest.approx(4 / 12)
    assert found.low == pytest.approx(found.value)
    assert stats.trend([7.0] * 5).value == 0


def test_trend_interval_by_the_textbook() -> None:
    """Slope 0.6 per step, residual sum of squares 2.4, so its error is √(0.8/10); four steps, over a mean of 4."""
    found = stats.trend([2.0, 4.0, 5.0, 4.0, 5.0])
    half = 3.182446 * (0.8 / 10) ** 0.5
    assert found.value == pytest.approx(0.6)
    assert found.low == pytest.approx(0.6 - half, rel=1e-5)
    assert found.high == pytest.approx(0.6 + half, rel=1e-5)


def test_trend_of_too_little() -> None:
    assert stats.trend([1.0]).value is None
    assert stats.trend([1.0, 3.0]).low is None
    assert stats.trend([1.0, -1.0]).value is None
