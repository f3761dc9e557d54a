"""Known models against the memory of known machines."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engines import ENGINES
from harness.schema.machine import Gpu
from harness.schema.memory import FITS, MISFIT, UNKNOWN, Claim, Fit, Room
from harness.schema.weights import METADATA, SAFETENSORS, CacheLayers, Weights
from harness.weights.fit import fit, room
from harness.weights.metadata import from_metadata
from tests.doctor.patients import machine

GIB = 2**30
SPARK = Room(total_bytes=128_501_256_192, most_bytes=115_651_130_572, gpu=True)
"""119.68 GiB (leptonai/gpud#1170, 2025-12-05), of which 0.90 may be taken."""
LLAMA_70B = Weights(  # Llama 3 70B in BF16: 70.6e9 parameters, 80 layers, 8 key/value heads of 128
    source=SAFETENSORS,
    memory_bytes=141_107_412_992,
    step_bytes=141_107_412_992,
    cache=(CacheLayers(layers=80, token_bytes=80 * 2 * 8 * 128 * 2, heads=8),),
)


def mistral() -> Weights:
    said: dict[str, object] = {"model_params": "119B", "active_params": "6.5B", "model_dtype": "nvfp4", "kv_dtype": "bf16"}
    weights, reason = from_metadata(said | {"num_layers": 36, "kv_lora_rank": 256, "qk_rope_head_dim": 64})
    assert weights is not None, reason
    return weights


def gpt_oss() -> Weights:
    said: dict[str, object] = {"model_params": "116.83B", "active_params": "5.1B", "model_dtype": "mxfp4", "kv_dtype": "fp8"}
    said |= {"num_layers": 36, "attention_layers": 18, "num_kv_heads": 8, "head_dim": 64}
    weights, reason = from_metadata(said | {"window_layers": 18, "sliding_window": 128})
    assert weights is not None, reason
    return weights


def asked(engine: str, command: str, where: Room | None = SPARK, model: Weights = LLAMA_70B, **more: object) -> Fit:
    claim = ENGINES[engine].memory(command.split(), {})
    assert claim is not None
    return fit(where, model, None, claim, **more)  # type: ignore[arg-type]


SGLANG = "python3 -m sglang.launch_server --model-path m --context-length 65536 --mem-fraction-static"


def test_mistral_small_4_fits_at_three_quarters() -> None:
    found = asked("sglang", f"{SGLANG} 0.75", model=mistral())
    assert found.verdict == FITS
    assert found.weights_bytes == 119e9 * 0.5625
    assert found.cache_bytes == 65536 * 36 * 320 * 2
    pool = 0.75 * SPARK.total_bytes - 119e9 * 0.5625
    assert found.holds_tokens == pytest.approx(pool / (36 * 320 * 2), abs=1)
    assert found.missing_bytes == 0


@pytest.mark.parametrize(("share", "setting"), [("0.5", "--mem-fraction-static 0.54 or more"), ("0.95", "0.90 or less")])
def test_a_share_that_is_too_small_or_too_large(share: str, setting: str) -> None:
    found = asked("sglang", f"{SGLANG} {share}", model=mistral())
    assert found.verdict == MISFIT
    assert setting in found.setting
    assert not found.certain
    mended = asked("sglang", f"{SGLANG} {setting.split()[-3]}", model=mistral())
    assert mended.verdict == FITS


def test_gpt_oss_120b_is_shared_out_over_four_machines() -> None:
    one, four = (
        asked("vllm", f"vllm serve m -tp {n} --gpu-memory-utilization 0.70", model=gpt_oss(), context=131072) for n in (1, 4)
    )
    assert (one.verdict, four.verdict) == (FITS, FITS)
    assert one.weights_bytes == pytest.approx(116.83e9 * 0.53125)
    assert four.weights_bytes == pytest.approx(116.83e9 * 0.53125 / 4)
    assert one.cache_bytes == 18432 * 131072 + 18432 * 128
    assert four.cache_bytes == (18432 * 131072 + 18432 * 128) / 4
    assert "on each of 4 GPUs" in four.text


def test_a_70b_in_bf16_does_not_fit_one_machine_and_fits_two() -> None:
    found = asked("vllm", "vllm serve m --max-model-len 8192 --gpu-memory-utilization 0.8")
    assert (found.verdict, found.certain) == (MISFIT, True)
    assert found.missing_bytes == 141_107_412_992 - SPARK.most_bytes
    assert "23.7 GiB too much" in found.text
    assert found.setting.startswith("--tensor-parallel-size 2 over as many GPUs")
    assert asked("vllm", "vllm serve m --max-model-len 8192 --gpu-memory-utilization 0.8 -tp 2").verdict == FITS


@pytest.mark.parametrize(
    "more", ["--quantization fp8", "--cpu-offload-gb 40", "-q bitsandbytes"], ids=["quantised", "offloaded", "bits"]
)
def test_what_may_be_made_smaller_is_not_certain(more: str) -> None:
    found = asked("vllm", f"vllm serve m --max-model-len 8192 {more}")
    assert (found.verdict, found.certain) == (MISFIT, False)


def test_an_estimate_is_never_certain() -> None:
    guessed = Weights(source=METADATA, memory_bytes=10**12, step_bytes=10**12, cache=())
    assert not asked("vllm", "vllm serve m", model=guessed).certain


def test_a_context_that_is_too_long_for_any_share() -> None:
    """On two machines 65.7 GiB of weights and 160 KiB of cache a token are each one's."""
    found = asked("vllm", "vllm serve m --max-model-len 400000 -tp 2 --gpu-memory-utilization 0.85")
    assert found.verdict == MISFIT
    assert found.setting == "--max-model-len 235520 or less"
    assert asked("vllm", "vllm serve m --max-model-len 235520 -tp 2 --gpu-memory-utilization 0.85").verdict == FITS
    assert asked("vllm", "vllm serve m --max-model-len 236544 -tp 2 --gpu-memory-utilization 0.85").verdict == MISFIT


def test_heads_are_shared_out_and_a_latent_is_not() -> None:
    two_heads = Weights(source=METADATA, memory_bytes=8, step_bytes=8, cache=(CacheLayers(layers=1, token_bytes=64, heads=2),))
    latent = Weights(source=METADATA, memory_bytes=8, step_bytes=8, cache=(CacheLayers(layers=1, token_bytes=64),))
    command = "vllm serve m --max-model-len 10"
    assert [asked("vllm", f"{command} -tp {n}", model=two_heads).cache_bytes for n in (1, 2, 4)] == [640, 320, 320]
    assert [asked("vllm", f"{command} -tp {n}", model=latent).cache_bytes for n in (1, 2, 4)] == [640, 640, 640]
    assert asked("vllm", f"{command} -tp 2 -pp 2", model=latent).cache_bytes == 320


def test_a_cache_of_a_size_of_its_own() -> None:
    command = "vllm serve m -tp 2 --max-model-len 65536 --kv-cache-memory-bytes"
    assert asked("vllm", f"{command} 20G").verdict == FITS
    small = asked("vllm", f"{command} 8G")
    assert (small.verdict, small.setting) == (MISFIT, "--kv-cache-memory-bytes: 10.0 GiB or more")
    large = asked("vllm", f"{command} 60G")
    assert (large.verdict, large.setting) == (MISFIT, "--kv-cache-memory-bytes: 42.0 GiB or less")
    assert large.missing_bytes == 141_107_412_992 // 2 + 60 * GIB - SPARK.most_bytes


def test_llama_cpp_has_room_for_all_slots_from_the_start() -> None:
    windows = CacheLayers(layers=1, token_bytes=10, window=128)
    model = Weights(
        source=SAFETENSORS, memory_bytes=1000, step_bytes=1000, cache=(CacheLayers(layers=1, token_bytes=10), windows)
    )
    here = Room(total_bytes=100_000, most_bytes=100_000, gpu=False)
    found = asked("llamacpp", "llama-server -m m -c 8192 -np 4", here, model)
    assert (found.verdict, found.cache_bytes, found.holds_tokens) == (FITS, 81920 + 4 * 1280, 8192)
    long = asked("llamacpp", "llama-server -m m -c 16384 -np 4", here, model)
    assert (long.verdict, long.setting) == (MISFIT, "--ctx-size 9216 or less")
    assert not asked("llamacpp", "llama-server -m m -c 16", Room(total_bytes=10, most_bytes=10, gpu=False), model).certain


def test_the_cells_may_ask_for_more_than_the_cache_holds() -> None:
    found = asked("sglang", f"{SGLANG} 0.75", model=mistral(), asked_tokens=2_000_000)
    assert (found.verdict, "2,000,000 at once: requests will wait" in found.text) == (FITS, True)
    assert "wait" not in asked("sglang", f"{SGLANG} 0.75", model=mistral(), asked_tokens=1_000_000).text


def test_what_is_not_known_is_no_verdict() -> None:
    untold = Weights(source=METADATA, memory_bytes=GIB, step_bytes=GIB, cache_reason="sparse attention")
    found = asked("vllm", "vllm serve m --max-model-len 10", model=untold)
    assert (found.verdict, "sparse attention" in found.text) == (UNKNOWN, True)
    assert "how long requests may be" in asked("vllm", "vllm serve m -tp 2").text
    nowhere = asked("vllm", "vllm serve m --max-model-len 10", None)
    assert (nowhere.verdict, "no GPU here" in nowhere.text, nowhere.weights_bytes) == (UNKNOWN, True, 141_107_412_992)


def test_weights_alone_can_be_too_much_with_a_cache_that_is_not_known() -> None:
    untold = Weights(source=METADATA, memory_bytes=90 * GIB, step_bytes=90 * GIB, cache_reason="sparse attention")
    found = asked("vllm", "vllm serve m --gpu-memory-utilization 0.7", model=untold)
    assert (found.verdict, found.setting) == (MISFIT, "--gpu-memory-utilization 0.76 or more")


def test_the_memory_that_counts() -> None:
    shared = room(machine(memory_bytes=128_501_256_192), gpu=True, floor_bytes=8 * GIB)
    assert shared == SPARK
    tight = room(machine(memory_bytes=64 * GIB), gpu=True, floor_bytes=8 * GIB)
    assert tight == Room(total_bytes=64 * GIB, most_bytes=56 * GIB, gpu=True)
    cards = [Gpu(index=n, name="other", memory_bytes=size * GIB) for n, size in enumerate((80, 24))]
    assert room(machine(cards), gpu=True, floor_bytes=0) == Room(total_bytes=24 * GIB, most_bytes=24 * GIB, gpu=True)
    assert room(machine([]), gpu=True, floor_bytes=0) is None
    assert room(machine([]), gpu=False, floor_bytes=0) == Room(total_bytes=121 * GIB, most_bytes=121 * GIB, gpu=False)


def test_processes_on_one_cpu_share_its_memory_and_no_more() -> None:
    here = Room(total_bytes=200 * GIB, most_bytes=200 * GIB, gpu=False)
    assert asked("vllm", "vllm serve m --max-model-len 10 -tp 2", here).weights_bytes == 141_107_412_992


SIZES = st.integers(min_value=0, max_value=1 << 60)
SHARES = st.none() | st.floats(min_value=0.01, max_value=1)
LAYERS = st.builds(
    CacheLayers,
    layers=st.integers(1, 100),
    token_bytes=st.floats(0.5, 1e30),
    window=st.none() | st.integers(1, 1 << 40),
    heads=st.integers(1, 128),
)
WEIGHTS = st.builds(
    Weights,
    source=st.sampled_from([METADATA, SAFETENSORS]),
    memory_bytes=SIZES,
    step_bytes=SIZES,
    cache=st.none() | st.tuples(LAYERS),
)
CLAIMS = st.builds(
    Claim,
    tensor=st.integers(1, 1 << 60),
    pipeline=st.integers(1, 1000),
    fraction=SHARES,
    cache_bytes=st.none() | SIZES,
    cache_tokens=st.none() | st.integers(1, 1 << 60),
    context=st.none() | st.integers(1, 1 << 60),
    slots=st.integers(1, 1 << 60),
    fraction_flag=st.just("--share"),
    tensor_flag=st.sampled_from(["", "--tp"]),
)
ROOMS = st.none() | st.builds(
    lambda total, gpu: Room(total_bytes=total, most_bytes=total * 9 // 10, gpu=gpu), SIZES, st.booleans()
)


@settings(deadline=None)
@given(ROOMS, WEIGHTS, st.none() | WEIGHTS, CLAIMS)
def test_anything_gets_a_verdict(where: Room | None, model: Weights, draft: Weights | None, claim: Claim) -> None:
    found = fit(where, model, draft, claim)
    assert found.verdict in (FITS, MISFIT, UNKNOWN)
    assert (found.missing_bytes > 0) == (found.verdict == MISFIT) == bool(found.setting)
    assert found.text
    assert len(found.text) < 600
    if found.certain:
        assert where is not None
        assert model.memory_bytes > where.total_bytes


def test_weights_between_what_a_server_may_take_and_all_there_is() -> None:
    """110 of 119.7 GiB: no other share or context mends it, only fewer weights here; and it is not certain that it cannot start."""
    large = msgspec.structs.replace(LLAMA_70B, memory_bytes=110 * GIB, step_bytes=110 * GIB)
    for engine, command in (
        ("vllm", "vllm serve m --gpu-memory-utilization 0.97 --max-model-len 4096"),
        ("sglang", f"{SGLANG} 0.97"),
    ):
        found = asked(engine, command, model=large)
        assert (found.verdict, found.certain) == (MISFIT, False)
        assert found.missing_bytes == 110 * GIB - SPARK.most_bytes
        assert "2 over as many GPUs" in found.setting
