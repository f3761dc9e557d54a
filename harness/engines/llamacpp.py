"""llama.cpp's `llama-server`; also what `embedded` runs. Checked against xllamacpp 2026.10.11549."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.engines import flags, prometheus
from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.diagnosis import diagnose_with
from harness.engines.known import Known
from harness.engines.openai_api import count_from
from harness.engines.settings import flatten
from harness.schema.memory import Claim

NAME = "llamacpp"
HEALTH = "/health"
METRICS: str | None = "/metrics"
"""Needs `--metrics` on the command line."""

COUNTERS = {
    "prompt_tokens": "llamacpp:prompt_tokens_total",  # cached ones not included
    "generation_tokens": "llamacpp:tokens_predicted_total",
    "cached_tokens": "llamacpp:prompt_tokens_cached_total",
    "spec_drafts": "llamacpp:spec_decode_num_drafts_total",
    "spec_draft_tokens": "llamacpp:spec_decode_num_draft_tokens_total",
    "spec_accepted_tokens": "llamacpp:spec_decode_num_accepted_tokens_total",
}

KNOWN = (
    Known(
        r"failed to open GGUF file '(?P<file>[^']*)'",
        "the model file {file} cannot be opened",
        "check the path and that the file is whole and readable",
    ),
    Known(
        r"gguf_init_from_\w+|invalid magic|failed to read (?:magic|key|tensor)|data is not within the file bounds",
        "the model file is not a whole GGUF file",
        "download it again, and check that it is GGUF and not safetensors",
    ),
    Known(
        r"unknown model architecture: '(?P<arch>[^']*)'",
        "this build of llama.cpp does not know the architecture {arch}",
        "take a newer llama.cpp (or xllamacpp)",
    ),
    Known(r"failed to load model", "the model cannot be loaded", "check the path, the file and the free memory"),
)


def request_fields(*, tokens: int, salt: str, prefix_caching: bool) -> dict[str, object]:
    """There is no salt: `cache_prompt` false makes the server compute the whole prompt. `timings_per_token` carries
    `predicted_n`, the number of tokens so far, in every event."""
    return {
        "max_tokens": tokens,
        "ignore_eos": True,
        "cache_prompt": prefix_caching,
        "timings_per_token": True,
        "stream_options": {"include_usage": True},
    }


def tokenize_request(text: str, model: str) -> tuple[str, object] | None:
    return "/tokenize", {"content": text, "add_special": False}


def tokenize_count(reply: object) -> int:
    return count_from(reply)


def counters(metrics: str) -> dict[str, float]:
    found = prometheus.renamed(prometheus.totals(metrics), COUNTERS)
    if "cached_tokens" in found:
        found["cache_queries_tokens"] = found["prompt_tokens"] + found["cached_tokens"]
    return found


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    props = get("/props")
    settings = {name: text for name, text in flatten(props).items() if name != "media_marker"}  # new on every start
    limit = flatten(get("/slots")).get("0.n_ctx") or settings.get("default_generation_settings.n_ctx")
    return ServerFacts(version=settings.get("build_info"), settings=settings, context_limit=flags.whole(limit))


def context_limit(argv: Sequence[str]) -> int | None:
    """Per request: the context is shared out among the slots, unless they share one cache. The server rounds the share up to a
    multiple of 256 and cuts it to what the model was trained for."""
    size = flags.whole(flags.value(argv, "--ctx-size", "-c"))
    slots = flags.whole(flags.value(argv, "--parallel", "-np"))
    if size is None or slots is None or {"--kv-unified", "-kvu"} & set(flags.words(argv)):
        return size
    return size // slots


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim:
    """All slots have their context from the start. The file is mapped, so more than the memory holds still runs, from the disk."""
    return Claim(
        cache_tokens=flags.whole(flags.value(argv, "--ctx-size", "-c")),
        slots=flags.whole(flags.value(argv, "--parallel", "-np")) or 1,
        draft=flags.value(argv, "--model-draft", "-md"),
        resident=False,
        tokens_flag="--ctx-size",
    )


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return False


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return diagnose_with(KNOWN, log)
