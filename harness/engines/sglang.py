"""SGLang's `sglang.launch_server`. Checked against real captures of 0.5.23 (CPU)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.engines import flags, prometheus
from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.diagnosis import diagnose_with
from harness.engines.known import FREE_MEMORY, NO_GPU, Known
from harness.engines.openai_api import count_from
from harness.engines.settings import flatten
from harness.schema.memory import Claim

NAME = "sglang"
HEALTH = "/health"
METRICS: str | None = "/metrics"

COUNTERS = {
    "prompt_tokens": "sglang:prompt_tokens_total",
    "generation_tokens": "sglang:generation_tokens_total",
    "requests_finished": "sglang:num_requests_total",
    "cached_tokens": "sglang:cached_tokens_total",
    "spec_drafts": "sglang:spec_verify_calls_total",
    "ttft_sum_s": "sglang:time_to_first_token_seconds_sum",
    "ttft_count": "sglang:time_to_first_token_seconds_count",
}
"""Not used: `spec_accept_rate` and `cache_hit_rate` are gauges of the last log interval, whatever ran in it. So is `spec_accept_length`,
but SGLang has counted verify steps only since sgl-project/sglang#25689 (May 2026), and older images have nothing better."""
ACCEPT_LENGTH = "sglang:spec_accept_length"

QUANTISE = ("fp8", "w8a8", "mxfp8", "bitsandbytes")
"""Beginnings of what `--quantization` makes of unquantised weights; others say how they are stored."""

KNOWN = (
    Known(
        r"Not enough memory\. Please try to increase --mem-fraction-static",
        "after loading the model no memory is left for the KV cache",
        "raise mem_fraction_static, or free memory first",
    ),
    Known(
        r"context[ _-]length \((?P<asked>\d+)\) is greater than the derived context[ _-]length \((?P<most>\d+)\)",
        "the recipe asks for a context of {asked} tokens, the model holds {most}",
        "lower context_length",
    ),
    Known(
        r"no GPU memory for the KV cache under --mem-fraction-static=(?P<now>[\d.]+)\. Raise .* above (?P<least>[\d.]+\d)",
        "after loading the model a memory fraction of {now} leaves nothing for the KV cache",
        "raise it: --set mem_fraction_static={least} or more",
    ),
    Known(
        r"Could not load any common_ops library",
        "SGLang's kernels cannot be loaded: there is no usable NVIDIA driver, or they were built for another GPU",
        NO_GPU,
    ),
    Known(
        r"scheduler died during initialization \(exit code: -9\)",
        "the process that holds the model was killed, as the kernel does when memory runs out",
        FREE_MEMORY,
    ),
    Known(
        r"Expected a cuda device, but got: cpu",
        "a part of SGLang ran into its CUDA-only path on the CPU",
        "run it on a machine with an NVIDIA GPU, or with one process on the CPU",
    ),
)


def request_fields(*, tokens: int, salt: str, prefix_caching: bool) -> dict[str, object]:
    """No `return_token_ids`: with streaming it is refused (HTTP 400); the continuous usage counts per event instead."""
    fields: dict[str, object] = {
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    if not prefix_caching:
        fields["cache_salt"] = salt
    return fields


def tokenize_request(text: str, model: str) -> tuple[str, object] | None:
    return "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}


def tokenize_count(reply: object) -> int:
    return count_from(reply)


def counters(metrics: str) -> dict[str, float]:
    """Accepted tokens have no counter of their own and follow from three that are exact once requests have finished: every
    request gets its first token from the prefill, and every verify step gives one token besides the accepted ones."""
    totals = prometheus.totals(metrics)
    found = prometheus.renamed(totals, COUNTERS)
    if "prompt_tokens" in found:
        found.setdefault("cached_tokens", 0.0)  # the counter appears with its first hit
        found["cache_queries_tokens"] = found["prompt_tokens"]
        found["prompt_tokens"] -= found["cached_tokens"]  # the server counts both
    if found.get("spec_drafts"):
        first = found.get("requests_finished", 0.0)
        found["spec_accepted_tokens"] = found.get("generation_tokens", 0.0) - first - found["spec_drafts"]
    elif totals.get(ACCEPT_LENGTH):
        found["spec_accept_length_gauge"] = totals[ACCEPT_LENGTH]
    return found


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    info = get("/server_info") or get("/get_server_info")  # the second is its older name
    settings = flatten(info)
    limit = flatten(get("/v1/models")).get("data.0.max_model_len") or settings.get("context_length")
    return ServerFacts(version=settings.get("version"), settings=settings, context_limit=flags.whole(limit))


def context_limit(argv: Sequence[str]) -> int | None:
    return flags.whole(flags.value(argv, "--context-length"))


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim:
    """The share is of what is free before the weights are loaded, for weights and cache; other memory comes on top
    (`_profile_available_bytes` in model_runner_kv_cache_mixin.py)."""
    most = flags.whole(flags.value(argv, "--max-total-tokens"))
    return Claim(
        tensor=flags.whole(flags.value(argv, "--tp-size", "--tp", "--tensor-parallel-size")) or 1,
        pipeline=flags.whole(flags.value(argv, "--pp-size", "--pipeline-parallel-size")) or 1,
        fraction=flags.share(flags.value(argv, "--mem-fraction-static")),
        cache_tokens=most,
        context=context_limit(argv),
        draft=flags.value(argv, "--speculative-draft-model-path", "--speculative-draft-model"),
        quantises=flags.has(argv, "--torchao-config") or (flags.value(argv, "--quantization") or "").startswith(QUANTISE),
        resident=not flags.has(argv, "--cpu-offload-gb"),
        fraction_flag="--mem-fraction-static",
        tokens_flag="--max-total-tokens" if most else "--context-length",
        tensor_flag="--tp-size",
    )


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return flags.value(argv, "--device") != "cpu"


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return diagnose_with(KNOWN, log)
