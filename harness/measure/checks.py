"""What a reader must know before using a cell's figures: requests that do not count, the client's error, drift, late reads.

What the engine says of itself is held against the records in `crosscheck`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np

from harness.measure import throughput
from harness.measure.runs import Request, Run
from harness.measure.stats import Estimate, mean, mser5, trend
from harness.measure.throughput import counted_by_event, in_steady_window
from harness.schema.result import Finding
from harness.schema.workload import WARMUP_GAIN, WARMUP_ROUNDS, Cell

EXCLUDED_LIMIT = 0.005
LAG_FLOOR_NS = 1_000_000
LAG_SHARE = 0.01
TOKEN_TOLERANCE = 0.02
RATE_TOLERANCE = 0.01
DRIFT_LIMIT = 0.02
DRIFT_CONFIDENCE = 0.99
"""Stricter than the intervals of figures: every cell of a grid is asked, and a false alarm costs the cell."""
DRIFT_REQUESTS, DRIFT_RUNS, TREND_RUNS = 5, 3, 5
FEW_READS = 0.5

MEANING = {
    "no_usage": "the number of generated tokens is not known",
    "wrong_length": "the answer does not have exactly the asked number of tokens",
    "finish_reason": "the answer did not end because of its length",
    "no_tokens": "no event carried a token",
    "prompt_length": "the server counted another prompt length than the cell's",
}


def findings(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    yield from _requests(runs)
    yield from _client(cell, runs)
    yield from _schedule(cell, runs)
    yield from _tokens(runs)
    yield from _reads(runs)
    yield from _warm_up(cell, runs)
    yield from _steadiness(cell, runs)


def verdict(findings: Sequence[Finding]) -> str:
    """`valid`, `unsteady` or `invalid`: the worst of them."""
    severities = {finding.severity for finding in findings}
    return next((worst for worst in ("invalid", "unsteady") if worst in severities), "valid")


def _requests(runs: Sequence[Run]) -> Iterator[Finding]:
    measured = [request for run in runs for request in run.measured]
    out = [request for request in measured if request.excluded is not None]
    if len(out) == len(measured):
        yield Finding(code="no_valid_requests", severity="invalid", text=f"none of {len(measured)} requests counts")
    severity = "invalid" if len(out) > EXCLUDED_LIMIT * len(measured) else "warning"
    for reason, count in sorted(Counter(request.excluded or "" for request in out).items()):
        first = next(request.record for request in out if request.excluded == reason)
        detail = MEANING.get(reason) or first.error_detail[:120] or f"HTTP status {first.status}"
        text = f"{count} of {len(measured)} requests do not count, {reason}: {detail} (first: request {first.index})"
        yield Finding(code=reason, severity=severity, text=text)
    before = [request for run in runs for request in run.requests if not request.measured and request.record.error is not None]
    if before:
        kinds = ", ".join(f"{count} {phase}" for phase, count in sorted(Counter(r.record.phase for r in before).items()))
        text = f"requests before the measured ones failed ({kinds}), first: {before[0].record.error}"
        yield Finding(code="preparation_failed", severity="warning", text=text)


def tolerated_lag_ns(cell: Cell, runs: Sequence[Run]) -> float:
    """What the client may err by: 1 ms, or 1 % where that is more: in open loop of the median TTFT, which the lag is part of; in closed
    loop of the median request, which it only comes after."""
    timings = [request.timing for run in runs for request in run.valid]
    spans = [t.ttft_sched_ns for t in timings if t.ttft_sched_ns] if cell.concurrency is None else [t.e2e_ns for t in timings]
    return max(LAG_FLOOR_NS, LAG_SHARE * float(np.median(spans)) if spans else 0.0)


def _client(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """In closed loop no latency has the lag in it, it only leaves slots idle: there its median counts."""
    limit = tolerated_lag_ns(cell, runs)
    named = "p99" if cell.concurrency is None else "median"
    lags = [
        (c.send_lag_p99_ns if cell.concurrency is None else c.send_lag_p50_ns, run.trial.index)
        for run in runs
        for c in [run.trial.client]
    ]
    lag, late = max(lags, default=(0, 0))
    if lag > limit:
        text = f"in trial {late} requests left late ({named} {lag / 1e6:.2f} ms, tolerated {limit / 1e6:.2f} ms): the client was too slow"
        yield Finding(code="client_lag", severity="invalid", text=text)
    stepped = max(
        (run.trial for run in runs if run.trial.client.stamps == "kernel"),
        key=lambda trial: abs(trial.client.clock_step_ns),
        default=None,
    )
    if stepped is not None and abs(stepped.client.clock_step_ns) > limit:
        step = f"{stepped.client.clock_step_ns / 1e6:.2f} ms in trial {stepped.index}"
        text = f"the wall clock was moved by {step}, and the kernel's stamps with it"
        yield Finding(code="clock_step", severity="invalid", text=text)
    for run in runs:
        peak = throughput.peak_in_flight(run)
        if peak < _wanted(cell, run):
            text = f"trial {run.trial.index} never had more than {peak} of {cell.concurrency} requests in flight"
            yield Finding(code="connection_cap", severity="invalid", text=text)
            break


def _schedule(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """In open loop the client must send what was offered; a turn that waits for the turn before it is the server's doing."""
    if cell.concurrency is not None or cell.turns > 1:
        return
    for run in runs:
        offered, sent = throughput.offered_s(run), throughput.sent_s(run)
        if offered and sent and sent < (1 - RATE_TOLERANCE) * offered:
            text = f"trial {run.trial.index} sent {sent:.4g} requests/s of {offered:.4g} that were due"
            yield Finding(code="rate_missed", severity="invalid", text=text)
            return


def _wanted(cell: Cell, run: Run) -> int:
    """Requests that must have been in flight at once; 0 where some failed, perhaps too soon for that."""
    loop = [request.record for request in run.requests if request.record.phase != "prime"]
    return 0 if any(record.error is not None for record in loop) else min(cell.concurrency or 0, len(loop))


def _tokens(runs: Sequence[Run]) -> Iterator[Finding]:
    valid = [request for run in runs for request in run.valid]
    both = [
        r for r in valid if r.record.retokenized is not None and r.record.usage and r.record.usage.completion_tokens is not None
    ]
    said = sum(request.timing.tokens or 0 for request in both)
    again = sum(request.record.retokenized or 0 for request in both)
    if said and abs(again - said) > TOKEN_TOLERANCE * said:
        text = f"the server counted {said} tokens, the tokenizer finds {again} in its text ({again / said - 1:+.1%})"
        yield Finding(code="retokenized", severity="warning", text=text)
    odd = [request for request in valid if request.timing.event_tokens not in (0, request.timing.tokens)]
    if odd:
        first = odd[0]
        text = (
            f"in {len(odd)} of {len(valid)} requests the events' token counts do not add up to the total "
            f"(first: request {first.record.index}, {first.timing.event_tokens} of {first.timing.tokens})"
        )
        yield Finding(code="event_counts", severity="warning", text=text)
    if valid and not all(counted_by_event(run) for run in runs):
        text = "not all events carry token counts, so the steady output rate counts whole answers by their end"
        yield Finding(code="steady_by_requests", severity="note", text=text)


def _reads(runs: Sequence[Run]) -> Iterator[Finding]:
    valid = [request for run in runs for request in run.valid]
    events, reads = sum(request.timing.events for request in valid), sum(request.record.reads for request in valid)
    if reads < FEW_READS * events:
        text = (
            f"{reads} reads brought {events} events: several events share one time stamp, so event gaps are not to be trusted"
        )
        yield Finding(code="merged_stamps", severity="warning", text=text)


def _warm_up(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """The first run warms up until requests do not get faster any more, or `WARMUP_ROUNDS` are over."""
    warm = [request.record for request in runs[0].requests if request.record.phase == "warmup"] if runs else []
    if len(warm) < WARMUP_ROUNDS * cell.warmup or any(record.error is not None for record in warm):
        return
    took = [record.t_end_ns - record.t_send_ns for record in sorted(warm, key=lambda record: record.t_end_ns)]
    rounds = [sum(took[start : start + cell.warmup]) for start in range(0, len(took), cell.warmup)]
    gains = [1 - after / before for before, after in pairwise(rounds)]
    if min(gains) > WARMUP_GAIN:
        text = (
            f"requests still got faster, by {gains[-1]:.1%} a round at last, when the warm-up ended after {len(warm)} of them"
        )
        yield Finding(code="never_warm", severity="unsteady", text=text)


def _steadiness(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """Whether requests got slower or faster, within runs and from run to run. Unit: the run."""
    series = [values for values in _against_their_kind(cell, runs) if len(values) >= DRIFT_REQUESTS]
    if len(series) < DRIFT_RUNS:
        needed = f"{DRIFT_RUNS} runs with {DRIFT_REQUESTS} requests in the steady window"
        text = f"whether speed was steady is not tested: that needs {needed}"
        yield Finding(code="steadiness_untested", severity="note", text=text)
        return
    whole = _mean_trend(series)
    if _drifts(whole):
        rest = _mean_trend([values[mser5(values) :] for values in series])
        if _drifts(rest):
            yield Finding(code="never_flat", severity="unsteady", text=f"request time changes within runs by {_change(rest)}")
        else:
            text = f"request time changes by {_change(whole)} until the runs become flat: the warm-up was too short"
            yield Finding(code="warm_up_short", severity="warning", text=text)
    if len(series) >= TREND_RUNS:
        across = trend([sum(values) / len(values) for values in series], DRIFT_CONFIDENCE)
        if _drifts(across):
            yield Finding(
                code="drifting",
                severity="unsteady",
                text=f"request time changes from the first run to the last by {_change(across)}",
            )


def _against_their_kind(cell: Cell, runs: Sequence[Run]) -> list[list[float]]:
    """Request times of each run in the steady window, as shares of the mean of their kind: later turns and longer shapes take longer
    without the server's having changed."""
    if cell.arrivals == "trace":
        return []
    steady = [in_steady_window(run, cell.concurrency) for run in runs]
    kinds: dict[tuple[int, int | None, int | None], list[int]] = {}
    for request in chain.from_iterable(steady):
        kinds.setdefault(_kind(request), []).append(request.timing.e2e_ns)
    means = {kind: sum(times) / len(times) for kind, times in kinds.items()}
    return [[request.timing.e2e_ns / means[_kind(request)] for request in requests] for requests in steady]


def _kind(request: Request) -> tuple[int, int | None, int | None]:
    return request.record.turn, request.record.asked_prompt_tokens, request.record.asked_tokens


def _mean_trend(series: Sequence[Sequence[float]]) -> Estimate:
    slopes = [slope for values in series if (slope := trend(values).value) is not None]
    return mean(slopes, DRIFT_CONFIDENCE)


def _drifts(change: Estimate) -> bool:
    """At least 2 %, and the 99 % interval excludes 0."""
    if change.value is None or change.low is None or change.high is None:
        return False
    return abs(change.value) >= DRIFT_LIMIT and (change.low > 0 or change.high < 0)


def _change(change: Estimate) -> str:
    return f"{change.value:+.1%} (99 % interval {change.low:+.1%} to {change.high:+.1%})"
