"""What a pass reads of the cache, by the model's kind of attention."""

from __future__ import annotations

import pytest

from harness.schema.weights import CacheLayers
from harness.weights.cache import cache
from harness.weights.config import from_gguf, from_json
from tests.weights.model_files import LLAMA

SSM = {"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 32, "mamba_ssm_cache_dtype": "float32"}
DELTA = {"linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 32, "mamba_ssm_dtype": "float32"}


def per(layers: int, window: int | None = None) -> CacheLayers:
    return CacheLayers(layers=layers, token_bytes=64 * layers, window=window, heads=2)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, (per(2),)),
        ({"num_key_value_heads": None}, (CacheLayers(layers=2, token_bytes=256, heads=4),)),
        ({"head_dim": None, "hidden_size": 64}, (CacheLayers(layers=2, token_bytes=256, heads=2),)),
        ({"v_head_dim": 4}, (CacheLayers(layers=2, token_bytes=96, heads=2),)),
        ({"kv_lora_rank": 256, "qk_rope_head_dim": 64}, (CacheLayers(layers=2, token_bytes=2 * 320 * 2),)),
        ({"sliding_window": 512, "use_sliding_window": False}, (per(2),)),
        ({"sliding_window": 512, "model_type": "mistral"}, (per(2, 512),)),
        ({"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"]}, (per(1, 512), per(1))),
        ({"sliding_window": 512, "model_type": "gemma3_text", "num_hidden_layers": 13}, (per(11, 512), per(2))),
        ({"sliding_window": 512, "sliding_window_pattern": 4, "num_hidden_layers": 8}, (per(6, 512), per(2))),
        (
            {"full_attention_interval": 4, "num_hidden_layers": 8, **DELTA},
            (per(2), CacheLayers(layers=6, token_bytes=6 * 4 * 16 * 32 * 4, window=1)),
        ),
        (
            {"hybrid_override_pattern": "M-M*E*", "num_hidden_layers": 6, **SSM},
            (per(2), CacheLayers(layers=2, token_bytes=2 * 4 * 16 * 32 * 4, window=1)),
        ),
        (
            {
                "sliding_window": 512,
                "layer_types": ["sliding_attention", "full_attention"],
                "num_global_key_value_heads": 1,
                "global_head_dim": 32,
            },
            (per(1, 512), CacheLayers(layers=1, token_bytes=128)),
        ),
    ],
)
def test_by_the_configuration(config: dict[str, object], expected: tuple[CacheLayers, ...]) -> None:
    assert cache(from_json(LLAMA | config), None) == (expected, "")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": None}, "no layers"),
        ({"dtype": None}, "type"),
        ({"head_dim": None}, "heads"),
        ({"kv_lora_rank": 256}, "heads"),
        ({"sliding_window": 512, "model_type": ["new"]}, "no word which"),
        ({"layer_types": ["full_attention", "chunked_attention"]}, "chunked_attention"),
        ({"layer_types": ["full_attention"]}, "fewer"),
        ({"layer_types": [None, None]}, "'None'"),
        ({"layer_types": ["sliding_attention"] * 2}, "no word of their window"),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_topk": 2048}, "sparse"),
        (SSM, "no word which"),
    ],
)
def test_what_is_not_said_is_a_reason(config: dict[str, object], said: str) -> None:
    found, reason = cache(from_json(LLAMA | config), None)
    assert found is None
    assert said in reason


def test_states_of_unknown_size_are_named() -> None:
    found, reason = cache(from_json(LLAMA | {"layer_types": ["full_attention", "linear_attention"]}), None)
    assert found == (per(1),)
    assert "1 recurrent layers" in reason


def gguf_values(family: str, **own: object) -> dict[str, object]:
    usual = {"block_count": 4, "attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": 8}
    special = {name.replace("__", "."): value for name, value in own.items()}
    return {"general.architecture": family, **{f"{family}.{name}": value for name, value in {**usual, **special}.items()}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (gguf_values("llama", attention__sliding_window=512), (per(4),)),
        (gguf_values("gpt-oss", attention__sliding_window=512), (per(2, 512), per(2))),
        (
            gguf_values("new", attention__sliding_window=512, attention__sliding_window_pattern=[True, True, True, False]),
            (per(3, 512), per(1)),
        ),
        (
            gguf_values("deepseek2", attention__kv_lora_rank=512, rope__dimension_count=64),
            (CacheLayers(layers=4, token_bytes=4 * 576 * 2),),
        ),
        (
            gguf_values("qwen35", ssm__inner_size=64, ssm__state_size=16, nextn_predict_layers=0),
            (per(1), CacheLayers(layers=3, token_bytes=3 * 64 * 16 * 4, window=1)),
        ),
    ],
)
def test_by_the_keys_of_a_gguf_file(values: dict[str, object], expected: tuple[CacheLayers, ...]) -> None:
    assert cache(from_gguf(values), None) == (expected, "")


def test_layers_without_attention_in_a_gguf_file() -> None:
    values = gguf_values("lfm2", attention__head_count_kv=[0, 2, 0, 2])
    assert cache(from_gguf(values), None) == ((per(2),), "without the states of recurrent layers")
    assert cache(from_gguf(gguf_values("new", attention__sliding_window=512)), None)[0] is None
    assert cache(from_gguf(gguf_values("gemma4", attention__key_length_swa=256)), None)[0] is None
