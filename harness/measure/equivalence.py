"""Whether a published figure was reproduced: two one-sided tests (Schuirmann 1987) of the mean over runs against a margin. Pure.

Each test at 5 % asks no more than whether that end of the 90 % interval lies within the margin. So where the truth is at the margin's
edge, `reproduced` is said in at most 5 % of cases, and `not reproduced`, for which the whole interval must lie outside, in no more.
The margin is ±3 % of the published value, or the published interval, whichever the measured one lies within. The 95 % interval of an
earlier result's mean is no margin: it says how little is known, and is in the ratio's interval. As a margin it would let two means that
are 3 % apart, each of five runs that scatter by 5 %, pass in 27 % of cases.
"""

from __future__ import annotations

import math

from harness.measure.metrics import METRICS
from harness.measure.stats import t_quantile
from harness.schema.reproduction import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim, Comparison
from harness.schema.result import CellResult, Figure

MARGIN = 0.03
CONFIDENCE = 0.90
"""Of the interval that both tests, each at 5 %, look at."""

AS_PUBLISHED = {"decode_tok_s": "decode_tok_s_n1"}
"""Published decode rates count N-1 tokens, k1 > 1 or not."""
SPELLINGS = {
    "tok/s": {"tokens/s", "t/s", "tokens per second", "tps"},
    "tok/step": {"tokens per verify step", "tokens per step", "tokens/step"},
    "request/s": {"req/s", "requests/s"},
}

Span = tuple[float, float]


def untestable(metric: str, unit: str) -> str | None:
    """Why nothing that is measured here can be held against such a figure; None: something can."""
    if metric in METRICS:
        ours = METRICS[AS_PUBLISHED.get(metric, metric)].unit
        if unit != ours and unit not in SPELLINGS.get(ours, ()):
            return f"it is published in {unit}, and {metric} is in {ours} here"
        return None
    if metric.startswith("power"):
        return "its meter is not said: watts are compared as gpu_w, soc_w, system_w or wall_w"
    return f"the harness measures nothing called {metric}"


def compare(claim: Claim, cell: CellResult | None, missing: str = "no cell has its conditions") -> Comparison:
    """`missing` says why there is no cell."""
    if (why := untestable(claim.metric, claim.unit)) is not None:
        return Comparison(claim=claim, verdict=NOT_TESTED, reason=why)
    if cell is None:
        return Comparison(claim=claim, verdict=NOT_TESTED, reason=missing)
    figure = cell.figures.get(claim.compared)
    if figure is None or figure.value is None:
        return Comparison(claim=claim, verdict=NOT_TESTED, reason=(figure and figure.reason) or "it has no value here")
    if cell.verdict == "invalid":
        worst = next((finding.text for finding in cell.findings if finding.severity == "invalid"), "")
        return Comparison(claim=claim, verdict=NOT_TESTED, reason=f"the cell is not valid: {worst}", measured=figure)
    spread = ratio(figure, claim)
    verdict, reason = judge(figure, claim, spread)
    if cell.verdict != "valid" and verdict != INCONCLUSIVE:
        verdict, reason = INCONCLUSIVE, f"the cell is {cell.verdict}, else it would be {verdict} ({reason})"
    low, high = spread or (None, None)
    value = figure.value / claim.value if claim.value else None
    return Comparison(claim=claim, verdict=verdict, reason=reason, measured=figure, ratio=value, ratio_low=low, ratio_high=high)


def judge(figure: Figure, claim: Claim, spread: Span | None) -> tuple[str, str]:
    """(verdict, reason); `spread` is the ratio's interval."""
    measured = interval(figure)
    if measured is None:
        return INCONCLUSIVE, figure.reason or "it has no interval"
    tests: list[tuple[str, Span, Span]] = []
    if spread is not None:
        tests.append((f"±{MARGIN * 100:g} %", spread, (1 - MARGIN, 1 + MARGIN)))
    if not claim.runs and claim.low is not None and claim.high is not None:
        tests.append(("the published interval", measured, (claim.low, claim.high)))
    names = " and ".join(name for name, _, _ in tests)
    for name, (low, high), (least, most) in tests:
        if least <= low and high <= most:
            return REPRODUCED, f"within {name}"
    if tests and all(high < least or low > most for _, (low, high), (least, most) in tests):
        return NOT_REPRODUCED, f"outside {names}"
    return INCONCLUSIVE, f"its interval reaches across the edge of {names}: more runs would narrow it"


def interval(figure: Figure, confidence: float = CONFIDENCE) -> Span | None:
    """At `confidence` for a mean over runs. For a percentile over requests the 95 % one that it has, which is wider. None without one."""
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    if figure.basis != "runs":
        return figure.low, figure.high
    half = t_quantile(figure.n - 1, confidence) * _error(figure.low, figure.high, figure.n)
    return figure.value - half, figure.value + half


def ratio(figure: Figure, claim: Claim, confidence: float = CONFIDENCE) -> Span | None:
    """The interval of measured by published. Where the published figure is itself a mean of runs, its error is in it (delta method,
    degrees of freedom by Welch and Satterthwaite, rounded down)."""
    measured = interval(figure, confidence)
    if not claim.value or not figure.value or measured is None:
        return None
    if claim.runs < 2 or claim.low is None or claim.high is None or figure.basis != "runs":
        return measured[0] / claim.value, measured[1] / claim.value
    ours = (_error(figure.low or 0.0, figure.high or 0.0, figure.n) / figure.value) ** 2
    theirs = (_error(claim.low, claim.high, claim.runs) / claim.value) ** 2
    middle = figure.value / claim.value
    if ours + theirs == 0:
        return middle, middle
    freedom = (ours + theirs) ** 2 / (ours**2 / (figure.n - 1) + theirs**2 / (claim.runs - 1))
    half = t_quantile(max(1, math.floor(freedom + 1e-9)), confidence) * math.sqrt(ours + theirs) * middle
    return middle - half, middle + half


def _error(low: float, high: float, runs: int) -> float:
    """The standard error that a 95 % interval of a mean over runs was made of."""
    return (high - low) / 2 / t_quantile(runs - 1)
