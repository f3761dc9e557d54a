"""vLLM's `vllm serve`. Checked against real captures of 0.32.0 (CPU), with and without speculation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from harness.engines import flags, prometheus
from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.diagnosis import diagnose_with
from harness.engines.known import Known
from harness.engines.openai_api import count_from
from harness.engines.settings import flatten
from harness.schema.memory import Claim

NAME = "vllm"
HEALTH = "/health"
METRICS: str | None = "/metrics"

COUNTERS = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
    "requests_finished": "vllm:request_success_total",  # by finished_reason; aborted ones are among them
    "cached_tokens": "vllm:prompt_tokens_cached_total",
    "cache_queries_tokens": "vllm:prefix_cache_queries_total",
    "spec_drafts": "vllm:spec_decode_num_drafts_total",
    "spec_draft_tokens": "vllm:spec_decode_num_draft_tokens_total",
    "spec_accepted_tokens": "vllm:spec_decode_num_accepted_tokens_total",
    "ttft_sum_s": "vllm:time_to_first_token_seconds_sum",
    "ttft_count": "vllm:time_to_first_token_seconds_count",
}

QUANTISE = ("fp8", "int8", "mxfp8", "experts_int8", "bitsandbytes", "torchao")
"""Beginnings of what `--quantization` makes of unquantised weights; others say how they are stored."""

KNOWN = (
    Known(
        r"max seq len \((?P<asked>\d+)\).*KV cache is needed",
        "the KV cache that is left over does not hold one request of {asked} tokens",
        "lower max_model_len, or raise gpu_memory_utilization (on a CPU: VLLM_CPU_KVCACHE_SPACE)",
    ),
    Known(
        r"No available memory for the cache blocks",
        "after loading the model no memory is left for the KV cache",
        "raise gpu_memory_utilization or free memory first",
    ),
    Known(
        r"Free memory on device .* is less than desired GPU memory utilization",
        "other programs hold memory that gpu_memory_utilization counts on",
        "free memory first, or lower gpu_memory_utilization",
    ),
    Known(
        r"(?:Failed to infer device type|Device string must not be empty)",
        "vLLM found no device that its build supports",
        "run it on a machine with an NVIDIA GPU, or use a CPU recipe (see harness recipes list)",
    ),
    Known(
        r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<tp>\d+)\)",
        "the model's {heads} attention heads cannot be split over {tp}",
        "set tensor_parallel to a divisor of the number of heads",
    ),
)


def request_fields(*, tokens: int, salt: str, prefix_caching: bool) -> dict[str, object]:
    """`min_tokens` besides `ignore_eos`: it keeps the end token from being drawn, so that real text goes on to the end."""
    fields: dict[str, object] = {
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "return_token_ids": True,
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
    sums = prometheus.totals(metrics)
    found = prometheus.renamed(sums, COUNTERS)
    if "cached_tokens" not in found and "vllm:prefix_cache_hits_total" in sums:  # older than prompt_tokens_cached
        found["cached_tokens"] = sums["vllm:prefix_cache_hits_total"]
    if "prompt_tokens" in found:
        found["prompt_tokens"] -= found.get("cached_tokens", 0.0)  # the server counts both
    return found


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    """`/server_info` is there only with VLLM_SERVER_DEV_MODE=1."""
    model = flatten(get("/v1/models"))
    told = {name: model[f"data.0.{name}"] for name in ("root", "max_model_len") if f"data.0.{name}" in model}
    version = flatten(get("/version")).get("version")
    limit = flags.whole(told.get("max_model_len"))
    return ServerFacts(version=version, settings=told | flatten(get("/server_info")), context_limit=limit)


def context_limit(argv: Sequence[str]) -> int | None:
    return human_int(flags.value(argv, "--max-model-len"))


def human_int(text: str | None) -> int | None:
    """vLLM's own suffixes: `32k` is 32,000, `32K` is 32,768, and fractions of the decimal ones (`25.6k`)."""
    number = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([kmgtKMGT]?)", text or "")
    if not number:
        return None
    scale = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[number[2]]
    return round(float(number[1]) * scale) or None


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim:
    """The share is of all memory, for activations and CUDA graphs too; `--kv-cache-memory-bytes` goes before it (vllm/config/cache.py). A
    CPU takes the cache's GiB from its own variable."""
    cache = human_int(flags.value(argv, "--kv-cache-memory-bytes"))
    on_cpu = flags.whole(env.get("VLLM_CPU_KVCACHE_SPACE"))
    return Claim(
        tensor=flags.whole(flags.value(argv, "--tensor-parallel-size", "-tp")) or 1,
        pipeline=flags.whole(flags.value(argv, "--pipeline-parallel-size", "-pp")) or 1,
        fraction=None if cache or on_cpu else flags.share(flags.value(argv, "--gpu-memory-utilization")),
        reserves=True,
        cache_bytes=cache or (on_cpu * 2**30 if on_cpu else None),
        context=context_limit(argv),
        draft=_draft(argv),
        quantises=(flags.value(argv, "--quantization", "-q") or "").startswith(QUANTISE),
        resident=not flags.has(argv, "--cpu-offload-gb"),
        fraction_flag="--gpu-memory-utilization",
        cache_flag="VLLM_CPU_KVCACHE_SPACE" if on_cpu else "--kv-cache-memory-bytes",
        tokens_flag="--max-model-len",
        tensor_flag="--tensor-parallel-size",
    )


def _draft(argv: Sequence[str]) -> str | None:
    """n-grams and MTP have no model of their own."""
    try:
        said = msgspec.json.decode(flags.value(argv, "--speculative-config", "-sc") or "{}")
    except msgspec.DecodeError:
        return None
    model = said.get("model") if isinstance(said, dict) else None
    return model if isinstance(model, str) else flags.value(argv, "--speculative-config.model")


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """A CPU build cannot be told from the command; the variable for its KV cache can, and every CPU recipe needs it."""
    cpu = "VLLM_CPU_KVCACHE_SPACE" in env or env.get("VLLM_TARGET_DEVICE") == "cpu" or flags.value(argv, "--device") == "cpu"
    return not cpu


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return diagnose_with(KNOWN, log)
