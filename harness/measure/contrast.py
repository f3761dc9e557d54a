"""Whether one of two systems is faster, from runs that were read, or from blocks that were measured in turns. Pure.

A word is said only where the 95 % interval of the ratio leaves 1 out, and of blocks only where their permutation says so too: were the two
the same, each block's effect could as well have had the other sign, so the share of all 2^n choices of signs with a sum as far from 0 is
the chance of such a sum (Fisher 1935). Below six blocks that share cannot be 5 % or less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from harness.measure import equivalence, stats
from harness.measure.equivalence import MARGIN, Span
from harness.measure.metrics import HIGHER as MORE_IS_BETTER
from harness.measure.metrics import METRICS
from harness.schema.contrast import FASTER, HIGHER, LOWER, NOT_TOLD, SLOWER, WITHIN, Contrast
from harness.schema.reproduction import Claim
from harness.schema.result import Figure

CONFIDENCE, ALPHA = 0.95, 0.05
LEAST_BLOCKS, MOST_BLOCKS = 6, 12
SPEEDS = {"tok/s", "ms", "request/s"}

Block = tuple[Sequence[float], Sequence[float]]
"""What the first and what the second gave in it."""


def of_results(claim: Claim, figure: Figure) -> Contrast | None:
    """Of means over runs; None where one has no value. `claim` is the first one's."""
    if not claim.value or not figure.value or claim.cell is None:
        return None
    spread = equivalence.ratio(figure, claim, CONFIDENCE) if claim.runs > 1 else None
    narrow = equivalence.ratio(figure, claim) if claim.runs > 1 else None
    low, high = spread or (None, None)
    return Contrast(
        metric=claim.metric,
        unit=claim.unit,
        cell=claim.cell,
        one=claim.value,
        two=figure.value,
        ratio=figure.value / claim.value,
        low=low,
        high=high,
        word=_word(claim.metric, spread, narrow, None),
    )


def of_blocks(metric: str, cell: str, blocks: Sequence[Block]) -> Contrast:
    """The unit is the block; its effect is the ratio of the means in it, on a logarithmic scale. At least two blocks, values above 0."""
    effects = [math.log(_mean(two) / _mean(one)) for one, two in blocks]
    wide, narrow = stats.mean(effects, CONFIDENCE), stats.mean(effects, equivalence.CONFIDENCE)
    spread, close = _ratios(wide), _ratios(narrow)
    p = sign_flip(effects)
    return Contrast(
        metric=metric,
        unit=METRICS[metric].unit,
        cell=cell,
        one=_mean([_mean(one) for one, _ in blocks]),
        two=_mean([_mean(two) for _, two in blocks]),
        ratio=math.exp(_mean(effects)),
        low=spread[0] if spread else None,
        high=spread[1] if spread else None,
        p=p,
        word=_word(metric, spread, close, p),
    )


def sign_flip(effects: Sequence[float]) -> float:
    """Two-sided, over all choices of signs: at most `MOST_BLOCKS` effects."""
    seen = abs(sum(effects)) * (1 - 1e-12)  # the same sum in another order may differ in the last bits
    flips = [
        abs(sum(sign * each for sign, each in zip(signs, effects, strict=True)))
        for signs in product((1, -1), repeat=len(effects))
    ]
    return sum(each >= seen for each in flips) / len(flips)


def _word(metric: str, wide: Span | None, narrow: Span | None, p: float | None) -> str:
    """`wide` is the 95 % interval of the ratio, `narrow` the 90 % one that two one-sided tests look at."""
    if wide is None or narrow is None:
        return NOT_TOLD
    if (wide[0] > 1 or wide[1] < 1) and (p is None or p <= ALPHA):
        more = wide[0] > 1
        if METRICS[metric].unit not in SPEEDS:
            return HIGHER if more else LOWER
        return FASTER if more == (METRICS[metric].better == MORE_IS_BETTER) else SLOWER
    return WITHIN if narrow[0] >= 1 - MARGIN and narrow[1] <= 1 + MARGIN else NOT_TOLD


def _ratios(found: stats.Estimate) -> Span | None:
    return None if found.low is None or found.high is None else (math.exp(found.low), math.exp(found.high))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
