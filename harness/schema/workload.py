"""What is measured: profiles (grids as plain data), and the cells and trials that a plan draws from them."""

from __future__ import annotations

import msgspec

PERCENTILE_FLOORS: dict[float, int] = {50: 11, 90: 64, 95: 130, 99: 662, 99.9: 6636}
"""Requests below which a percentile is not printed (MLPerf LoadGen's early stopping, confidence 0.99, t = 1)."""


WARMUP_ROUNDS = 5
"""Rounds that the first trial of a cell warms up at the most; later trials take one."""
WARMUP_GAIN = 0.02
"""A server is warm when a round of requests is not faster than the round before by more than this share."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grid depth × pp × tg × concurrency with its rule for how much to measure. All lengths in tokens."""

    description: str = ""
    depth: tuple[int, ...] = (0,)
    """Context tokens that stand before the prompt."""
    pp: tuple[int, ...] = (2048,)
    """Prompt tokens (prefill)."""
    tg: tuple[int, ...] = (128,)
    """Tokens to generate, exactly."""
    concurrency: tuple[int, ...] = (1,)
    """Requests in flight, closed loop without think time."""
    prompt_class: str = "prose"
    """`prose` or `code`: speculative decoding accepts differently on each."""
    prefix_caching: bool = False
    """True: the depth is put into the prefix cache by a request of its own, and only the rest is measured (llama-benchy's way)."""
    percentile: int = 50
    """The highest percentile this profile has requests enough for: 50, 90, 95 or 99."""
    requests: int | None = None
    """Measured requests per trial; None: what `percentile` needs over `runs` trials, and at least two per slot."""
    requests_per_slot: int | None = None
    """Instead of `requests`: this many times the cell's concurrency (llama-benchy sends one per slot and run)."""
    runs: int = 5
    """Trials of each cell before the stopping rule may end it."""
    max_runs: int = 20
    target: float | None = 0.02
    """Relative half-width of the mean's 95 % interval at which a cell may stop; None: stop after `runs`."""
    min_seconds: float = 0.0
    """Each cell is measured at least this long, over all its trials."""
    max_seconds: float = 3600.0
    """No new trial of a cell starts after this many seconds of measuring it."""
    schedule: tuple[tuple[int, int], ...] | None = None
    """(depth, concurrency) in a fixed order, instead of a seeded shuffle."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the grid."""

    id: str
    """`d0-pp2048-tg128-c1`."""
    depth: int
    pp: int
    tg: int
    concurrency: int
    prompt_class: str
    prefix_caching: bool
    requests: int
    """Measured requests per trial."""
    warmup: int
    """Requests of a round of warm-up at this shape; the measured ones follow without draining."""

    @property
    def prompt_tokens(self) -> int:
        return self.depth + self.pp

    @property
    def context_tokens(self) -> int:
        """What one request needs of the model's context."""
        return self.depth + self.pp + self.tg


class Skipped(msgspec.Struct, frozen=True):
    """A cell that is not measured, and why."""

    cell: Cell
    reason: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sent with every request, so that two runs ask for the same thing."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A profile resolved into cells, with everything that makes it repeatable."""

    profile_name: str
    profile: Profile
    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]
    seed: int
    """Prompts and order follow from it: the same seed gives the same requests in the same order."""
    sampling: Sampling


def cell_id(depth: int, pp: int, tg: int, concurrency: int) -> str:
    return f"d{depth}-pp{pp}-tg{tg}-c{concurrency}"
