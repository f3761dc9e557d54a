"""Speculative decoding: how many tokens a verify step gave, by whose account, and whether acceptance was faked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measure.runs import Run
from harness.measure.stats import Estimate, ratio_of_sums
from harness.schema.plan import Launch, faked_acceptance
from harness.schema.result import Finding

ACCEPTANCE = ("spec_accepted_tokens", "spec_draft_tokens", "spec_drafts", "generation_tokens")
TOLERANCE = 0.02
"""Counters are brought up to date a little late."""
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


def impossible(moved: Mapping[str, float], requests: int) -> str | None:
    """What cannot be in how far the counters moved over so many requests, or None: more accepted than drafted, or than generated.

    The last step of a request may accept more than it still needs, as much as a draft is long.
    """
    accepted, drafted, drafts, generated = (moved.get(name) for name in ACCEPTANCE)
    if not accepted:
        return None
    if drafted is not None and accepted > drafted * (1 + TOLERANCE):
        return f"the engine counted {accepted:.0f} accepted tokens, and drafted {drafted:.0f}"
    beyond = requests * drafted / drafts if drafted and drafts else 0.0
    if generated and accepted > generated * (1 + TOLERANCE) + beyond:
        return f"the engine counted {accepted:.0f} accepted tokens, and generated {generated:.0f} in all"
    return None


def faked(launch: Launch | None, settings: Mapping[str, str]) -> str | None:
    """The switch that fakes acceptance, in the command, in its environment, or in what the server says of its settings."""
    said = [*launch.argv, *_pairs(launch.env)] if launch else []
    return faked_acceptance(" ".join([*said, *_pairs(settings)]))


def synthetic_acceptance(argv: Sequence[str], env: Mapping[str, str]) -> Finding | None:
    """A finding when the server was told to fake acceptance: its speed is then no model's speed."""
    switch = faked_acceptance(" ".join([*argv, *_pairs(env)]))
    if switch is None:
        return None
    return Finding(
        code="synthetic_acceptance",
        severity="invalid",
        text=f"the server was started with {switch}: speculative acceptance is faked, so these are not a model's speeds",
    )


def _pairs(named: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in named.items()]
