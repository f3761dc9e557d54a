"""The figures of a cell, by name: `METRICS` lists them, `docs/metrics.md` explains each, and a test holds the two together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from harness.measure import checks, crosscheck, figures, power, roofline
from harness.measure.given import NOTHING, Given
from harness.measure.runs import Run
from harness.measure.stats import Estimate
from harness.measure.trials import runs_of
from harness.schema.request import Record
from harness.schema.result import CellResult, Figure
from harness.schema.run import Trial
from harness.schema.sensors import Sample
from harness.schema.workload import Cell

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"


class Metric(msgspec.Struct, frozen=True):
    unit: str
    text: str
    """What it is, in one sentence."""
    better: str
    """`higher`, `lower`, or `neither`: it describes the run."""


def _percentiles(stem: str, what: str, *percents: int) -> dict[str, Metric]:
    return {f"{stem}_p{percent}_ms": Metric("ms", f"{what}: {percent} % of them are below it.", LOWER) for percent in percents}


def _power(scope: str, what: str) -> dict[str, Metric]:
    return {
        f"{scope}_w": Metric("W", f"Mean power of {what} over the windows of the throughput.", LOWER),
        f"{scope}_idle_w": Metric("W", f"Mean power of {what} with the server ready and idle.", LOWER),
        f"{scope}_j_tok": Metric("J/tok", f"Energy of {what} per output token.", LOWER),
        f"{scope}_net_j_tok": Metric("J/tok", f"The same of {what} less what it draws when idle.", LOWER),
        f"{scope}_j_request": Metric("J/request", f"Energy of {what} per request.", LOWER),
        f"{scope}_prefill_j_tok": Metric(
            "J/tok", f"Energy of {what} during prefill per prompt token not cached, one stream.", LOWER
        ),
        f"{scope}_decode_j_tok": Metric("J/tok", f"Energy of {what} during decode per token decoded, one stream.", LOWER),
        f"{scope}_wh_mtok": Metric("Wh/Mtok", f"Energy of {what} per million output tokens.", LOWER),
    }


METRICS: dict[str, Metric] = {
    "decode_tok_s": Metric("tok/s", "Tokens after the first event per second of one stream, (N-k1)/(t_last-t_any).", HIGHER),
    "decode_tok_s_n1": Metric("tok/s", "The same with N-1, as published tables have it; too high where k1 > 1.", HIGHER),
    "prefill_tok_s": Metric("tok/s", "Prompt tokens not cached, per second of TTFT less the round trip.", HIGHER),
    "output_tok_s": Metric("tok/s", "Tokens of all streams per second while every slot is busy.", HIGHER),
    "output_tok_s_full": Metric("tok/s", "Tokens of all streams per second of the full run, emptying end included.", HIGHER),
    "request_s": Metric("request/s", "Measured requests that count per second of the full run.", HIGHER),
    "ttft_ms": Metric("ms", "Mean time from the send to the first event that carries a token, answer or reasoning.", LOWER),
    **_percentiles("ttft", "Times from the send to the first token, answer or reasoning", 50, 90, 95, 99),
    **_percentiles("ttft_content", "Times from the send to the first token of the answer, after any reasoning", 50),
    **_percentiles("ttfr", "Times from the send to the first event of any kind, often without a token", 50),
    **_percentiles("tpot", "Times per output token after the first event", 50, 90, 95, 99),
    **_percentiles("event_gap", "Pauses between two token-bearing events of a stream", 50, 99),
    **_percentiles("e2e", "Times from the send to the last byte of the answer", 50, 90, 95, 99),
    "offered_s": Metric("request/s", "Requests per second by the schedule, in open loop.", NEITHER),
    "sent_s": Metric("request/s", "Requests per second that were really sent, in open loop.", NEITHER),
    "ttft_sched_ms": Metric("ms", "Mean time from when a request was due to its first token, in open loop.", LOWER),
    **_percentiles("ttft_sched", "Times from when a request was due to its first token, in open loop", 50, 90, 95, 99),
    "e2e_sched_ms": Metric("ms", "Mean time from when a request was due to its answer's end, in open loop.", LOWER),
    **_percentiles("e2e_sched", "Times from when a request was due to its answer's end, in open loop", 50, 90, 95, 99),
    "slo_share": Metric("share", "Measured requests that keep every limit of the SLO.", HIGHER),
    "goodput_s": Metric("request/s", "Requests that keep the SLO, per second of the full run.", HIGHER),
    "acceptance_length": Metric("tok/step", "Tokens per verify step, 1 + accepted/drafts by the engine's counters.", HIGHER),
    "acceptance_length_timings": Metric("tok/step", "Tokens per step by llama.cpp's account of each request.", HIGHER),
    "steps_s": Metric("step/s", "Verify steps per second: decode rate divided by acceptance length.", HIGHER),
    "tokens_per_event": Metric("tok/event", "Tokens per token-bearing event of the streams.", NEITHER),
    "ceiling_tok_s": Metric("tok/s", "Decode of one stream if reading the specified memory were all there is to do.", NEITHER),
    "bw_util": Metric("share", "Share of the memory's specified bandwidth that one stream's decode used.", HIGHER),
    "ceiling_measured_tok_s": Metric("tok/s", "The same ceiling at the bandwidth that the canary measured.", NEITHER),
    "bw_util_measured": Metric("share", "Share of the measured bandwidth that one stream's decode used.", HIGHER),
    "prompt_tokens": Metric("tok", "Mean prompt length by the server's count, chat template included.", NEITHER),
    "completion_tokens": Metric("tok", "Mean answer length.", NEITHER),
    "cached_share": Metric("share", "Measured prompt tokens that came from the prefix cache, by usage.", NEITHER),
    "cached_share_counters": Metric("share", "All prompt tokens that came from the prefix cache, by the counters.", NEITHER),
    "engine_decode_tok_s": Metric("tok/s", "Decode rate by the engine's own timings of each request.", NEITHER),
    "engine_prefill_tok_s": Metric("tok/s", "Prefill rate by the engine's own timings of each request.", NEITHER),
    "in_flight": Metric("requests", "Mean number of requests in flight over the full run.", NEITHER),
    **_power("gpu", "the GPU, by its driver"),
    **_power("soc", "the chip"),
    **_power("system", "the box at its DC input"),
    **_power("wall", "everything behind the wall socket"),
    "client_cpu_share": Metric("share", "CPU time of the load driver as a share of the time it ran.", LOWER),
    "client_send_lag_p99_ms": Metric("ms", "How late requests left, p99 of the worst run.", LOWER),
    "client_loop_lag_p99_ms": Metric("ms", "How late the driver came to a socket with data, p99 of the worst run.", LOWER),
}  # fmt: skip


def cell_result(
    cell: Cell,
    trials: Sequence[Trial],
    records_by_trial: Mapping[int, Sequence[Record]],
    *,
    stopped_by: str,
    samples: Sequence[Sample] = (),
    given: Given = NOTHING,
) -> CellResult:
    """Everything that is said of a cell, from its trials, their records (by trial index), and the samples of the run in the order of
    time."""
    return of_runs(cell, runs_of(cell, trials, records_by_trial, samples), stopped_by=stopped_by, given=given)


def of_runs(cell: Cell, runs: Sequence[Run], *, stopped_by: str, given: Given = NOTHING) -> CellResult:
    """The same, from runs that are worked out."""
    measured = [request for run in runs for request in run.measured]
    found = figures.estimates(cell, runs)
    roof = roofline.estimates(cell, {name: estimate for name, (estimate, _) in found.items()}, given)
    found |= {name: (estimate, "runs") for name, estimate in (power.estimates(runs, given.idle_w) | roof).items()}
    findings = (
        *checks.findings(cell, runs),
        *crosscheck.findings(cell, runs),
        *power.findings(runs),
        *roofline.findings(roof["bw_util"]),
    )
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
        figures={name: _figure(name, *found[name]) for name in METRICS},
        power=power.readings(runs),
    )


def _figure(name: str, estimate: Estimate, basis: str) -> Figure:
    return Figure(
        value=estimate.value,
        unit=METRICS[name].unit,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        basis=basis,
        reason=estimate.reason,
    )
