"""Trials and their records → runs, worked out and without their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import intern

import msgspec
import numpy as np

from harness.measure import stats, throughput
from harness.measure.latency import excluded, timing
from harness.measure.runs import CACHE_LIMIT, GAP_PERCENTS, Request, Run, cache_share
from harness.schema.request import Record
from harness.schema.run import Trial
from harness.schema.workload import Cell

WORDS = ("phase", "token_source", "stamps", "error", "finish_reason")


def runs_of(cell: Cell, trials: Sequence[Trial], records_by_trial: Mapping[int, Sequence[Record]]) -> list[Run]:
    """In the order of the trials; a trial whose records are missing has no requests."""
    return [run_of(cell, trial, records_by_trial.get(trial.index, ())) for trial in trials]


def run_of(cell: Cell, trial: Trial, records: Sequence[Record]) -> Run:
    hits = cache_share([Run(trial, ())])
    uncached = 0 if not cell.prefix_caching and hits is not None and hits <= CACHE_LIMIT else None
    requests, sound, gaps = [], [], []
    for record in map(_shared, sorted(records, key=lambda record: (record.t_send_ns, record.index))):
        times = timing(record, rtt_ns=trial.client.rtt_ns, cached_if_unsaid=uncached)
        reason = excluded(record, times)
        replace = msgspec.structs.replace
        requests.append(Request(replace(record, events=()), replace(times, gaps_ns=()), reason))
        if reason is None:
            sound.append(record)
            if record.phase == "measure":
                gaps.append(np.asarray(times.gaps_ns, dtype=float))
    run = Run(trial, tuple(requests))
    between = np.concatenate(gaps) / 1e6 if gaps else np.empty(0)
    return msgspec.structs.replace(
        run,
        steady_tokens=throughput.steady_tokens(run, sound, cell.concurrency),
        gaps_ms=tuple(stats.percentile(between, percent) for percent in GAP_PERCENTS),
    )


def _shared(record: Record) -> Record:
    """With words that all records share: a long run has very many."""
    words = {name: intern(word) for name in WORDS if (word := getattr(record, name)) is not None}
    return msgspec.structs.replace(record, **words)
