"""Trials and their records → runs, worked out and without their events."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from sys import intern

import msgspec
import numpy as np

from harness.measure import energy, stats, throughput
from harness.measure.latency import excluded, timing
from harness.measure.power_series import Channel, first_read
from harness.measure.runs import CACHE_LIMIT, GAP_PERCENTS, Request, Run, cache_share
from harness.measure.windows import Window
from harness.schema.request import Record
from harness.schema.run import Trial
from harness.schema.sensors import EDGE_NS, Idle, Sample
from harness.schema.workload import Cell

WORDS = ("phase", "token_source", "stamps", "error", "finish_reason")


def runs_of(
    cell: Cell, trials: Sequence[Trial], records_by_trial: Mapping[int, Sequence[Record]], samples: Sequence[Sample] = ()
) -> list[Run]:
    """In the order of the trials; a trial whose records are missing has no requests. `samples` are those of the whole run, in the order
    of time."""
    first = first_read(samples)
    return [run_of(cell, trial, records_by_trial.get(trial.index, ()), samples, first) for trial in trials]


def run_of(
    cell: Cell,
    trial: Trial,
    records: Sequence[Record],
    samples: Sequence[Sample] = (),
    first: Mapping[Channel, int] | None = None,
) -> Run:
    """`samples`, in the order of time, hold at least those around the trial. `first`: when each channel of the whole run was first read;
    None: `samples` are of the whole run."""
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
    run = msgspec.structs.replace(
        run,
        steady_tokens=throughput.steady_tokens(run, sound, cell.concurrency),
        gaps_ms=tuple(stats.percentile(between, percent) for percent in GAP_PERCENTS),
    )
    return _with_energy(run, cell, around(samples, trial), expected(samples, trial, first))


def around(samples: Sequence[Sample], span: Trial | Idle) -> list[Sample]:
    """Those of a span: a little of before, and of each source its first reading afterwards, so that the edges of its windows lie
    between two readings. However much more is given, it comes out the same. `samples` are in the order of time."""

    def place(t_ns: int) -> int:
        return bisect_left(samples, t_ns, key=lambda sample: sample.t_ns)

    first, end, last = (place(t) for t in (span.t_start_ns - EDGE_NS, span.t_end_ns, span.t_end_ns + EDGE_NS))
    after: dict[tuple[str, str], Sample] = {}
    for sample in samples[end:last]:
        after.setdefault((sample.source, sample.name), sample)
    return [*samples[first:end], *after.values()]


def expected(samples: Sequence[Sample], span: Trial | Idle, first: Mapping[Channel, int] | None) -> set[Channel]:
    """Channels that had been read by the end of a span."""
    known = first_read(samples) if first is None else first
    return {channel for channel, t_ns in known.items() if t_ns <= span.t_end_ns}


def _with_energy(run: Run, cell: Cell, samples: Sequence[Sample], known: Collection[Channel]) -> Run:
    windows = throughput.steady_windows(run, cell.concurrency)
    steady = bool(windows) and run.steady_tokens is not None
    if not steady:
        windows = throughput.full_windows(run)
    ended = [r for r in run.requests if r.excluded is None and any(window.holds(r.record.t_end_ns) for window in windows)]
    return msgspec.structs.replace(
        run,
        power=energy.energy(samples, windows, known),
        energy_tokens=run.steady_tokens if steady else _tokens(ended),
        energy_requests=len(ended),
        split=_split(run, samples, known) if cell.concurrency == 1 else {},
    )


def _tokens(requests: Sequence[Request]) -> int | None:
    counts = [request.timing.tokens for request in requests]
    return None if None in counts else sum(count or 0 for count in counts)


def _split(run: Run, samples: Sequence[Sample], known: Collection[Channel]) -> dict[str, energy.Split]:
    """[t_send, first token] and [first token, last token] of each of the `phased` requests."""
    prefill, decode = [], []
    for request in run.phased:
        send, times = request.record.t_send_ns, request.timing
        first = send + (times.ttft_ns or 0)
        prefill.append(Window(send, first))
        decode.append(Window(first, first + (times.decode_ns or 0)))
    return energy.split(samples, prefill, decode, known)


def _shared(record: Record) -> Record:
    """With words that all records share: a long run has very many."""
    words = {name: intern(word) for name in WORDS if (word := getattr(record, name)) is not None}
    return msgspec.structs.replace(record, **words)
