"""`harness verify` on what follows from a result's recipe: the model's weights, as its metadata tells them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from harness.errors import InvalidResult, VerifyError
from harness.schema.weights import METADATA
from harness.store import folder
from tests.paced_server import paced

RECIPE = """\
recipe_version: "2"
name: told
model: m
runtime: openai
metadata: {model_params: 1B, model_dtype: bf16, num_layers: 2, num_kv_heads: 2, head_dim: 64, kv_dtype: fp8}
"""


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_weights_that_were_changed_are_found(tmp_path: Path) -> None:
    (tmp_path / "told.yaml").write_text(RECIPE)
    grid = ("--profile", "quick", "--pp", "32", "--tg", "8", "--concurrency", "1", "--requests", "2", "--runs", "2")
    with paced(ttft_ms=5, tpot_ms=2) as server:
        done = harness(tmp_path, "bench", "told.yaml", "--url", server.url, *grid)
    assert done.returncode in (0, InvalidResult.exit_code), "a busy machine may send late; that is another check's matter"
    assert harness(tmp_path, "verify").returncode == 0
    (path,) = tmp_path.glob("results/told/*")
    result = folder.read_result(path)
    weights = result.weights
    assert weights is not None
    assert (weights.source, weights.memory_bytes) == (METADATA, 2_000_000_000)
    replace = msgspec.structs.replace
    smaller = replace(weights, memory_bytes=10**9, step_bytes=10**9)
    for changed, said in (
        (smaller, "weights: they are not what the recipe's metadata says"),
        (replace(weights, source="safetensors", memory_bytes=1), "weights: the parts do not add up to memory_bytes"),
    ):
        _store(path, replace(result, weights=changed))
        done = harness(tmp_path, "verify")
        assert (done.returncode, said in done.stderr) == (VerifyError.exit_code, True), done.stderr


def _store(path: Path, result: msgspec.Struct) -> None:
    (path / "result.json").write_bytes(msgspec.json.encode(result))
