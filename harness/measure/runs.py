"""What every other module here computes from: a trial with its requests worked out. `trials` makes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from harness.measure.energy import ScopeEnergy, Split
from harness.measure.latency import Timing
from harness.measure.stats import Estimate
from harness.schema.request import Record
from harness.schema.run import Trial

CACHE_LIMIT = 0.01
"""Share of prompt tokens from the prefix cache above which a cell without prefix caching does not count."""


GAP_PERCENTS = (50, 99)


class Request(msgspec.Struct, frozen=True):
    """Record and timing are without events and gaps: a long run would not fit into memory with them."""

    record: Record
    timing: Timing
    excluded: str | None

    @property
    def measured(self) -> bool:
        return self.record.phase == "measure"


class Run(msgspec.Struct, frozen=True):
    """One trial of a cell: the unit of replication."""

    trial: Trial
    requests: tuple[Request, ...]
    steady_tokens: int | None = 0
    """Tokens that arrived in the steady windows (`throughput.steady_windows`), from requests that count; None: not known."""
    power: dict[str, ScopeEnergy] = {}
    """By scope: joules of the steady windows, or of the full run where there are none."""
    energy_tokens: int | None = None
    """Tokens of the same windows; None: not known."""
    energy_requests: int = 0
    """Requests that count and ended in them."""
    split: dict[str, Split] = {}
    """One stream only: joules of prefill and of decode apart, of the `phased` requests."""
    gaps_ms: tuple[Estimate, ...] = ()
    """`GAP_PERCENTS` of the pauses between token-bearing events, of requests that count."""

    @property
    def measured(self) -> list[Request]:
        return [request for request in self.requests if request.measured]

    @property
    def valid(self) -> list[Request]:
        """Measured, and nothing excludes them."""
        return [request for request in self.requests if request.measured and request.excluded is None]

    @property
    def phased(self) -> list[Request]:
        """Those that count and whose prefill and decode lie apart in time: an answer that came at once has no such instant."""
        return [r for r in self.valid if r.timing.ttft_ns is not None and r.timing.decode_ns is not None]

    @property
    def prefill_tokens(self) -> int | None:
        """Not cached, of the `phased` requests, whose joules `split` has; None where one's are not known."""
        return _sum(request.timing.prefill_tokens for request in self.phased)

    @property
    def decode_tokens(self) -> int | None:
        """After the first event of each `phased` request."""
        counts = [(request.timing.tokens, request.timing.k1) for request in self.phased]
        return _sum(None if tokens is None or k1 is None else tokens - k1 for tokens, k1 in counts)

    def delta(self, *names: str) -> tuple[float, ...] | None:
        """How far these counters of the engine moved; None when it lacks one of them."""
        before, after = self.trial.counters_before, self.trial.counters_after
        if any(name not in before or name not in after for name in names):
            return None
        return tuple(after[name] - before[name] for name in names)


def cache_share(runs: Sequence[Run]) -> float | None:
    """Prompt tokens answered from the prefix cache, as a share of all, by the engine's counters; None when it has none."""
    hits = prompts = 0.0
    for run in runs:
        if (moved := run.delta("cached_tokens", "cache_queries_tokens")) is not None:
            hits, prompts = hits + moved[0], prompts + moved[1]
        elif (moved := run.delta("cached_tokens", "prompt_tokens")) is not None:  # those do not include the cached ones
            hits, prompts = hits + moved[0], prompts + moved[0] + moved[1]
    return hits / prompts if prompts > 0 else None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)
