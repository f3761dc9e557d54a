"""When a cell has been measured enough: the interval is narrow, the profile's runs are done, or a budget has ended."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.measure import figures, stats, throughput
from harness.measure.runs import Run
from harness.schema.workload import PERCENTILE_FLOORS, Cell, Profile

CAP, INTERRUPTED = "cap", "interrupted"
"""What ends a cell besides the rule: that the next trial could pass the sum that was agreed to, and the end of the run."""


class Brief(msgspec.Struct, frozen=True):
    """What the rule needs of a run, whose requests need not be at hand then."""

    valid: int
    """Requests that count."""
    judged: float | None
    """One stream is judged by its decode rate; several by what the system puts out; an open loop, which puts out what is offered, by
    its mean TTFT."""
    output: float | None
    """For where that is not known."""


def brief(cell: Cell, run: Run) -> Brief:
    output = judged = throughput.steady_tok_s(run, cell.concurrency)
    if cell.concurrency is None:
        judged = figures.ttft([run]).value
    elif cell.concurrency == 1:
        judged = throughput.decode_tok_s(run)
    return Brief(len(run.valid), judged, output)


def stop(profile: Profile, runs: Sequence[Brief], elapsed_s: float) -> str | None:
    """Why no further trial of this cell is needed or allowed: `target`, `runs`, `max_runs` or `budget`; None: measure on.

    `elapsed_s` is what the cell's trials took so far.
    """
    if len(runs) >= profile.runs and not any(run.valid for run in runs):
        return "runs"  # more of the same would not bring a figure
    done = len(runs) >= profile.runs and elapsed_s >= profile.min_seconds
    if done and profile.target is None:
        return "runs"
    if done and _enough_requests(profile, runs) and _narrow(profile, runs):
        return "target"
    if len(runs) >= profile.max_runs and elapsed_s >= profile.min_seconds:
        return "max_runs"
    return "budget" if elapsed_s >= profile.max_seconds else None


def _enough_requests(profile: Profile, runs: Sequence[Brief]) -> bool:
    return sum(run.valid for run in runs) >= PERCENTILE_FLOORS[profile.percentile]


def _narrow(profile: Profile, runs: Sequence[Brief]) -> bool:
    judged = [run.judged for run in runs if run.judged is not None]
    values = judged or [run.output for run in runs if run.output is not None]
    half_width = stats.mean(values).half_width if values else None
    return profile.target is not None and half_width is not None and half_width <= profile.target
