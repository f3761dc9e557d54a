"""Speculative decoding: how many tokens a verify step gave, by whose account, and whether acceptance was faked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measure.runs import Run
from harness.measure.stats import Estimate, ratio_of_sums
from harness.schema.plan import faked_acceptance
from harness.schema.result import Finding

GAUGE = "the engine's gauge of its last log interval, since it does not count drafts: no interval"


def acceptance_length(runs: Sequence[Run]) -> Estimate:
    """L = 1 + ΣΔaccepted / ΣΔdrafts over the runs, by the engine's counters; where drafts are not counted, its gauge after each run."""
    moved = [delta for run in runs if (delta := run.delta("spec_accepted_tokens", "spec_drafts")) is not None and delta[1] > 0]
    if not moved:
        gauges = [gauge for run in runs if (gauge := run.trial.counters_after.get("spec_accept_length_gauge"))]
        if gauges:
            return Estimate(value=sum(gauges) / len(gauges), n=len(gauges), reason=GAUGE)
        return Estimate(reason="the engine counted no drafts")
    return ratio_of_sums([accepted + drafts for accepted, drafts in moved], [drafts for _, drafts in moved])


def run_acceptance_length(run: Run) -> float | None:
    return acceptance_length([run]).value


def tokens_per_event(runs: Sequence[Run]) -> Estimate:
    """Tokens per token-bearing event over requests that count: a cross-check of L where every verify step is sent at once."""
    tokens = [float(sum(request.timing.tokens or 0 for request in run.valid)) for run in runs]
    events = [float(sum(request.timing.token_events for request in run.valid)) for run in runs]
    return ratio_of_sums(tokens, events)


def acceptance_length_timings(runs: Sequence[Run]) -> Estimate:
    """Tokens per decoding step from llama.cpp's own account of each request.

    It names accepted tokens, not steps; each step gives one token besides the accepted ones, so N - 1 = steps + accepted.
    """
    tokens, steps = [], []
    for run in runs:
        told = [request.record.timings for request in run.valid if request.record.timings is not None]
        drafted = [timings for timings in told if timings.draft_tokens]
        if drafted:
            tokens.append(float(sum(timings.decode_tokens - 1 for timings in told)))
            steps.append(float(sum(timings.decode_tokens - 1 - (timings.accepted_tokens or 0) for timings in told)))
    if not tokens:
        return Estimate(reason="the server told of no drafts with its answers")
    return ratio_of_sums(tokens, steps)


def synthetic_acceptance(argv: Sequence[str], env: Mapping[str, str]) -> Finding | None:
    """A finding when the server was told to fake acceptance: its speed is then no model's speed."""
    switch = faked_acceptance(" ".join([*argv, *(f"{name}={value}" for name, value in env.items())]))
    if switch is None:
        return None
    return Finding(
        code="synthetic_acceptance",
        severity="invalid",
        text=f"the server was started with {switch}: speculative acceptance is faked, so these are not a model's speeds",
    )
