"""Runs → the numbers of a cell, each with its interval or the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from harness.measure import crosscheck, goodput, speculation, stats, throughput
from harness.measure.latency import Timing
from harness.measure.runs import GAP_PERCENTS, Request, Run, cache_share
from harness.measure.stats import Estimate
from harness.schema.workload import Cell

NO_RUN = "no run has a value"
NONE_COUNTS = "no request counts"
PERCENTILES = {
    "ttft": (50, 90, 95, 99),
    "ttft_content": (50,),
    "ttfr": (50,),
    "tpot": (50, 90, 95, 99),
    "e2e": (50, 90, 95, 99),
}
"""Of the fields of `Timing` that are called so."""
SCHEDULED = {"ttft_sched": (50, 90, 95, 99), "e2e_sched": (50, 90, 95, 99)}
"""The same, for open loop."""
CLOSED_LOOP = "closed loop: requests have no schedule"


def estimates(cell: Cell, runs: Sequence[Run]) -> dict[str, tuple[Estimate, str]]:
    """(value with its interval, what its n counts) by the names of `metrics.METRICS`."""
    valid = [request for run in runs for request in run.valid]
    found = _by_runs(cell, runs) | _of_client(runs)
    by_request = _latencies(valid, PERCENTILES) | _lengths(runs, valid) | {"slo_share": goodput.kept_share(cell.slo, runs)}
    by_request |= _latencies(valid, SCHEDULED, None if cell.concurrency is None else CLOSED_LOOP)
    found |= {name: (estimate, "requests") for name, estimate in by_request.items()}
    found |= {f"event_gap_p{percent}_ms": (_gap(runs, place), "runs") for place, percent in enumerate(GAP_PERCENTS)}
    return found


def decode(runs: Sequence[Run]) -> Estimate:
    return _mean(runs, throughput.decode_tok_s, "decode_tok_s")


def ttft(runs: Sequence[Run]) -> Estimate:
    """From when requests were due."""
    return _mean(runs, partial(_mean_ms, "ttft_sched_ns"), "ttft_ns")


def output(cell: Cell, runs: Sequence[Run]) -> Estimate:
    steady = _mean(runs, lambda run: throughput.steady_tok_s(run, cell.concurrency))
    if steady.value is not None or not any(run.valid for run in runs):
        return steady
    if any(run.steady_tokens is None for run in runs):
        return Estimate(reason="events carry no counts, and rounds of requests begin with empty slots")
    if cell.concurrency is None:
        return Estimate(reason="fewer than two requests count")
    return Estimate(reason=f"the measured requests that count never kept {cell.concurrency} slots busy")


def _by_runs(cell: Cell, runs: Sequence[Run]) -> dict[str, tuple[Estimate, str]]:
    """The run is the unit: one value from each, or a ratio of their sums."""
    found = {
        "decode_tok_s": decode(runs),
        "decode_tok_s_n1": _mean(runs, throughput.decode_tok_s_n1, "decode_tok_s_n1"),
        "prefill_tok_s": _mean(runs, throughput.prefill_tok_s, "prefill_tok_s"),
        "output_tok_s": output(cell, runs),
        "output_tok_s_full": _mean(runs, throughput.full_tok_s),
        "request_s": _mean(runs, throughput.requests_s),
        "ttft_ms": _mean(runs, partial(_mean_ms, "ttft_ns"), "ttft_ns"),
        "acceptance_length": speculation.acceptance_length(runs),
        "acceptance_length_timings": speculation.acceptance_length_timings(runs),
        "steps_s": _steps(runs),
        "tokens_per_event": speculation.tokens_per_event(runs),
        "cached_share_counters": _count(cache_share(runs), len(runs), "the engine's counters do not tell of cached tokens"),
        "engine_decode_tok_s": _engine(runs, 0),
        "engine_prefill_tok_s": _engine(runs, 1),
        "in_flight": _mean(runs, throughput.mean_in_flight),
        **_of_schedule(cell, runs),
    }
    return {name: (estimate, "runs") for name, estimate in found.items()}


def _of_schedule(cell: Cell, runs: Sequence[Run]) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    if cell.concurrency is not None:
        found = dict.fromkeys(("offered_s", "sent_s", "ttft_sched_ms", "e2e_sched_ms"), Estimate(reason=CLOSED_LOOP))
    else:
        found = {
            "offered_s": _mean(runs, throughput.offered_s),
            "sent_s": _mean(runs, throughput.sent_s),
            "ttft_sched_ms": ttft(runs),
            "e2e_sched_ms": _mean(runs, partial(_mean_ms, "e2e_sched_ns")),
        }
    good = _mean(runs, lambda run: goodput.goodput_s(cell, run, throughput.full_ns(run)))
    return found | {"goodput_s": good if good.value is not None else goodput.kept_share(cell.slo, runs)}


def _of_client(runs: Sequence[Run]) -> dict[str, tuple[Estimate, str]]:
    clients = [run.trial.client for run in runs]
    send = max((client.send_lag_p99_ns / 1e6 for client in clients), default=None)
    loop = max((client.loop_lag_p99_ns / 1e6 for client in clients), default=None)
    found = {
        "client_cpu_share": stats.ratio_of_sums([client.cpu_s for client in clients], [client.wall_s for client in clients]),
        "client_send_lag_p99_ms": _count(send, len(runs), NO_RUN),
        "client_loop_lag_p99_ms": _count(loop, len(runs), NO_RUN),
    }
    return {name: (estimate, "runs") for name, estimate in found.items()}


def _latencies(
    valid: Sequence[Request], percentiles: Mapping[str, Sequence[int]], not_defined: str | None = None
) -> dict[str, Estimate]:
    """Percentiles over the requests of all runs together; None for the reason `not_defined` where there is one."""
    found: dict[str, Estimate] = {}
    for stem, percents in percentiles.items():
        if not_defined is not None:
            found |= {f"{stem}_p{percent}_ms": Estimate(reason=not_defined) for percent in percents}
            continue
        values = [value / 1e6 for request in valid if (value := getattr(request.timing, f"{stem}_ns")) is not None]
        for percent in percents:
            known = stats.percentile(values, percent) if values else Estimate(reason=_why(valid, f"{stem}_ns"))
            found[f"{stem}_p{percent}_ms"] = known
    return found


def _lengths(runs: Sequence[Run], valid: Sequence[Request]) -> dict[str, Estimate]:
    usages = [request.record.usage for request in valid if request.record.usage is not None]
    prompts = [usage.prompt_tokens for usage in usages if usage.prompt_tokens is not None]
    answers = [request.timing.tokens for request in valid if request.timing.tokens is not None]
    cached, all_prompts, n = crosscheck.usage_cache(runs) or (0, 0, 0)
    return {
        "prompt_tokens": _count(
            _average(prompts), len(prompts), "the server did not count the prompts" if valid else NONE_COUNTS
        ),
        "completion_tokens": _count(_average(answers), len(answers), NONE_COUNTS),
        "cached_share": _count(cached / all_prompts if n else None, n, "usage does not tell of cached tokens"),
    }


def _average(counts: Sequence[int]) -> float | None:
    return sum(counts) / len(counts) if counts else None


def _count(value: float | None, n: int, missing: str) -> Estimate:
    """A number that is no sample of anything, so it has no interval."""
    return Estimate(reason=missing) if value is None else Estimate(value=value, n=n, reason="not a sample: no interval")


def _gap(runs: Sequence[Run], place: int) -> Estimate:
    """The gaps of one stream are not independent, so each run has one value."""
    each = [run.gaps_ms[place] for run in runs if run.gaps_ms]
    known = [estimate.value for estimate in each if estimate.value is not None]
    if known:
        return stats.mean(known)
    most = max(each, key=lambda estimate: estimate.n, default=None)
    return Estimate(reason=NO_RUN if most is None or most.reason is None else most.reason.replace("request", "gap"))


def _steps(runs: Sequence[Run]) -> Estimate:
    lengths = speculation.acceptance_length(runs)
    if lengths.value is None:
        return Estimate(reason=lengths.reason)

    def steps(run: Run) -> float | None:
        rate, length = throughput.decode_tok_s(run), speculation.run_acceptance_length(run)
        return rate / length if rate is not None and length is not None else None

    return _mean(runs, steps, "decode_tok_s")


def _engine(runs: Sequence[Run], part: int) -> Estimate:
    found = _mean(runs, lambda run: crosscheck.engine_rates(run)[part])
    return found if found.value is not None else Estimate(reason="the server gave no timings with its answers")


def _mean_ms(field: str, run: Run) -> float | None:
    known = [value for request in run.valid if (value := getattr(request.timing, field)) is not None]
    return sum(known) / len(known) / 1e6 if known else None


def _mean(runs: Sequence[Run], value: Callable[[Run], float | None], field: str | None = None) -> Estimate:
    """Over the runs that have a value; where none has, `field` of the requests' timings says why."""
    known = [found for run in runs if (found := value(run)) is not None]
    if known:
        return stats.mean(known)
    return Estimate(reason=_why([request for run in runs for request in run.valid], field))


def _why(valid: Sequence[Request], field: str | None) -> str:
    """The reason that most requests give."""
    timings: list[Timing] = [request.timing for request in valid]
    reasons = Counter(timing.why[field] for timing in timings if field in timing.why)
    return reasons.most_common(1)[0][0] if reasons else NONE_COUNTS if not valid else NO_RUN
