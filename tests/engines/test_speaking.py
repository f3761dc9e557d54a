"""What is asked of each engine, and how its answers and command lines are read."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import msgspec
import pytest

from harness.engines import embedded, flags, llamacpp, openai_api, sglang, vllm
from harness.engines.settings import flatten
from harness.errors import EngineError

ALL = [embedded, llamacpp, openai_api, sglang, vllm]


def pages(**by_name: object) -> Callable[[str], object | None]:
    """Answers as a server would give them: through JSON."""
    encoded = {f"/{name.replace('__', '/')}": msgspec.json.encode(page) for name, page in by_name.items()}
    return lambda path: msgspec.json.decode(encoded[path]) if path in encoded else None


@pytest.mark.parametrize("engine", ALL)
def test_every_engine_fixes_the_length_and_asks_for_usage(engine: ModuleType) -> None:
    fields = engine.request_fields(tokens=128, salt="a1", prefix_caching=False)
    assert fields["max_tokens"] == 128
    assert fields["stream_options"]["include_usage"] is True


def test_exact_length() -> None:
    for engine in (embedded, llamacpp, sglang, vllm):
        assert engine.request_fields(tokens=8, salt="a", prefix_caching=False)["ignore_eos"] is True
    assert vllm.request_fields(tokens=8, salt="a", prefix_caching=False)["min_tokens"] == 8


def test_sglang_refuses_token_ids_when_streaming_and_vllm_gives_them() -> None:
    assert "return_token_ids" not in sglang.request_fields(tokens=8, salt="a", prefix_caching=False)
    assert vllm.request_fields(tokens=8, salt="a", prefix_caching=False)["return_token_ids"] is True


def test_the_salt_keeps_requests_apart_unless_the_cache_is_what_is_measured() -> None:
    for engine in (sglang, vllm):
        assert engine.request_fields(tokens=8, salt="a1", prefix_caching=False)["cache_salt"] == "a1"
        assert "cache_salt" not in engine.request_fields(tokens=8, salt="a1", prefix_caching=True)
    assert llamacpp.request_fields(tokens=8, salt="a1", prefix_caching=False)["cache_prompt"] is False
    assert llamacpp.request_fields(tokens=8, salt="a1", prefix_caching=True)["cache_prompt"] is True


@pytest.mark.parametrize(
    ("engine", "reply"),
    [
        (vllm, {"count": 8, "max_model_len": 2048, "tokens": [9825, 429, 582, 288, 11591, 281, 1924, 30], "token_strs": None}),
        (sglang, {"tokens": [9825, 429, 582, 288, 11591, 281, 1924, 30], "count": 8, "max_model_len": 8192}),
        (llamacpp, {"tokens": [9825, 429, 582, 288, 11591, 281, 1924, 30]}),
    ],
)
def test_tokenize_replies(engine: ModuleType, reply: object) -> None:
    assert engine.tokenize_count(reply) == 8
    with pytest.raises(EngineError, match="another shape"):
        engine.tokenize_count({"detail": "Not Found"})


def test_tokenize_requests_leave_special_tokens_out() -> None:
    for engine in (vllm, sglang):
        assert engine.tokenize_request("hi", "m") == ("/tokenize", {"model": "m", "prompt": "hi", "add_special_tokens": False})
    assert llamacpp.tokenize_request("hi", "m") == ("/tokenize", {"content": "hi", "add_special": False})
    assert openai_api.tokenize_request("hi", "m") is None


def test_vllm_facts() -> None:
    model = {"id": "smollm2", "owned_by": "vllm", "root": "/models/x", "max_model_len": 2048, "permission": [{"id": "p"}]}
    found = vllm.facts(pages(version={"version": "0.32.0"}, v1__models={"object": "list", "data": [model]}))
    assert (found.version, found.context_limit) == ("0.32.0", 2048)
    assert found.settings == {"root": "/models/x", "max_model_len": "2048"}


def test_sglang_facts() -> None:
    info = {
        "version": "0.5.23",
        "context_length": None,
        "mem_fraction_static": 0.3,
        "api_key": "hush",
        "internal_states": [{"a": 1}],
    }
    models = {"object": "list", "data": [{"id": "smollm2", "owned_by": "sglang", "max_model_len": 8192}]}
    for name in ("server_info", "get_server_info"):
        found = sglang.facts(pages(**{name: info, "v1__models": models}))
        assert (found.version, found.context_limit) == ("0.5.23", 8192)
        assert found.settings["mem_fraction_static"] == "0.3"
        assert "hush" not in str(found)


def test_llamacpp_facts_give_the_context_of_one_slot() -> None:
    props = {
        "default_generation_settings": {"n_ctx": 4096},
        "build_info": "b9999-abc",
        "total_slots": 2,
        "chat_template": "x" * 500,
    }
    found = llamacpp.facts(pages(props=props, slots=[{"id": 0, "n_ctx": 2048}, {"id": 1, "n_ctx": 2048}]))
    assert (found.version, found.context_limit) == ("b9999-abc", 2048)
    assert llamacpp.facts(pages(props=props)).context_limit == 4096
    assert "chat_template" not in found.settings


@pytest.mark.parametrize("engine", ALL)
def test_a_server_that_tells_nothing(engine: ModuleType) -> None:
    found = engine.facts(pages())
    assert found.context_limit is None
    assert found.settings == {}


def test_settings_without_secrets_and_long_texts() -> None:
    page = {
        "admin_api_key": "hush",
        "ssl": {"password": "hush", "port": 1},
        "hf_token": "hush",
        "hub": "hf_abcdefghijklmnopqrstuvwx",
        "argv": ["serve", "--api-key hush"],
        "cmd": "serve --key sk-abcdefghijklmnopqrstuvwx",
        "env": {"HF_TOKEN_RO": "hush", "AWS_SECRET_ACCESS_KEY": "hush"},
        "eos_token": "</s>",
        "num_experts_per_token": 4,
        "max_total_tokens": 5,
        "tokenizer_path": "t",
        "long": "x" * 999,
        "none": None,
        "flags": [True, {"a": 1.5}],
    }
    flat = {"ssl.port": "1", "max_total_tokens": "5", "tokenizer_path": "t", "flags.0": "True", "flags.1.a": "1.5"}
    flat |= {"argv.0": "serve", "eos_token": "</s>", "num_experts_per_token": "4"}
    assert flatten(page) == flat


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2048", 2048),
        ("32k", 32_000),
        ("32K", 32_768),
        ("25.6k", 25_600),
        ("1M", 1_048_576),
        ("auto", None),
        ("-1", None),
        ("0", None),
    ],
)
def test_vllm_context(text: str, number: int | None) -> None:
    assert vllm.context_limit(["vllm", "serve", "m", "--max-model-len", text]) == number
    assert vllm.context_limit(["vllm", "serve", "m", f"--max_model_len={text}"]) == number


def test_vllm_context_inside_a_shell_in_a_container() -> None:
    argv = ["docker", "run", "image", "bash", "-c", "exec vllm serve m --max-model-len 4096 --port 1"]
    assert vllm.context_limit(argv) == 4096
    assert vllm.context_limit(["vllm", "serve", "m"]) is None


def test_sglang_context() -> None:
    assert sglang.context_limit(["python3", "-m", "sglang.launch_server", "--context-length", "65536"]) == 65536
    assert sglang.context_limit(["python3", "-m", "sglang.launch_server"]) is None


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("--ctx-size 8192 --parallel 4", 2048),
        ("-c 8192 -np 3", 2730),
        ("-c 8192", 8192),
        ("-c 8192 -np 4 --kv-unified", 8192),
        ("-c 0 -np 4", None),
        ("", None),
    ],
)
def test_llamacpp_context_is_shared_out_among_slots(words: str, number: int | None) -> None:
    argv = ["llama-server", "-m", "x.gguf", *words.split()]
    assert llamacpp.context_limit(argv) == number
    assert embedded.context_limit(argv) == number


def test_needs_gpu() -> None:
    serve = ["vllm", "serve", "m"]
    assert vllm.needs_gpu(serve, {})
    assert not vllm.needs_gpu(serve, {"VLLM_CPU_KVCACHE_SPACE": "1"})
    launch = ["python3", "-m", "sglang.launch_server"]
    assert sglang.needs_gpu(launch, {"SGLANG_USE_CPU_ENGINE": "1"})
    assert not sglang.needs_gpu([*launch, "--device", "cpu"], {})
    for engine in (embedded, llamacpp, openai_api):
        assert not engine.needs_gpu([], {})


def test_the_last_flag_counts_and_values_are_not_flags() -> None:
    assert flags.value(["x", "--a", "1", "--a=2"], "--a") == "2"
    assert flags.value(["x", "--a"], "--a") is None
    assert flags.value(["x", "-m", "my_model"], "-m") == "my_model"


def test_a_script_that_shlex_cannot_read() -> None:
    assert vllm.context_limit(["bash", "-c", "vllm serve m --max-model-len 4096 # don't ask"]) == 4096
