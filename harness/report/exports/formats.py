"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable

from harness.report.exports import benchy, forum, prometheus, vllm_bench
from harness.report.exports.base import Export, Records
from harness.schema.plan import Plan
from harness.schema.result import Result

FORMATS: dict[str, Callable[[Result, Plan, Records], Export]] = {
    "llama-benchy": benchy.as_json,
    "sparkrun-csv": benchy.as_csv,
    "vllm-bench": vllm_bench.as_json,
    "prometheus": prometheus.as_text,
    "markdown": forum.as_markdown,
}
FROM_RAW = ("llama-benchy", "sparkrun-csv", "vllm-bench")
"""Computed anew from a result's records; the others tell its figures."""
