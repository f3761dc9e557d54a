"""The JSON of `vllm bench serve --save-result` (0.32.0), a line for each cell as its `--append-result` writes them.

Definitions are vLLM's: times count from the send to the last event with tokens, time per token divides by N-1, deviations are of the
population. Only events that carry tokens count, where vLLM takes an empty first event for a token, too. All trials of a cell are one run.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from harness.measure import stats, throughput
from harness.measure.runs import Request
from harness.report.exports import base
from harness.report.exports.base import Export, Records, Told
from harness.schema.plan import Plan
from harness.schema.result import Result
from harness.units import NS_PER_S

PERCENTILES = (90, 95, 99)
BURSTINESS = {"closed": 1.0, "poisson": 1.0, "constant": None}
"""vLLM's word for how even arrivals are; of gamma arrivals the cell's. Its infinity for constant ones is no JSON."""


def as_json(result: Result, plan: Plan, records: Records) -> Export:
    cells, left_out = base.told(result, records, base.single_requests)
    lines = [msgspec.json.encode(dict(_fields(result, cell))).decode() for cell in cells]
    return Export(text="\n".join(lines) + "\n", left_out=tuple(left_out))


def _fields(result: Result, told: Told) -> Iterator[tuple[str, object]]:
    cell, found = told.found.cell, told.found
    requests = [request for run in told.runs for request in run.valid]
    duration_s = sum(throughput.full_ns(run) for run in told.runs) / NS_PER_S
    prompts = _total([request.record.usage.prompt_tokens if request.record.usage else None for request in requests])
    answers = _total([request.timing.tokens for request in requests])
    yield "date", f"{datetime.datetime.fromisoformat(result.anchor.wall):%Y%m%d-%H%M%S}"
    yield from dict.fromkeys(("endpoint_type", "backend"), "openai-chat").items()
    yield "label", cell.variant or None
    yield "model_id", base.public(result.model)
    yield "tokenizer_id", None
    yield "num_prompts", found.sent
    yield "request_rate", "inf" if cell.rate is None else cell.rate
    yield "burstiness", BURSTINESS.get(cell.arrivals, cell.burstiness)
    yield "max_concurrency", cell.concurrency
    yield "duration", duration_s
    yield "completed", found.valid
    yield "failed", found.sent - found.valid
    yield "total_input_tokens", prompts
    yield "total_output_tokens", answers
    yield "request_throughput", found.valid / duration_s
    yield "request_goodput", None
    yield "output_throughput", None if answers is None else answers / duration_s
    yield "total_token_throughput", None if answers is None or prompts is None else (answers + prompts) / duration_s
    yield "latencies", [_end_s(request) for request in requests]
    yield from dict.fromkeys(("queue_times", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx")).items()
    yield from _spread("ttft", [(request.timing.ttft_ns or 0) / 1e6 for request in requests])
    yield from _spread("tpot", _per_token_ms(requests))
    yield from _spread("itl", [gap / 1e6 for request in requests for gap in request.timing.gaps_ns])
    yield from _spread("e2el", [_end_s(request) * 1000 for request in requests])
    moved = found.figures.get("acceptance_length")
    if moved is not None and moved.value is not None:
        yield "spec_decode_acceptance_length", moved.value


def _spread(name: str, values_ms: Sequence[float]) -> Iterator[tuple[str, object]]:
    """A percentile of too few values is null."""
    yield f"mean_{name}_ms", base.mean(values_ms)
    yield f"median_{name}_ms", stats.percentile(np.asarray(values_ms, dtype=float), 50).value
    yield f"std_{name}_ms", base.spread(values_ms)
    for percent in PERCENTILES:
        yield f"p{percent}_{name}_ms", stats.percentile(np.asarray(values_ms, dtype=float), percent).value


def _per_token_ms(requests: Sequence[Request]) -> list[float]:
    known = [(request.timing.decode_ns or 0, request.timing.tokens or 0) for request in requests]
    return [spent / (tokens - 1) / 1e6 for spent, tokens in known if tokens > 1]


def _end_s(request: Request) -> float:
    """To the last event that carries tokens."""
    return ((request.timing.ttft_ns or 0) + (request.timing.decode_ns or 0)) / NS_PER_S


def _total(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count or 0 for count in counts)
