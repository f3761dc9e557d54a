"""From a recipe and what lies on the machine to a verdict."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness import fits
from harness.hosts import nodes as look
from harness.recipe.cells import GridOverrides
from harness.recipe.load import loads
from harness.recipe.resolve import resolve
from harness.schema.machine import Machine
from harness.schema.memory import FITS, MISFIT, UNKNOWN, Fit, Room
from harness.schema.node import Node
from tests.doctor.patients import machine
from tests.engines.test_topology import spark
from tests.recipe.plans import MACHINE
from tests.weights.model_files import LLAMA, dense, folder

RECIPE = """
recipe_version: "2"
name: mine
model: org/model
runtime: vllm
container: org/image:2026-01-01
max_nodes: 1
metadata: {model_params: 30B, model_dtype: bfloat16, num_layers: 10, num_kv_heads: 2, head_dim: 64, kv_dtype: bf16, model_max_len: 4096}
command: |
  vllm serve {model} --gpu-memory-utilization 0.8
"""


def found(
    text: str = RECIPE, of: Machine | None = None, *, url: str | None = None, streams: int = 4, **overrides: str
) -> Fit | None:
    recipe, here = loads(text, "mine.yaml"), of or machine()
    grid = GridOverrides(pp=(512,), tg=(128,), concurrency=(streams,))
    plan = resolve(recipe, here, overrides=overrides, profile=None, grid=grid, seed=0, url=url)
    return fits.of_plan(plan, recipe, here)


def verdict(text: str = RECIPE, of: Machine | None = None, *, streams: int = 4, **overrides: str) -> Fit:
    made = found(text, of, streams=streams, **overrides)
    assert made is not None
    return made


def hub(tmp_path: Path, name: str) -> Path:
    """An empty snapshot in the hub's cache."""
    path = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    (path / "refs").mkdir(parents=True)
    (path / "refs/main").write_text("abc")
    (path / "snapshots/abc").mkdir(parents=True)
    return path / "snapshots/abc"


def test_by_the_metadata() -> None:
    made = verdict()
    assert made.verdict == FITS
    assert made.weights_bytes == 60_000_000_000
    assert made.cache_bytes == 4096 * 2 * 10 * 2 * 64 * 2
    assert made.text.endswith("By the recipe's metadata.")


def test_files_go_before_the_metadata(tmp_path: Path) -> None:
    folder(hub(tmp_path, "org/model"), dense())
    made = verdict(of=machine(hf_home=str(tmp_path)))
    assert (made.weights_bytes, made.text.endswith("By the headers of its files.")) == (2630, True)
    broken = hub(tmp_path / "broken", "org/model")
    (broken / "model.safetensors").write_bytes(b"")
    made = verdict(of=machine(hf_home=str(tmp_path / "broken")))
    assert (made.verdict, "has only 0 bytes" in made.text) == (UNKNOWN, True)


def test_weights_that_are_quantised_on_loading_go_by_the_metadata(tmp_path: Path) -> None:
    folder(hub(tmp_path, "org/model"), dense())
    said = RECIPE.replace("model_dtype: bfloat16", "model_dtype: fp8")
    on_load = verdict(said.replace("--gpu", "--quantization fp8 --gpu"), machine(hf_home=str(tmp_path)))
    assert on_load.weights_bytes == 30_000_000_000
    stored = verdict(said.replace("--gpu", "--quantization gptq --gpu"), machine(hf_home=str(tmp_path)))
    assert stored.weights_bytes == 2630


def test_another_model_has_another_size() -> None:
    made = verdict(model="org/other")
    assert (made.verdict, made.weights_bytes) == (UNKNOWN, None)
    assert "org/other: it is not on this machine, and no metadata tells its size" in made.text


def test_the_servers_own_cache_type_counts() -> None:
    half = verdict(RECIPE.replace("--gpu", "--kv-cache-dtype fp8 --gpu"))
    assert half.cache_bytes == (verdict().cache_bytes or 0) / 2


def test_keys_and_values_of_two_types() -> None:
    """llama.cpp sets them apart, and leaves at f16 the one that is not said: 34 bytes for 32 elements (q8_0), 18 (q4_0), 64 (f16)."""
    llama = RECIPE.replace("vllm serve {model} --gpu-memory-utilization 0.8", "llama-server -m {model} -c 4096 FLAGS")
    llama = llama.replace("runtime: vllm", "runtime: llama-cpp")
    one = 4096 * 10 * 2 * 64 / 32
    for flags, of_both in (
        ("", 64 + 64),
        ("-ctk q8_0", 34 + 64),
        ("--cache-type-v q4_0", 64 + 18),
        ("-ctk q8_0 -ctv q4_0", 34 + 18),
        ("-ctk q8_0 -ctv q8_0", 34 + 34),
    ):
        assert verdict(llama.replace("FLAGS", flags)).cache_bytes == one * of_both, flags
    unknown = verdict(llama.replace("FLAGS", "-ctv q3_9"))
    assert (unknown.verdict, "'f16/q3_9' are not known" in unknown.text) == (UNKNOWN, True)
    mla = llama.replace("num_kv_heads: 2, head_dim: 64", "kv_lora_rank: 512, qk_rope_head_dim: 64")
    assert verdict(mla.replace("FLAGS", "-ctk q8_0")).cache_bytes == 4096 * 10 * 576 * 34 / 32


def test_a_draft_model(tmp_path: Path) -> None:
    speculative = RECIPE.replace(
        "--gpu", """--speculative-config '{"model": "org/draft", "method": "eagle", "num_speculative_tokens": 3}' --gpu"""
    )
    untold = verdict(speculative)
    assert (untold.draft_bytes, "without org/draft, whose size is not known" in untold.text) == (None, True)
    told = speculative.replace("{model_params", "{draft_model: org/draft, draft_gb: 0.5, model_params")
    assert verdict(told).draft_bytes == 500_000_000
    assert verdict(told.replace("draft_model: org/draft", "draft_model: org/another")).draft_bytes is None
    folder(hub(tmp_path, "org/draft"), dense(1), LLAMA | {"num_hidden_layers": 1})
    made = verdict(told, machine(hf_home=str(tmp_path)))
    assert made.draft_bytes == 2320
    assert made.cache_bytes == (verdict().cache_bytes or 0) + 4096 * 2 * 2 * 8 * 2
    mtp = speculative.replace('"model": "org/draft", "method": "eagle"', '"method": "mtp"')
    assert verdict(mtp).text == verdict().text


def test_nothing_is_started_or_has_no_model() -> None:
    assert found(url="http://127.0.0.1:9") is None
    assert found(RECIPE.replace("vllm serve {model}", "paced").replace("max_nodes: 1", "harness: {engine: paced}")) is None


def test_hostile_metadata_blocks_nothing() -> None:
    for value in ("1e99", "-5B", "[1, 2]", "{a: b}", "true", "9999999999T", ".nan", ".inf", "''", "0.0000001"):
        for key in ("model_params", "active_params", "model_vram", "num_layers", "head_dim", "model_max_len", "kv_dtype"):
            said = RECIPE.replace("{model_params: 30B,", "{model_params: 30B, ").replace(f"{key}: ", f"x_{key}: ")
            made = verdict(said.replace("metadata: {", f"metadata: {{{key}: {value}, "))
            assert made.verdict in (FITS, MISFIT, UNKNOWN)
            assert not made.certain


def test_the_cells_that_will_be_measured_are_counted() -> None:
    """94 of 104 GB are weights, 512,000 bytes a token the cache."""
    large = RECIPE.replace("30B", "47B").replace("num_layers: 10", "num_layers: 1000")
    assert verdict(large).holds_tokens == (int(0.8 * 121 * 2**30) - 94_000_000_000) // 512_000
    assert (verdict(large).verdict, "at once" in verdict(large).text) == (FITS, False)
    many = verdict(large, streams=64)
    assert (many.verdict, "the cells ask for 40,960 at once: requests will wait" in many.text) == (FITS, True)


def spread(*nodes: Node, text: str = RECIPE, **overrides: str) -> Fit:
    recipe = loads(text.replace("max_nodes: 1", "max_nodes: 4").replace("--gpu", f"-tp {len(nodes)} --gpu"), "mine.yaml")
    tied, grid = look.tie(nodes, {}), GridOverrides(pp=(512,), tg=(128,), concurrency=(4,))
    plan = resolve(recipe, MACHINE, overrides=overrides, profile=None, grid=grid, seed=0, url=None, nodes=tied)
    made = fits.of_plan(plan, recipe, MACHINE)
    assert made is not None
    return made


def test_over_several_machines_each_has_its_part() -> None:
    """Held against the one with the least memory; this one, which has neither GPU nor model, only asks."""
    small = msgspec.structs.replace(spark(2), memory_bytes=100 << 30)
    two = spread(spark(1), small)
    assert (two.verdict, two.weights_bytes, two.cache_bytes) == (FITS, 30_000_000_000, (verdict().cache_bytes or 0) // 2)
    assert two.room == Room(total_bytes=100 << 30, most_bytes=90 << 30, gpu=True)
    assert "on each of 2 machines of 80.0 GiB" in two.text
    assert spread(spark(1), small, spark(3), spark(4)).weights_bytes == 15_000_000_000
    large = spread(spark(1), small, text=RECIPE.replace("30B", "119B"))
    assert (large.verdict, large.certain) == (MISFIT, False)
    assert large.setting.startswith("--tensor-parallel-size 4 over as many machines, or ")
    ray = RECIPE.replace("--gpu", "--distributed-executor-backend ray --gpu")
    assert spread(spark(1), small, text=ray) == two, "in a shell's words"
    alone = spread(msgspec.structs.replace(spark(1), memory_bytes=50 << 30))
    assert (alone.verdict, alone.weights_bytes) == (MISFIT, 60_000_000_000), "a far one is held against itself"


def test_machines_with_cpus_have_a_memory_each() -> None:
    env = 'env: {VLLM_CPU_KVCACHE_SPACE: "4"}\ncommand'
    text = RECIPE.replace("command", env).replace("container: org/image:2026-01-01\n", "").replace("30B", "60B")
    two = spread(spark(1), spark(2), text=text)
    assert (two.verdict, two.weights_bytes) == (FITS, 60_000_000_000)


def test_the_memory_of_another_kind_of_gpu_is_not_known() -> None:
    other = msgspec.structs.replace(spark(2), gpus=("NVIDIA RTX PRO 6000",))
    made = spread(spark(1), other)
    assert (made.verdict, made.text) == (UNKNOWN, "how much memory the GPU of spark-2 has is not known")
