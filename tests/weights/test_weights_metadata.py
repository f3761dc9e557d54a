"""What a recipe's metadata says of a model's size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema.weights import CacheLayers, Weights
from harness.weights.metadata import from_metadata, parameters

MISTRAL: dict[str, object] = {
    "model_params": "119B",
    "active_params": "6.5B",
    "model_dtype": "nvfp4",
    "kv_dtype": "bfloat16",
    "num_layers": 36,
    "kv_lora_rank": 256,
    "qk_rope_head_dim": 64,
    "num_experts": 128,
}
QWEN: dict[str, object] = {
    "model_params": "8.2B",
    "model_dtype": "BF16",
    "kv_dtype": "fp8_e5m2",
    "num_layers": 36,
    "num_kv_heads": 8,
    "head_dim": 128,
}


def found(metadata: dict[str, object], model: str = "", kv_dtype: str | None = None) -> Weights:
    weights, reason = from_metadata(metadata, model=model, kv_dtype=kv_dtype)
    assert weights is not None, reason
    assert weights.memory_bytes == weights.step_bytes + sum(weights.unread.values())
    return weights


def test_a_mixture_of_experts_with_mla() -> None:
    weights = found(MISTRAL)
    assert weights.memory_bytes == 119e9 * 0.5625
    assert weights.step_bytes == 6.5e9 * 0.5625
    assert weights.cache == (CacheLayers(layers=36, token_bytes=36 * 320 * 2),)


def test_a_dense_model() -> None:
    weights = found(QWEN)
    assert weights.memory_bytes == weights.step_bytes == 16_400_000_000
    assert weights.cache == (CacheLayers(layers=36, token_bytes=2 * 36 * 8 * 128, heads=8),)
    assert "taken as dense" in weights.notes[0]
    assert found(QWEN, kv_dtype="bf16").cache == (CacheLayers(layers=36, token_bytes=2 * 36 * 8 * 128 * 2, heads=8),)


def test_layers_of_other_kinds() -> None:
    """Gemma 4 26B: 5 global layers of 2 heads × 512, 25 of a window of 1,024 tokens, 8 heads × 256. Qwen3.6-35B: 10 of 40 layers keep
    keys and values, the others a state."""
    growing = CacheLayers(layers=9, token_bytes=2 * 9 * 8 * 128, heads=8)
    hybrid = found(QWEN | {"attention_layers": 9})
    assert hybrid.cache == (growing,)
    assert "27 recurrent layers" in hybrid.cache_reason
    whole = found(QWEN | {"attention_layers": 9, "recurrent_state_bytes": 64_000_000})
    assert (whole.cache, whole.cache_reason) == ((growing, CacheLayers(layers=27, token_bytes=64_000_000, window=1)), "")
    gemma: dict[str, object] = {
        "num_layers": 30,
        "attention_layers": 5,
        "num_kv_heads": 2,
        "head_dim": 512,
        "window_layers": 25,
    }
    gemma |= {"model_params": "25.8B", "model_dtype": "fp8", "kv_dtype": "fp8"}
    assert "sliding_window" in found(gemma).cache_reason
    windows: dict[str, object] = {"sliding_window": 1024, "window_kv_heads": 8, "window_head_dim": 256}
    assert found(gemma | windows).cache == (
        CacheLayers(layers=5, token_bytes=10_240, heads=2),
        CacheLayers(layers=25, token_bytes=102_400, window=1024, heads=8),
    )


def test_what_was_seen_in_memory_goes_before_the_types() -> None:
    weights = found(MISTRAL | {"model_vram": 66})
    assert weights.memory_bytes == 66 * 2**30
    assert weights.step_bytes == pytest.approx(66 * 2**30 * 6.5 / 119)
    assert found(QWEN | {"model_vram": 10, "model_dtype": "mixed"}).memory_bytes == 10 * 2**30


def test_active_parameters_by_the_models_name() -> None:
    weights = found(QWEN | {"model_params": "30.5B"}, "Qwen/Qwen3-30B-A3.3B-Instruct")
    assert weights.step_bytes == 6_600_000_000
    assert "by the model's name" in weights.notes[0]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "model_params"),
        ({"model_params": "big", "model_dtype": "fp8"}, "model_params"),
        ({"model_params": "7B"}, "model_dtype"),
        ({"model_params": "7B", "model_dtype": "q4_k_m"}, "q4_k_m"),
        ({"model_params": "7B", "model_dtype": ["fp8"]}, "model_dtype"),
        ({"model_params": "7B", "model_dtype": "fp8", "num_experts": 8}, "active_params"),
        ({"model_params": "7B", "model_dtype": "fp8", "active_params": "some"}, "active_params"),
        ({"model_params": "7B", "model_dtype": "fp8", "active_params": "8B"}, "more than"),
    ],
)
def test_what_is_not_said_is_a_reason(metadata: dict[str, object], said: str) -> None:
    weights, reason = from_metadata(metadata)
    assert weights is None
    assert said in reason


def test_a_cache_that_is_not_said_is_a_reason() -> None:
    for without, said in (("kv_dtype", "kv_dtype"), ("num_layers", "num_layers"), ("head_dim", "head_dim")):
        weights = found({key: value for key, value in QWEN.items() if key != without})
        assert weights.cache is None
        assert said in weights.cache_reason


@pytest.mark.parametrize(
    ("text", "count"),
    [("119B", 119e9), ("6.5b", 6.5e9), ("135 M", 135e6), ("1.1T", 1.1e12), ("7,000,000", 7e6), (7e9, 7e9), (0, None)]
    + [(bad, None) for bad in ("B", "-1B", "1e9", "0B", float("nan"), float("inf"), True, None, [1])],
)
def test_numbers_of_parameters(text: object, count: float | None) -> None:
    assert parameters(text) == count


MORE = ("attention_layers", "window_layers", "sliding_window", "window_kv_heads", "recurrent_state_bytes", "model_vram")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["7B", "fp8", "auto"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*MISTRAL, *QWEN, *MORE], ANYTHING)))
def test_any_metadata_gives_weights_or_a_reason(metadata: dict[str, object]) -> None:
    weights, reason = from_metadata(metadata)
    assert (weights is None) == bool(reason)
