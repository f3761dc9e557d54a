"""Files of llama-benchy and `vllm bench serve` → figures in our terms: only those whose definition is that of docs/metrics.md."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

import msgspec

from harness.errors import StoreError, one_line
from harness.measure import stats
from harness.schema.foreign import Benchy, BenchyRun, Taken, VllmBench
from harness.schema.result import Point, Reading
from harness.typed import decoded

IMPORTED = "imported"
"""Their verdict: whether they are valid cannot be told."""
TTFT = (50, 90, 99)
COMPLETIONS = ("openai", "vllm")
"""Backends of `vllm bench serve` whose first event has a token."""

NO_STEADY = "the file does not tell the rate while every slot is busy"
BENCHY_LEFT_OUT = {
    "pp_throughput, pp_req_throughput, est_ppt": "they time prefill by the first event, which may be empty, and count cached tokens",
    "tg_throughput of several streams": "it counts from the first token of a round to its last, without prefill",
    "tg_req_throughput of several streams": "it is a mean over requests; ours weighs each by its time",
    "peak_throughput, peak_req_throughput": "there is no such figure here",
    "std": "it tells how far requests differ, not how sure the mean is",
}
BENCHY_CAVEAT = (
    "decode rests on token ids; of a server that sends none llama-benchy divides N-1, which is too high under speculative decoding, "
    "and the file does not say which"
)
VLLM_LEFT_OUT = {
    "mean_tpot_ms and the like": "it divides by N-1, and the first event may carry several tokens",
    "mean_itl_ms and the like": "an event may carry several tokens",
    "mean_e2el_ms and the like": "it ends with the last event, ours with the last byte",
    "mean_ttft_ms, std_ttft_ms": "it is a mean over requests without runs, which gives no interval",
    "max_output_tokens_per_s, max_concurrent_requests": "it takes an event for a token, and counts by whole seconds",
    "total_token_throughput": "there is no such figure here",
}


def read(data: bytes, name: str) -> Taken:
    """Raises `StoreError` naming what is wrong with the file."""
    try:
        if b'"benchmarks"' in data:
            return _benchy(decoded(data, Benchy))
        lines = data.splitlines() if data.count(b'"backend"') > 1 else [data]
        return _vllm([decoded(line, VllmBench) for line in lines if line.strip()])
    except (msgspec.MsgspecError, ValueError) as error:  # a date that is none
        raise StoreError(
            f"{name}: neither llama-benchy's JSON nor that of vllm bench serve: {error}",
            "write one with llama-benchy --format json --save-result FILE, or vllm bench serve --save-result",
        ) from None


def _benchy(report: Benchy) -> Taken:
    runs = [run for run in report.benchmarks if not run.is_context_prefill_phase]
    if not runs:
        raise ValueError("it has no benchmark")
    left_out = dict(BENCHY_LEFT_OUT)
    if len(runs) < len(report.benchmarks):
        left_out["rows of the context phase"] = "filling the prefix cache is not measured by itself here"
    return Taken(
        program=one_line(report.version if report.version.startswith("spark-harness") else f"llama-benchy {report.version}"),
        model=one_line(report.model),
        date=datetime.date.fromisoformat(report.timestamp[:10]),
        points=tuple(_benchy_point(run, report) for run in runs),
        left_out=left_out,
        caveat=BENCHY_CAVEAT,
    )


def _benchy_point(run: BenchyRun, report: Benchy) -> Point:
    times = run.e2e_ttft.values if run.e2e_ttft else ()
    cached = " after a primed context" if report.prefix_caching_enabled and run.context_size else ""
    depth = f"d{run.context_size} " if run.context_size else ""
    return Point(
        depth=run.context_size,
        pp=run.prompt_size,
        tg=run.response_size,
        concurrency=run.concurrency,
        shape=f"{depth}pp{run.prompt_size} tg{run.response_size} c{run.concurrency}{cached}",
        verdict=IMPORTED,
        figures={
            "decode_tok_s": _benchy_decode(run, report.version),
            "output_tok_s": Reading(reason=NO_STEADY),
            **{f"ttft_p{percent}_ms": _percentile(times, percent) for percent in TTFT},
        },
    )


def _benchy_decode(run: BenchyRun, version: str) -> Reading:
    """One stream: a run is a request, and the mean is over runs."""
    if run.concurrency != 1:
        return Reading(reason=BENCHY_LEFT_OUT["tg_req_throughput of several streams"])
    if not _counts_tokens(version):
        return Reading(reason="llama-benchy before 0.4 took events for tokens")
    if run.tg_req_throughput is None:
        return Reading(reason="the file has no tg_req_throughput")
    found = stats.mean(run.tg_req_throughput.values)
    return Reading(found.value, found.low, found.high, "" if found.value is not None else found.reason or "")


def _counts_tokens(version: str) -> bool:
    number = re.match(r"(\d+)\.(\d+)", version)
    return version.startswith("spark-harness") or (number is not None and (int(number[1]), int(number[2])) >= (0, 4))


def _percentile(values: Sequence[float], percent: int) -> Reading:
    found = stats.percentile(values, percent)
    return Reading(found.value, found.low, found.high, "" if found.value is not None else found.reason or "")


def _vllm(runs: Sequence[VllmBench]) -> Taken:
    if not runs or len({run.model_id for run in runs}) > 1:
        raise ValueError("it has several models" if runs else "it is empty")
    return Taken(
        program="vllm bench serve",
        model=one_line(runs[0].model_id),
        date=datetime.datetime.strptime(runs[-1].date[:8], "%Y%m%d").date(),  # noqa: DTZ007  the file does not say where
        points=tuple(map(_vllm_point, runs)),
        left_out=VLLM_LEFT_OUT,
    )


def _vllm_point(run: VllmBench) -> Point:
    done = run.completed or 1
    pp, tg = round(run.total_input_tokens / done), round(run.total_output_tokens / done)
    rate = run.request_rate if isinstance(run.request_rate, float) else None
    load = f"{rate:g}/s" if rate else f"c{run.max_concurrency}" if run.max_concurrency else "all at once"
    return Point(
        pp=pp,
        tg=tg,
        concurrency=None if rate else run.max_concurrency,
        rate=rate,
        shape=f"pp{pp} tg{tg} {load}, lengths on average",
        verdict=IMPORTED,
        figures=dict(_vllm_figures(run)),
    )


def _vllm_figures(run: VllmBench) -> Iterator[tuple[str, Reading]]:
    yield "decode_tok_s", Reading(reason=f"the file has time per token: {VLLM_LEFT_OUT['mean_tpot_ms and the like']}")
    yield "output_tok_s", Reading(reason=NO_STEADY)
    yield "output_tok_s_full", Reading(run.output_throughput)
    yield "request_s", Reading(run.request_throughput)
    if run.spec_decode_acceptance_length is not None:
        yield "acceptance_length", Reading(run.spec_decode_acceptance_length)
    for percent, value in zip(TTFT, (run.median_ttft_ms, run.p90_ttft_ms, run.p99_ttft_ms), strict=True):
        yield f"ttft_p{percent}_ms", _vllm_ttft(run, percent, value)


def _vllm_ttft(run: VllmBench, percent: int, value: float | None) -> Reading:
    if run.backend not in COMPLETIONS:
        return Reading(reason="vllm bench serve takes an empty first event of a chat for its first token")
    missing = stats.requests_needed(percent) - run.completed
    if missing > 0:
        return Reading(reason=f"needs {missing} more request{'s' if missing > 1 else ''}")
    return Reading(value) if value is not None else Reading(reason=f"the file has no p{percent}")
