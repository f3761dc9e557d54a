"""The figures of a cell, by name. `METRICS` is the list of them; `docs/metrics.md` explains each (a test holds the two together)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from harness.measure import checks, crosscheck, speculation, stats, throughput
from harness.measure.latency import Timing
from harness.measure.runs import Request, Run, cache_share, runs_of
from harness.measure.stats import Estimate
from harness.schema.request import Record
from harness.schema.result import CellResult, Figure
from harness.schema.run import Trial
from harness.schema.workload import Cell

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"


class Metric(msgspec.Struct, frozen=True):
    unit: str
    text: str
    """What it is, in one sentence."""
    better: str
    """`higher`, `lower`, or `neither`: it describes the run."""


def _percentiles(stem: str, what: str, *percents: int) -> dict[str, Metric]:
    return {
        f"{stem}_p{percent}_ms": Metric("ms", f"{what}: {percent} % of requests stay below it.", LOWER) for percent in percents
    }


METRICS: dict[str, Metric] = {
    "decode_tok_s": Metric("tok/s", "Tokens after the first token-bearing event per second of one request's decoding, (N-k1)/(t_last-t_any).", HIGHER),
    "decode_tok_s_n1": Metric("tok/s", "The same with N-1, as published tables have it: too high where the first event carries several tokens.", HIGHER),
    "prefill_tok_s": Metric("tok/s", "Prompt tokens that were not cached per second until the first token, the round trip left out.", HIGHER),
    "output_tok_s": Metric("tok/s", "Tokens of all requests together per second of the steady window, in which every slot is busy.", HIGHER),
    "output_tok_s_full": Metric("tok/s", "Tokens of the measured requests per second of the full run, its end included where slots stay empty.", HIGHER),
    "request_s": Metric("request/s", "Measured requests that count per second of the full run.", HIGHER),
    "ttft_ms": Metric("ms", "Mean time from the send to the first event that carries a token, answer or reasoning.", LOWER),
    **_percentiles("ttft", "Time from the send to the first token, answer or reasoning", 50, 90, 95, 99),
    **_percentiles("ttft_content", "Time from the send to the first token of the answer, after any reasoning", 50),
    **_percentiles("ttfr", "Time from the send to the first event of any kind, often one without a token", 50),
    **_percentiles("tpot", "Time per output token after the first event", 50, 90, 95, 99),
    **_percentiles("e2e", "Time from the send to the last byte of the answer", 50, 90, 95, 99),
    "event_gap_p50_ms": Metric("ms", "Pause between two token-bearing events of a stream: half of the pauses are shorter.", LOWER),
    "event_gap_p99_ms": Metric("ms", "Pause between two token-bearing events of a stream: 99 % of the pauses are shorter.", LOWER),
    "acceptance_length": Metric("tok/step", "Tokens per verify step of speculative decoding, 1 + accepted/drafts by the engine's counters.", HIGHER),
    "acceptance_length_timings": Metric("tok/step", "Tokens per decoding step by llama.cpp's account of each request.", HIGHER),
    "steps_s": Metric("step/s", "Verify steps per second: decode rate divided by acceptance length.", HIGHER),
    "tokens_per_event": Metric("tok/event", "Tokens per token-bearing event of the streams.", NEITHER),
    "prompt_tokens": Metric("tok", "Mean prompt length by the server's count, chat template included.", NEITHER),
    "completion_tokens": Metric("tok", "Mean answer length.", NEITHER),
    "cached_share": Metric("share", "Prompt tokens of the measured requests that came from the prefix cache, by the answers' usage.", NEITHER),
    "cached_share_counters": Metric("share", "Prompt tokens of all requests that came from the prefix cache, by the engine's counters.", NEITHER),
    "engine_decode_tok_s": Metric("tok/s", "Decode rate by the engine's own timings of each request.", NEITHER),
    "engine_prefill_tok_s": Metric("tok/s", "Prefill rate by the engine's own timings of each request.", NEITHER),
    "in_flight": Metric("requests", "Mean number of requests in flight over the full run.", NEITHER),
    "client_cpu_share": Metric("share", "CPU time of the load driver as a share of the time it ran.", LOWER),
    "client_send_lag_p99_ms": Metric("ms", "How late requests left, p99 of the worst run.", LOWER),
    "client_loop_lag_p99_ms": Metric("ms", "How late the driver came to a socket with data, p99 of the worst run.", LOWER),
}  # fmt: skip


def cell_result(
    cell: Cell, trials: Sequence[Trial], records_by_trial: Mapping[int, Sequence[Record]], *, stopped_by: str
) -> CellResult:
    """Everything that is said of a cell, from its trials and their records (by trial index)."""
    runs = runs_of(cell, trials, records_by_trial)
    findings = (*checks.findings(cell, runs), *crosscheck.findings(cell, runs))
    measured = [request for run in runs for request in run.measured]
    reasons = Counter(request.excluded for request in measured if request.excluded is not None)
    return CellResult(
        cell=cell,
        verdict=checks.verdict(findings),
        findings=findings,
        trials=len(runs),
        stopped_by=stopped_by,
        sent=len(measured),
        valid=len(measured) - sum(reasons.values()),
        excluded=dict(sorted(reasons.items())),
        figures=figures(cell, runs),
    )


def figures(cell: Cell, runs: Sequence[Run]) -> dict[str, Figure]:
    """All of `METRICS`, in its order."""
    valid = [request for run in runs for request in run.valid]
    found = _by_runs(cell, runs) | _of_client(runs)
    found |= {name: (estimate, "requests") for name, estimate in (_latencies(valid) | _lengths(valid)).items()}
    gaps = [gap / 1e6 for request in valid for gap in request.timing.gaps_ns]
    found |= {f"event_gap_p{percent}_ms": (_gap(gaps, percent), "gaps") for percent in (50, 99)}
    told = crosscheck.usage_cache(runs)
    cached = (
        Estimate(value=told[0] / told[1], n=told[2], reason=COUNTED)
        if told
        else Estimate(reason="usage does not tell of cached tokens")
    )
    found["cached_share"] = (cached, "requests")
    return {name: _figure(METRICS[name], *found[name]) for name in METRICS}


COUNTED = "a count: no interval"


def decode(runs: Sequence[Run]) -> Estimate:
    return _mean(runs, throughput.decode_tok_s, "decode_tok_s")


def output(cell: Cell, runs: Sequence[Run]) -> Estimate:
    steady = _mean(runs, lambda run: throughput.steady_tok_s(run, cell.concurrency))
    if steady.value is None and any(run.valid for run in runs):
        return Estimate(reason=f"never were {cell.concurrency} requests that count in flight at once")
    return steady


def _by_runs(cell: Cell, runs: Sequence[Run]) -> dict[str, tuple[Estimate, str]]:
    """The run is the unit: one value from each, or a ratio of their sums."""
    share = cache_share(runs)
    found = {
        "decode_tok_s": decode(runs),
        "decode_tok_s_n1": _mean(runs, throughput.decode_tok_s_n1, "decode_tok_s_n1"),
        "prefill_tok_s": _mean(runs, throughput.prefill_tok_s, "prefill_tok_s"),
        "output_tok_s": output(cell, runs),
        "output_tok_s_full": _mean(runs, throughput.full_tok_s),
        "request_s": _mean(runs, throughput.requests_s),
        "ttft_ms": _mean(runs, _mean_ttft_ms, "ttft_ns"),
        "acceptance_length": speculation.acceptance_length(runs),
        "acceptance_length_timings": speculation.acceptance_length_timings(runs),
        "steps_s": _steps(runs),
        "tokens_per_event": speculation.tokens_per_event(runs),
        "cached_share_counters": Estimate(value=share, n=len(runs), reason=COUNTED)
        if share is not None
        else Estimate(reason="the engine's counters do not tell of cached tokens"),
        "engine_decode_tok_s": _engine(runs, 0),
        "engine_prefill_tok_s": _engine(runs, 1),
        "in_flight": _mean(runs, throughput.mean_in_flight),
    }
    return {name: (estimate, "runs") for name, estimate in found.items()}


def _of_client(runs: Sequence[Run]) -> dict[str, tuple[Estimate, str]]:
    clients = [run.trial.client for run in runs]
    worst = "the worst run: no interval"
    found = {
        "client_cpu_share": stats.ratio_of_sums([client.cpu_s for client in clients], [client.wall_s for client in clients]),
        "client_send_lag_p99_ms": Estimate(
            value=max((client.send_lag_p99_ns / 1e6 for client in clients), default=None),
            n=len(runs),
            reason=worst if runs else NO_RUN,
        ),
        "client_loop_lag_p99_ms": Estimate(
            value=max((client.loop_lag_p99_ns / 1e6 for client in clients), default=None),
            n=len(runs),
            reason=worst if runs else NO_RUN,
        ),
    }
    return {name: (estimate, "runs") for name, estimate in found.items()}


NO_RUN = "no run has a value"


def _latencies(valid: Sequence[Request]) -> dict[str, Estimate]:
    """Percentiles over the requests of all runs together."""
    fields: dict[str, str] = {
        "ttft": "ttft_ns",
        "ttft_content": "ttft_content_ns",
        "ttfr": "ttfr_ns",
        "tpot": "tpot_ns",
        "e2e": "e2e_ns",
    }
    found = {}
    for stem, field in fields.items():
        values = [value / 1e6 for request in valid if (value := getattr(request.timing, field)) is not None]
        for percent in (50,) if stem in {"ttft_content", "ttfr"} else (50, 90, 95, 99):
            found[f"{stem}_p{percent}_ms"] = (
                stats.percentile(values, percent) if values else Estimate(reason=_why(valid, field))
            )
    return found


def _lengths(valid: Sequence[Request]) -> dict[str, Estimate]:
    prompts = [
        r.record.usage.prompt_tokens for r in valid if r.record.usage is not None and r.record.usage.prompt_tokens is not None
    ]
    answers = [request.timing.tokens for request in valid if request.timing.tokens is not None]
    return {
        "prompt_tokens": _average(prompts, "the server did not count the prompts" if valid else NONE_COUNTS),
        "completion_tokens": _average(answers, NONE_COUNTS),
    }


def _average(counts: Sequence[int], missing: str) -> Estimate:
    return Estimate(value=sum(counts) / len(counts), n=len(counts), reason=COUNTED) if counts else Estimate(reason=missing)


def _gap(gaps: Sequence[float], percent: int) -> Estimate:
    """Without an interval: the gaps of one stream are not independent."""
    found = stats.percentile(gaps, percent)
    reason = found.reason if found.value is None else "gaps of one stream are not independent: no interval"
    return Estimate(value=found.value, n=found.n, reason=reason and reason.replace("request", "gap"))


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


def _mean_ttft_ms(run: Run) -> float | None:
    known = [request.timing.ttft_ns for request in run.valid if request.timing.ttft_ns is not None]
    return sum(known) / len(known) / 1e6 if known else None


def _mean(runs: Sequence[Run], value: Callable[[Run], float | None], field: str | None = None) -> Estimate:
    """Over the runs that have a value; where none has, `field` of the requests' timings says why."""
    known = [found for run in runs if (found := value(run)) is not None]
    if known:
        return stats.mean(known)
    return Estimate(reason=_why([request for run in runs for request in run.valid], field))


NONE_COUNTS = "no request counts"


def _why(valid: Sequence[Request], field: str | None) -> str:
    """The reason that most requests give."""
    timings: list[Timing] = [request.timing for request in valid]
    reasons = Counter(timing.why[field] for timing in timings if field in timing.why)
    return reasons.most_common(1)[0][0] if reasons else NONE_COUNTS if not valid else NO_RUN


def _figure(metric: Metric, estimate: Estimate, basis: str) -> Figure:
    return Figure(
        value=estimate.value,
        unit=metric.unit,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        basis=basis,
        reason=estimate.reason,
    )
