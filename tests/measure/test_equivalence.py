"""Two one-sided tests: by hand, by simulation at the margin's edge, and by what must not matter."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import equivalence, stats
from harness.measure.equivalence import MARGIN, compare, interval, untestable
from harness.measure.metrics import METRICS
from harness.schema.reproduction import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim
from harness.schema.result import CellResult, Figure, Finding
from tests.measure.streams import cell

METRIC = "decode_tok_s_n1"


def claim(value: float | None = 100.0, low: float | None = None, high: float | None = None, runs: int = 0) -> Claim:
    return Claim(
        metric=METRIC, compared=METRIC, cell="c", value=value, low=low, high=high, runs=runs, unit="tok/s", source="s", date="d"
    )


def of_runs(*values: float) -> Figure:
    found = stats.mean(values)
    return Figure(value=found.value, low=found.low, high=found.high, n=found.n, unit="tok/s", basis="runs", reason=found.reason)


def measured(figure: Figure, *findings: Finding, verdict: str = "valid") -> CellResult:
    return CellResult(
        cell=cell(),
        verdict=verdict,
        findings=findings,
        trials=3,
        stopped_by="runs",
        sent=3,
        valid=3,
        excluded={},
        figures={METRIC: figure},
    )


def verdict(figure: Figure, of: Claim) -> str:
    return compare(of, measured(figure)).verdict


def test_by_hand() -> None:
    """Mean 98, s = 1, n = 4: 98 ± 2.353363 · 1/2."""
    figure = of_runs(98 - 1.5**0.5, 98.0, 98.0, 98 + 1.5**0.5)
    assert interval(figure) == pytest.approx((98 - 1.1766817, 98 + 1.1766817))
    found = compare(claim(), measured(figure))
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((0.98, 0.968233, 0.991767), abs=1e-6)
    assert found.verdict == INCONCLUSIVE
    assert found.reason == "its interval reaches across the edge of ±3 %: more runs would narrow it"
    assert verdict(figure, claim(98.5)) == REPRODUCED
    assert verdict(figure, claim(103.0)) == NOT_REPRODUCED


def test_two_means_by_hand() -> None:
    """98 (s = 1, n = 4) by 100 (s = 2, n = 4): errors of 0.5/98 and 1/100, 4.46 degrees of freedom by Welch, taken as 4."""
    figure = of_runs(98 - 1.5**0.5, 98.0, 98.0, 98 + 1.5**0.5)
    half = stats.t_quantile(3) * 2 / 2
    found = compare(claim(100.0, 100 - half, 100 + half, runs=4), measured(figure))
    ours, theirs = (0.5 / 98) ** 2, 0.01**2
    assert (ours + theirs) ** 2 / (ours**2 / 3 + theirs**2 / 3) == pytest.approx(4.46, abs=0.01)
    assert found.ratio_high == pytest.approx(0.98 + 2.131847 * (ours + theirs) ** 0.5 * 0.98, rel=1e-6)
    assert found.ratio_low == pytest.approx(0.98 - 2.131847 * (ours + theirs) ** 0.5 * 0.98, rel=1e-6)


@pytest.mark.parametrize("runs", [3, 5, 20])
@pytest.mark.parametrize("edge", [1 - MARGIN, 1 + MARGIN])
def test_at_the_edge_either_verdict_is_wrong_in_at_most_5_percent(runs: int, edge: float) -> None:
    rng = np.random.default_rng(5)
    draws = 3000
    said = [verdict(of_runs(*rng.normal(100 * edge, 0.4, runs)), claim()) for _ in range(draws)]
    for wrong in (REPRODUCED, NOT_REPRODUCED):
        assert 0.038 < said.count(wrong) / draws < 0.062, "5 %, within three standard errors of so many draws"


@pytest.mark.parametrize("spread", [0.2, 1.0, 3.0])
def test_wide_intervals_do_not_make_it_reproduced(spread: float) -> None:
    """Five runs, 4 % off: whatever the noise, at most one in twenty."""
    rng = np.random.default_rng(6)
    said = [verdict(of_runs(*rng.normal(104, spread, 5)), claim()) for _ in range(2000)]
    assert said.count(REPRODUCED) / 2000 <= 0.05


@pytest.mark.parametrize("spread", [0.5, 1.0, 5.0])
def test_an_earlier_result_is_uncertain_too(spread: float) -> None:
    """Both means are of five runs, and 3 % apart."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(2000):
        then, now = of_runs(*rng.normal(100, spread, 5)), of_runs(*rng.normal(103, spread, 5))
        wrong += verdict(now, claim(then.value, then.low, then.high, runs=5)) == REPRODUCED
    assert wrong / 2000 <= 0.05


RUNS = st.lists(st.floats(90, 110), min_size=2, max_size=8)


@given(RUNS)
def test_above_and_below_are_judged_alike(values: list[float]) -> None:
    assert verdict(of_runs(*values), claim()) == verdict(of_runs(*(200 - value for value in values)), claim()) or _near_an_edge(
        values
    )


@given(RUNS, st.floats(0.01, 1000))
def test_units_do_not_matter(values: list[float], scale: float) -> None:
    scaled = [value * scale for value in values]
    assert verdict(of_runs(*values), claim()) == verdict(of_runs(*scaled), claim(100.0 * scale)) or _near_an_edge(values)


def _near_an_edge(values: list[float]) -> bool:
    """Where rounding may decide."""
    ends = interval(of_runs(*values)) or (0.0, 0.0)
    return any(abs(end - edge) < 1e-6 for end in ends for edge in (97.0, 103.0))


@given(RUNS)
def test_the_mean_alone_rules_one_verdict_out(values: list[float]) -> None:
    """Reproduced needs the mean within the margin, and not reproduced needs it outside."""
    figure = of_runs(*values)
    assert figure.value is not None
    impossible = NOT_REPRODUCED if 97 <= figure.value <= 103 else REPRODUCED
    assert verdict(figure, claim()) != impossible


@pytest.mark.parametrize(
    ("values", "of", "expected", "reason"),
    [
        ((410, 412, 414), claim(None, 200, 600), REPRODUCED, "within the published interval"),
        ((190, 200, 210), claim(None, 200, 600), INCONCLUSIVE, "reaches across the edge of the published interval"),
        ((620, 622, 624), claim(None, 200, 600), NOT_REPRODUCED, "outside the published interval"),
        ((104.9, 105, 105.1), claim(100, 90, 110), REPRODUCED, "within the published interval"),  # 5 % off the value
        ((101.9, 102, 102.1), claim(100, 99.9, 100.1), REPRODUCED, "within ±3 %"),
        ((103.9, 104, 104.1), claim(100, 99.9, 100.1), NOT_REPRODUCED, "outside ±3 % and the published interval"),
        ((109, 110, 111), claim(100, 90, 110), INCONCLUSIVE, "the edge of ±3 % and the published interval"),
        ((100, 110, 120), claim(100, 99.9, 100.1), INCONCLUSIVE, "the edge of ±3 % and the published interval"),
    ],
)
def test_a_published_interval_is_a_margin_too(values: tuple[float, ...], of: Claim, expected: str, reason: str) -> None:
    found = compare(of, measured(of_runs(*values)))
    assert (found.verdict, reason in found.reason) == (expected, True)
    assert (found.ratio is None) == (of.value is None)


def test_one_run_is_inconclusive() -> None:
    found = compare(claim(), measured(of_runs(100.0)))
    assert (found.verdict, found.reason) == (INCONCLUSIVE, "one run gives no interval")
    assert found.ratio == 1.0


def test_equal_runs_are_a_point() -> None:
    assert verdict(of_runs(102.9, 102.9), claim()) == REPRODUCED
    assert verdict(of_runs(103.1, 103.1), claim()) == NOT_REPRODUCED
    assert verdict(of_runs(100, 100), claim(100.0, 100.0, 100.0, runs=3)) == REPRODUCED


def test_a_percentile_keeps_its_own_interval() -> None:
    figure = Figure(value=100.0, low=97.5, high=102.5, n=64, unit="ms", basis="requests")
    assert interval(figure) == (97.5, 102.5)


def test_an_unsteady_cell_reproduces_nothing() -> None:
    found = compare(claim(), measured(of_runs(100, 100.1), verdict="unsteady"))
    assert found.verdict == INCONCLUSIVE
    assert "the cell is unsteady, else it would be reproduced" in found.reason


@pytest.mark.parametrize(
    ("of", "cell_result", "reason"),
    [
        (claim(), None, "no cell has its conditions"),
        (claim(), measured(Figure(value=None, unit="", reason="only one event carried tokens")), "only one event carried tokens"),
        (claim(), measured(of_runs(100, 101), Finding(code="x", severity="invalid", text="late"), verdict="invalid"), "not valid: late"),
        (msgspec.structs.replace(claim(), metric="power_w", unit="W"), measured(of_runs(1, 2)), "its meter is not said"),
        (msgspec.structs.replace(claim(), metric="accept_rate", unit="share"), measured(of_runs(1, 2)), "nothing called accept_rate"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_says_why(of: Claim, cell_result: CellResult | None, reason: str) -> None:
    found = compare(of, cell_result)
    assert found.verdict == NOT_TESTED
    assert reason in found.reason


def test_units_must_be_ours_in_some_spelling() -> None:
    assert untestable("decode_tok_s", "tokens/s") is None
    assert untestable("acceptance_length", "tokens per verify step") is None
    assert untestable("ttft_ms", "s") == "it is published in s, and ttft_ms is in ms here"
    assert set(equivalence.SPELLINGS) <= {metric.unit for metric in METRICS.values()}
