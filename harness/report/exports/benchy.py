"""llama-benchy's JSON (0.4.0), and its table of 16 columns as sparkrun 0.4.2 makes it and Spark Arena takes it.

Each figure is what llama-benchy's arithmetic makes of our events, with these differences: tokens are counted where the server tells of
them, or not at all (llama-benchy spreads a total evenly over the answer then); and where an empty first event came early, what would
call the wait for it a prefill is None.
"""

from __future__ import annotations

import csv
import datetime
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import StringIO

import msgspec

from harness.measure.latency import bears_tokens
from harness.measure.runs import Request, Run
from harness.report.exports import base
from harness.report.exports.base import Export, Records, Told
from harness.schema.foreign import Benchy, BenchyRun, Metric
from harness.schema.plan import Plan
from harness.schema.result import Result
from harness.schema.workload import Cell
from harness.units import NS_PER_S

COLUMNS = ("t_s", "t_s_req", "peak_ts", "peak_ts_req", "ttfr", "est_ppt", "e2e_ttft")
"""Each as `…_mean` and `…_std`, after `model` and `test_name`."""
EARLY_NS, EARLY_SHARE = 1_000_000, 0.02
"""A first event came early when it did by more than both, of TTFT."""
USUAL = 0.2
"""llama-benchy believes the server's count of a prompt when it is off by less than this share."""


def as_json(result: Result, plan: Plan, records: Records) -> Export:
    report, left_out = _report(result, plan, records)
    return Export(text=msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n", left_out=left_out)


def as_csv(result: Result, plan: Plan, records: Records) -> Export:
    report, left_out = _report(result, plan, records)
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["model", "test_name", *(f"{name}_{part}" for name in COLUMNS for part in ("mean", "std"))])
    for name, metrics in _rows(report):
        parts = (part for metric in metrics for part in ((metric.mean, metric.std) if metric else (None, None)))
        writer.writerow([report.model, name, *parts])
    return Export(text=out.getvalue(), left_out=left_out)


def _report(result: Result, plan: Plan, records: Records) -> tuple[Benchy, tuple[str, ...]]:
    cells, left_out = base.told(result, records, _cannot)
    benchmarks = tuple(map(_run, cells))
    left_out += [line for told, run in zip(cells, benchmarks, strict=True) for line in _missing(told, run)]
    report = Benchy(
        version=f"spark-harness {result.harness_version}",
        timestamp=f"{datetime.datetime.fromisoformat(result.anchor.wall):%Y-%m-%d %H:%M:%SZ}",
        latency_mode="none",
        latency_ms=0.0,
        model=base.public(result.model),
        prefix_caching_enabled=plan.workload.profile.prefix_caching,
        max_concurrency=max(run.concurrency for run in benchmarks),
        benchmarks=benchmarks,
    )
    return report, tuple(left_out)


def _missing(told: Told, run: BenchyRun) -> Iterator[str]:
    rounds = sum(map(len, map(_rounds, told.runs)))
    if run.concurrency > 1 and (apart := rounds - len(_batches(told.runs))):
        yield f"{told.found.cell.words}: of its totals {apart} of {rounds} rounds: their requests, one a slot, do not begin together"
    if run.est_ppt is None:
        yield f"{told.found.cell.words}: its prefill: an empty first event came early, and llama-benchy times prefill by the first event"


def _cannot(cell: Cell) -> str | None:
    if cell.concurrency is None:
        return "llama-benchy knows no open loop"
    return base.single_requests(cell) or ("llama-benchy knows no variants of requests" if cell.variant else None)


def _run(told: Told) -> BenchyRun:
    cell = told.found.cell
    concurrency = cell.concurrency or 1
    asked = cell.pp if cell.prefix_caching else cell.prompt_tokens
    requests = [request for run in told.runs for request in run.valid]
    batches = _batches(told.runs) if concurrency > 1 else [[request] for request in requests]
    late = not any(map(_early, requests))
    pp = _metric([_pp(request, asked) for request in requests]) if late else None
    tg = _metric([request.timing.decode_tok_s for request in requests])
    return BenchyRun(
        concurrency=concurrency,
        context_size=cell.depth,
        prompt_size=cell.pp,
        response_size=cell.tg,
        is_context_prefill_phase=False,
        pp_throughput=pp if concurrency == 1 else _metric([_batch_pp(batch, asked) for batch in batches]),
        pp_req_throughput=pp,
        tg_throughput=tg if concurrency == 1 else _metric([_batch_tg(batch) for batch in batches]),
        tg_req_throughput=tg,
        peak_throughput=_metric([_peak(batch) for batch in batches]),
        peak_req_throughput=_metric([_peak([request]) for request in requests]),
        ttfr=_metric([_ms(request.timing.ttfr_ns) for request in requests]),
        est_ppt=_metric([_ms(request.timing.ttfr_ns) for request in requests]) if late else None,
        e2e_ttft=_metric([_ms(request.timing.ttft_ns) for request in requests]),
    )


def _metric(values: Sequence[float | None]) -> Metric | None:
    """None where one is not known: a mean of the others would be of other requests."""
    known = [value for value in values if value is not None]
    average, spread = base.mean(known), base.spread(known)
    if average is None or spread is None or len(known) < len(values):
        return None
    return Metric(average, spread, tuple(known))


def _batches(runs: Sequence[Run]) -> list[list[Request]]:
    """Rounds of one request a slot that begin together, as llama-benchy has them: all are sent before any gets a token."""
    rounds = ([request for request in requests if request.excluded is None] for run in runs for requests in _rounds(run))
    return [requests for requests in rounds if requests and _together(requests)]


def _together(batch: Sequence[Request]) -> bool:
    return max(request.record.t_send_ns for request in batch) < min(map(_first_ns, batch))


def _rounds(run: Run) -> list[list[Request]]:
    """Measured requests between one priming of the prefix cache and the next; without priming, all of them."""
    rounds: list[list[Request]] = [[]]
    for request in run.requests:
        if request.measured:
            rounds[-1].append(request)
        elif request.record.phase == "prime" and rounds[-1]:
            rounds.append([])
    return [requests for requests in rounds if requests]


def _early(request: Request) -> bool:
    ttft, ttfr = request.timing.ttft_ns or 0, request.timing.ttfr_ns or 0
    return ttft - ttfr > max(EARLY_NS, EARLY_SHARE * ttft)


def _prompt(request: Request, asked: int) -> int:
    said = request.record.usage.prompt_tokens if request.record.usage else None
    return said if said is not None and abs(said - asked) < USUAL * asked else asked


def _pp(request: Request, asked: int) -> float | None:
    span = request.timing.ttfr_ns
    return _prompt(request, asked) * NS_PER_S / span if span else None


def _batch_pp(batch: Sequence[Request], asked: int) -> float | None:
    start = min(request.record.t_send_ns for request in batch)
    first = max(map(_first_ns, batch))
    return sum(_prompt(request, asked) for request in batch) * NS_PER_S / (first - start) if first > start else None


def _batch_tg(batch: Sequence[Request]) -> float | None:
    """Tokens after each one's first event, from the first token of all to the last."""
    counts = [(request.timing.tokens, request.timing.k1) for request in batch]
    span = max(_first_ns(request) + (request.timing.decode_ns or 0) for request in batch) - min(map(_first_ns, batch))
    if span <= 0 or any(tokens is None or k1 is None for tokens, k1 in counts):
        return None
    return sum((tokens or 0) - (k1 or 0) for tokens, k1 in counts) * NS_PER_S / span


def _peak(batch: Sequence[Request]) -> float | None:
    """Most tokens in any second; of answers that take less, their rate."""
    if any(request.timing.event_tokens != request.timing.tokens for request in batch):
        return None
    stamps = sorted(stamp for request in batch for stamp in _stamps(request))
    span = stamps[-1] - stamps[0] if stamps else 0.0
    if 0 < span < NS_PER_S:
        return len(stamps) * NS_PER_S / span
    return float(max((n + 1 - bisect_right(stamps, stamp - NS_PER_S, hi=n) for n, stamp in enumerate(stamps)), default=0))


def _stamps(request: Request) -> Iterator[float]:
    """An instant for each token: those of one event are spread over the time since the one before."""
    before = _first_ns(request)
    for event in request.record.events:
        if bears_tokens(event) and (count := event.tokens or 0):
            yield from (before + (event.t_ns - before) * (place + 1) / count for place in range(count))
            before = event.t_ns


def _rows(report: Benchy) -> Iterator[tuple[str, tuple[Metric | None, ...]]]:
    """(test, its metrics by `COLUMNS`): a row for prefill and one for decode."""
    for run in report.benchmarks:
        depth = f" @ d{run.context_size}" if run.context_size else ""
        slots = f" (c{run.concurrency})" if report.max_concurrency > 1 else ""
        if run.pp_throughput:
            figures = (run.pp_throughput, run.pp_req_throughput, None, None, run.ttfr, run.est_ppt, run.e2e_ttft)
            yield f"pp{run.prompt_size}{depth}{slots}", figures
        if run.tg_throughput:
            rates = (run.tg_throughput, run.tg_req_throughput, run.peak_throughput, run.peak_req_throughput)
            yield f"tg{run.response_size}{depth}{slots}", (*rates, None, None, None)


def _first_ns(request: Request) -> int:
    return request.record.t_send_ns + (request.timing.ttft_ns or 0)


def _ms(span_ns: int | None) -> float | None:
    return None if span_ns is None else span_ns / 1e6
