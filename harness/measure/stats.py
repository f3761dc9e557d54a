"""The statistics behind every figure: percentiles with floors, intervals, tests for drift. Knows no requests or engines.

An interval that does not exist is None with a reason. Intervals are 95 % unless asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
FLOOR_CONFIDENCE = 0.99
BATCH = 5


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number without its unit; see `schema.result.Figure`."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None

    @property
    def half_width(self) -> float | None:
        """Of the interval, relative to the value."""
        if self.value is None or self.low is None or self.high is None or self.value == 0:
            return None
        return (self.high - self.low) / 2 / abs(self.value)


@lru_cache
def requests_needed(percent: float, over: int = 1) -> int:
    """The smallest n at which `over` values above a bound still show, at confidence 0.99, that the percentile is below it.

    MLPerf LoadGen's early stopping (loadgen/early_stopping.cc, d = 0): P[Bin(n, 1-p) <= over] <= 1 - 0.99.
    """
    tail = 1 - percent / 100
    n = over + 1
    while sum(math.comb(n, k) * tail**k * (1 - tail) ** (n - k) for k in range(over + 1)) > 1 - FLOOR_CONFIDENCE:
        n += 1
    return n


def percentile(values: Sequence[float] | NDArray[np.float64], percent: float) -> Estimate:
    """Linear between the two nearest values (numpy's default), once there are enough of them; interval by `interval_ranks`."""
    n = len(values)
    missing = requests_needed(percent) - n
    if missing > 0:
        return Estimate(n=n, reason=f"needs {missing} more request{'s' if missing > 1 else ''}")
    ordered = np.sort(np.asarray(values, dtype=float))
    value = float(np.percentile(ordered, percent))
    ranks = interval_ranks(n, percent)
    if ranks is None:
        return Estimate(value=value, n=n, reason=f"{n} values give no 95 % interval of p{percent:g}")
    low, high = ranks
    return Estimate(value=value, low=float(ordered[low - 1]), high=float(ordered[high - 1]), n=n)


@lru_cache
def interval_ranks(n: int, percent: float) -> tuple[int, int] | None:
    """Ranks (from 1) of the two sorted values that hold the true percentile between them in 95 % of cases.

    This holds for every distribution: the number of values below the percentile is binomial, and each tail gets at most 2.5 %.
    None where n is too small for that.
    """
    tail = (1 - CONFIDENCE) / 2
    below = _binomial_cdf(n, percent / 100)
    low = int(np.searchsorted(below, tail, side="right"))  # the largest r with P[Bin <= r-1] <= tail
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1  # the smallest r with P[Bin >= r] <= tail
    return (low, high) if low >= 1 and high <= n else None


def mean(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean ± t · s/√n over independent values (runs), ddof = 1."""
    n = len(values)
    if n == 0:
        return Estimate(reason="no run has a value")
    data = np.asarray(values, dtype=float)
    value = float(data.mean())
    if n == 1:
        return Estimate(value=value, n=1, reason="one run gives no interval")
    half = t_quantile(n - 1, confidence) * float(data.std(ddof=1)) / math.sqrt(n)
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def ratio_of_sums(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Σ numerators / Σ denominators over runs; interval by jackknife over runs (pseudo-values, t with R-1)."""
    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    n = len(above)
    rest = below.sum() - below
    if n == 0 or below.sum() <= 0:
        return Estimate(n=n, reason="no run has a value")
    value = float(above.sum() / below.sum())
    if n == 1 or rest.min() <= 0:
        return Estimate(value=value, n=n, reason="one run gives no interval")
    pseudo = n * value - (n - 1) * (above.sum() - above) / rest
    half = t_quantile(n - 1) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    return Estimate(value=value, low=value - half, high=value + half, n=n)


@lru_cache
def t_quantile(df: int, confidence: float = CONFIDENCE) -> float:
    """The t with P[|T| <= t] = `confidence` for Student's T with `df` degrees of freedom.

    For whole df that probability is a finite sum in the angle atan(t/√df) (Abramowitz & Stegun 26.7.3, 26.7.4): bisected here.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(200):
        middle = (low + high) / 2
        if _t_within(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan((low + high) / 2)


def _t_within(angle: float, df: int) -> float:
    odd = df % 2
    term = math.cos(angle) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):  # each term is the one before times cos² · (k-1)/k
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    total *= math.sin(angle)
    return (angle + total) * 2 / math.pi if odd else total


def mser5(values: Sequence[float]) -> int:
    """How many values at the start to drop as warm-up: MSER-5 (White 1997), over means of five.

    The d <= n/2 that makes Σ_{i>d}(x_i - x̄_d)² / (n-d)² smallest. 0 for fewer than four batches.
    """
    means = _batch_means(values)
    n = len(means)
    if n < 4:
        return 0
    scores = [float(((means[d:] - means[d:].mean()) ** 2).sum()) / (n - d) ** 2 for d in range(n // 2 + 1)]
    return BATCH * int(np.argmin(scores))


def trend(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The change from the first to the last value along the least-squares line, as a share of their mean: 0 is flat.

    The interval takes the residuals as independent; below three values there is none.
    """
    n = len(values)
    if n < 2:
        return Estimate(n=n, reason="needs two values")
    data = np.asarray(values, dtype=float)
    x = np.linspace(-0.5, 0.5, n)
    level, square = float(data.mean()), float((x**2).sum())
    if level == 0:
        return Estimate(n=n, reason="the mean is 0")
    slope = float((x * data).sum()) / square
    if n == 2:
        return Estimate(value=slope / level, n=n, reason="two values give no interval")
    residual = data - level - slope * x
    half = t_quantile(n - 2, confidence) * math.sqrt(float((residual**2).sum()) / (n - 2) / square)
    return Estimate(value=slope / level, low=(slope - half) / level, high=(slope + half) / level, n=n)


def _batch_means(values: Sequence[float]) -> NDArray[np.float64]:
    whole = len(values) // BATCH * BATCH
    return np.asarray(np.asarray(values[:whole], dtype=float).reshape(-1, BATCH).mean(axis=1))


@lru_cache(maxsize=64)
def _binomial_cdf(n: int, p: float) -> NDArray[np.float64]:
    """P[Bin(n, p) <= k] for k = 0..n."""
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    k = np.arange(n + 1)
    log_ways = log_factorial[n] - log_factorial - log_factorial[::-1]
    return np.asarray(np.cumsum(np.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))), dtype=np.float64)
