"""When a cell has been measured enough: the interval is narrow, the profile's runs are done, or a budget has ended."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure import figures
from harness.measure.runs import Run
from harness.schema.workload import PERCENTILE_FLOORS, Cell, Profile


def stop(profile: Profile, cell: Cell, runs: Sequence[Run], elapsed_s: float) -> str | None:
    """Why no further trial of this cell is needed or allowed: `target`, `runs`, `max_runs` or `budget`; None: measure on.

    `elapsed_s` is what the cell's trials took so far.
    """
    if len(runs) >= profile.runs and not any(run.valid for run in runs):
        return "runs"  # more of the same would not bring a figure
    done = len(runs) >= profile.runs and elapsed_s >= profile.min_seconds
    if done and profile.target is None:
        return "runs"
    if done and _enough_requests(profile, runs) and _narrow(profile, cell, runs):
        return "target"
    if len(runs) >= profile.max_runs and elapsed_s >= profile.min_seconds:
        return "max_runs"
    return "budget" if elapsed_s >= profile.max_seconds else None


def _enough_requests(profile: Profile, runs: Sequence[Run]) -> bool:
    return sum(len(run.valid) for run in runs) >= PERCENTILE_FLOORS[profile.percentile]


def _narrow(profile: Profile, cell: Cell, runs: Sequence[Run]) -> bool:
    """One stream is judged by its decode rate; several, or one whose decode rate is not known, by what the system puts out; an open
    loop, which puts out what is offered, by its mean TTFT."""
    if cell.concurrency is None:
        estimate = figures.ttft(runs)
    else:
        estimate = figures.decode(runs) if cell.concurrency == 1 else figures.output(cell, runs)
    if estimate.value is None:
        estimate = figures.output(cell, runs)
    return profile.target is not None and estimate.half_width is not None and estimate.half_width <= profile.target
