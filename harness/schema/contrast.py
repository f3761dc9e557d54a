"""Two systems side by side: what `harness compare` prints. It follows from results, and is not stored."""

from __future__ import annotations

import msgspec

from harness.schema.reproduction import Difference

FASTER, SLOWER, HIGHER, LOWER = "faster", "slower", "higher", "lower"
WITHIN, NOT_TOLD = "within ±3 %", "not told apart"


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a cell. `word` is said of the second."""

    metric: str
    unit: str
    cell: str
    one: float
    two: float
    """Means; the ratio of several blocks is not exactly theirs."""
    ratio: float
    low: float | None = None
    """With `high` the 95 % interval of the ratio."""
    high: float | None = None
    p: float | None = None
    """Of the sign-flip permutation of blocks; None: they were not measured in turns."""
    word: str


class Contrasts(msgspec.Struct, frozen=True, kw_only=True):
    one: str
    """Name or id of the first."""
    two: str
    blocks: int
    """0: two stored results were read."""
    contrasts: tuple[Contrast, ...]
    left_out: tuple[str, ...]
    """Cells without a contrast, and why."""
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    results: tuple[str, ...]
    """Their ids, in the order in which they were measured."""
