"""Figures that were published, beside what was measured of them here: what `harness reproduce` prints. It follows from a result, its plan,
and the recipe or the earlier result, and is not stored."""

from __future__ import annotations

import msgspec

from harness.schema.result import Figure

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED = "reproduced", "not reproduced", "inconclusive", "not tested"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that somebody published, or that an earlier result has."""

    metric: str
    """As it was published."""
    compared: str
    """Which of our figures it is held against; a name of `harness.measure.metrics.METRICS` unless there is none."""
    cell: str | None
    """The id of the cell whose conditions are its own; None: there is no such cell."""
    value: float | None
    low: float | None = None
    high: float | None = None
    runs: int = 0
    """That `low` and `high` are the 95 % interval of; 0: they are a range, or nothing was said."""
    unit: str
    source: str
    date: str
    conditions: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    claim: Claim
    verdict: str
    """`reproduced`, `not reproduced`, `inconclusive` or `not tested`."""
    reason: str
    measured: Figure | None = None
    ratio: float | None = None
    """Measured by published; None where only a range was published."""
    ratio_low: float | None = None
    """With `ratio_high` the 90 % interval: the two one-sided tests at 5 % look at it."""
    ratio_high: float | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not the same in the two environments; "" where one does not say."""

    what: str
    then: str
    now: str


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    of: str
    """The recipe's name, or the earlier result's id."""
    result: str
    """The id of the result that was measured."""
    comparisons: tuple[Comparison, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    """What else may make the two differ, in sentences."""
