"""Results of other load clients, as their files have them, and what is kept of one that was imported.

llama-benchy's is its own pydantic schema (0.4.0, `llama_benchy/results.py`); of `vllm bench serve` (0.32.0,
`vllm/benchmarks/serve.py`) only what is read.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec

from harness.schema.result import Point

IMPORT_VERSION = 1
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Metric(msgspec.Struct, frozen=True):
    mean: Amount
    std: Amount
    """Of the population: divided by n."""
    values: tuple[Amount, ...]


class BenchyRun(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the grid. Rates in tok/s, times in ms; None: nothing was measured."""

    concurrency: Count
    context_size: Count
    prompt_size: Count
    response_size: Count
    is_context_prefill_phase: bool
    pp_throughput: Metric | None = None
    pp_req_throughput: Metric | None = None
    tg_throughput: Metric | None = None
    tg_req_throughput: Metric | None = None
    peak_throughput: Metric | None = None
    peak_req_throughput: Metric | None = None
    ttfr: Metric | None = None
    est_ppt: Metric | None = None
    e2e_ttft: Metric | None = None
    throughput_over_time: list[Any] | None = None
    requests_throughput_over_time: list[Any] | None = None


class Benchy(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    timestamp: str
    """`2026-11-25 17:16:57Z`."""
    latency_mode: str
    """`none`: nothing is taken off."""
    latency_ms: float
    model: str
    prefix_caching_enabled: bool
    max_concurrency: Count
    benchmarks: tuple[BenchyRun, ...]


class VllmBench(msgspec.Struct, frozen=True, kw_only=True):
    date: str
    """`20261125-171546`, of whatever time zone."""
    backend: str
    model_id: str
    request_rate: float | str
    """Per second, or `inf`."""
    max_concurrency: Count | None
    completed: Count
    total_input_tokens: Count
    total_output_tokens: Count
    request_throughput: Amount
    output_throughput: Amount
    median_ttft_ms: Amount | None = None
    p90_ttft_ms: Amount | None = None
    p99_ttft_ms: Amount | None = None
    spec_decode_acceptance_length: Amount | None = None


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a file when it was imported. The file itself lies beside it, as it came."""

    schema_version: int = IMPORT_VERSION
    sha256: str
    name: str
    """Of the file, without its folder."""
    when: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    hardware: str = ""
    """By who imported it, as the next two: files do not tell. Empty: not said."""
    engine: str = ""
    source: str = ""
    """Where the file is from."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says in our terms."""

    program: str
    """`llama-benchy 0.4.0`."""
    model: str
    date: datetime.date
    points: tuple[Point, ...]
    """Figures of the same definition as ours, by our names; those that are not have no value and say why."""
    left_out: dict[str, str]
    """Why, by their names."""
    caveat: str = ""
    """What the file does not say of the figures that were taken."""
