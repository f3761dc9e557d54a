"""What a command line says of memory, engine by engine."""

from __future__ import annotations

import shlex

import pytest

from harness.engines import ENGINES, flags
from harness.schema.memory import Claim

DRAFTS = """'{"method": "eagle", "model": "org/draft", "num_speculative_tokens": 3}'"""


def claim(engine: str, command: str, **env: str) -> Claim:
    found = ENGINES[engine].memory(shlex.split(command), env)
    assert found is not None
    return found


def test_vllm() -> None:
    found = claim("vllm", "vllm serve m -tp 2 --pipeline_parallel_size=3 --gpu-memory-utilization .85 --max-model-len 32K")
    assert (found.tensor, found.pipeline, found.fraction, found.context) == (2, 3, 0.85, 32768)
    assert (found.reserves, found.cache_bytes, found.draft) == (True, None, None)
    plain = claim("vllm", "vllm serve m")
    assert (plain.tensor, plain.fraction, plain.context) == (1, None, None)


@pytest.mark.parametrize(
    ("flag", "model"),
    [
        (f"--speculative-config {DRAFTS}", "org/draft"),
        (f"-sc {DRAFTS}", "org/draft"),
        ("--speculative-config.model org/draft --speculative-config.method eagle", "org/draft"),
        ("""--speculative-config '{"method": "mtp", "num_speculative_tokens": 3}'""", None),
        ("--speculative-config '{{'", None),
        ("--speculative-config '[1]'", None),
        ("""--speculative-config '{"model": 7}'""", None),
    ],
)
def test_vllms_draft_model(flag: str, model: str | None) -> None:
    assert claim("vllm", f"vllm serve m {flag}").draft == model


def test_vllms_cache_goes_before_its_share() -> None:
    found = claim("vllm", "vllm serve m --gpu-memory-utilization 0.9 --kv-cache-memory-bytes 24G")
    assert (found.cache_bytes, found.fraction) == (24 << 30, None)
    found = claim("vllm", "vllm serve m --gpu-memory-utilization 0.9", VLLM_CPU_KVCACHE_SPACE="4")
    assert (found.cache_bytes, found.fraction, found.cache_flag) == (4 << 30, None, "VLLM_CPU_KVCACHE_SPACE")


@pytest.mark.parametrize(
    ("flag", "quantises"),
    [("--quantization fp8", True), ("-q bitsandbytes", True), ("--quantization gptq", False), ("--quantization mxfp4", False)],
)
def test_weights_that_are_made_smaller(flag: str, quantises: bool) -> None:
    assert claim("vllm", f"vllm serve m {flag}").quantises is quantises
    if flag.startswith("--"):
        assert claim("sglang", f"python3 -m sglang.launch_server {flag}").quantises is quantises


def test_sglang() -> None:
    command = "python3 -m sglang.launch_server --tp-size 4 --mem-fraction-static 0.75 --context-length 65536"
    found = claim("sglang", f"{command} --speculative-draft-model-path org/draft")
    assert (found.tensor, found.fraction, found.context, found.draft) == (4, 0.75, 65536, "org/draft")
    assert (found.cache_tokens, found.tokens_flag, found.reserves) == (None, "--context-length", False)
    found = claim("sglang", f"{command} --max-total-tokens 8192")
    assert (found.cache_tokens, found.tokens_flag) == (8192, "--max-total-tokens")


@pytest.mark.parametrize("engine", ["llamacpp", "embedded"])
def test_llama_cpp(engine: str) -> None:
    found = claim(engine, "llama-server -m m.gguf --ctx-size 8192 --parallel 4 -md draft.gguf")
    assert (found.cache_tokens, found.slots, found.draft, found.resident) == (8192, 4, "draft.gguf", False)


def test_servers_without_a_model_of_their_own_claim_nothing() -> None:
    assert ENGINES["paced"].memory(["paced"], {}) is None
    assert ENGINES["openai"].memory([], {}) is None


def test_a_docker_command_is_read_too() -> None:
    argv = ["docker", "run", "--rm", "image", "bash", "-c", "vllm serve m --gpu-memory-utilization 0.6 | tee log"]
    found = ENGINES["vllm"].memory(argv, {})
    assert found is not None
    assert found.fraction == 0.6


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.75", 0.75), (".9", 0.9), ("1", 1.0), ("1.0", 1.0)]
    + [(bad, None) for bad in (None, "", "0", "0.0", "1.5", "-0.5", "9", "nan", "inf", "1e-3", "auto", "0.5x")],
)
def test_shares(text: str | None, share: float | None) -> None:
    assert flags.share(text) == share


def test_numbers_that_no_engine_takes() -> None:
    assert flags.whole("9" * 5000) is None
    assert claim("vllm", f"vllm serve m --max-model-len {'9' * 5000} -tp {'9' * 5000}").context is None
