"""What is measured: profiles (grids as plain data), and the cells and trials that a plan draws from them."""

from __future__ import annotations

from typing import Any

import msgspec

PERCENTILE_FLOORS: dict[float, int] = {50: 11, 90: 64, 95: 130, 99: 662, 99.9: 6636}
"""Requests below which a percentile is not printed (MLPerf LoadGen's early stopping, confidence 0.99, t = 1)."""


JsonValue = str | int | float | bool | None | list[Any] | dict[str, Any]

ARRIVALS = ("poisson", "gamma", "constant", "trace")

WARMUP_ROUNDS = 5
"""Rounds that the first trial of a cell warms up at the most; later trials take one."""
WARMUP_GAIN = 0.02
"""A server is warm when a round of requests is not faster than the round before by more than this share."""


class Slo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user should get. A request keeps it when it keeps every limit that is set; in open loop TTFT counts from the schedule."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None
    """Of the whole call."""
    share: float = 0.99
    """A cell holds the SLO when at least this share of its requests keeps it (0.99: the 99th percentile, as MLPerf has it)."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of request in a mixture."""

    pp: int
    tg: int
    weight: float = 1.0
    """How often it comes, relative to the others."""


class TraceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a recorded load: a line of the JSONL file of `--trace`."""

    offset_s: float
    """After the first one's instant."""
    prompt_tokens: int
    output_tokens: int


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grid depth × pp × tg × concurrency (or rate) with its rule for how much to measure. All lengths in tokens."""

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
    idle_seconds: float = 12.0
    """How long the idle machine is read before the first trial and after the last; not at all where nothing reads its power."""
    cool_to_c: float | None = None
    """Each trial begins when the machine is no hotter than this, or `cool_limit_s` has passed."""
    cool_limit_s: float = 600.0
    soak_seconds: float = 0.0
    """The first cell's load for so long before anything is measured, so that the machine is as hot as it gets."""
    points: tuple[tuple[int, int, int, int], ...] = ()
    """(depth, pp, tg, concurrency) of each cell, instead of the grid."""
    schedule: tuple[tuple[int, int], ...] | None = None
    """(depth, concurrency) in a fixed order, instead of a seeded shuffle."""
    rate: tuple[float, ...] = ()
    """Open loop: requests per second, instead of `concurrency`."""
    arrivals: str = "poisson"
    """Open loop: `poisson`, `gamma`, `constant`, or `trace` (of `--trace FILE`, without `rate`)."""
    burstiness: float = 1.0
    """Of gamma arrivals, its shape: 1 is Poisson, less comes in bursts, more is evener."""
    seconds: float = 60.0
    """Open loop: how long requests are sent in each trial."""
    turns: int = 1
    """Requests of one conversation: each carries the turns before it with the server's own answers, and `pp` tokens more."""
    sessions: int = 1
    """Open loop with turns: conversations that go on side by side."""
    mix: tuple[Shape, ...] = ()
    """Kinds of request drawn at random, instead of `pp` and `tg`."""
    variants: dict[str, dict[str, JsonValue]] = {}
    """Request fields by name, such as `{high: {reasoning_effort: high}}`: each is measured."""
    exact: bool = True
    """False: the model ends its answer, `tg` is only the limit."""
    slo: str | Slo | None = None
    """Limits for goodput, or the name of a preset."""
    until_slo: bool = False
    """Rates from the lowest up, each with all its trials, until one does not hold the SLO."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the grid."""

    id: str
    """`d0-pp2048-tg128-c1`."""
    depth: int
    pp: int
    tg: int
    concurrency: int | None
    """None: open loop."""
    prompt_class: str
    prefix_caching: bool
    requests: int
    """Measured requests per trial."""
    warmup: int
    """Requests of a round of warm-up at this shape; the measured ones follow without draining."""
    rate: float | None = None
    """Open loop: requests per second; None with a trace, which has its own."""
    arrivals: str = "closed"
    """`closed`, or as the profile says."""
    burstiness: float = 1.0
    turns: int = 1
    sessions: int = 1
    mix: tuple[Shape, ...] = ()
    """`pp` and `tg` are then the longest of them."""
    variant: str = ""
    fields: dict[str, JsonValue] = {}
    """Of the variant: merged into every request."""
    exact: bool = True
    slo: Slo | None = None

    @property
    def prompt_tokens(self) -> int:
        return self.depth + self.pp

    @property
    def one_length(self) -> bool:
        """Whether every answer has exactly `tg` tokens."""
        return self.exact and not self.mix and self.arrivals != "trace"

    @property
    def ramp(self) -> tuple[int, int, int, str]:
        """Equal for cells of one run that differ only in their rate."""
        return self.depth, self.pp, self.tg, self.variant

    @property
    def load(self) -> str:
        """`c4`, `3.33/s` or `trace`."""
        if self.concurrency is not None:
            return f"c{self.concurrency}"
        return "trace" if self.rate is None else f"{self.rate:.3g}/s"

    @property
    def words(self) -> str:
        """`pp128 tg128 c4`, with depth, turns and variant where there are such."""
        lengths = f"mix of {len(self.mix)}" if self.mix else f"pp{self.pp} tg{self.tg}" if self.arrivals != "trace" else ""
        turns = f"{self.turns} turns" if self.turns > 1 else ""
        return " ".join(filter(None, (f"d{self.depth}" if self.depth else "", lengths, turns, self.load, self.variant)))

    @property
    def context_tokens(self) -> int:
        """What one request needs of the model's context."""
        return self.depth + self.turns * (self.pp + self.tg)


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
    trace: tuple[TraceRow, ...] = ()
