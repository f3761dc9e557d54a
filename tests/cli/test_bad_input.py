"""Bad input, as a person meets it: two lines that say what is wrong and what to do, and the documented exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EngineError, InvalidResult, MachineError, RecipeError, StoreError, UsageError
from tests.paced_server import paced

RECIPE = """\
recipe_version: "2"
name: mine
model: {model}
runtime: llama-cpp
defaults:
  host: 127.0.0.1
  port: {port}
command: |
  {command}
"""


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """It ended with `code`, and its last two lines are the message (holding `parts`) and the hint."""
    assert done.returncode == code, done.stdout + done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert message.startswith("harness: ")
    assert hint.startswith("Hint: ")
    for part in parts:
        assert part in message + hint, done.stderr
    assert "Traceback" not in done.stderr


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def engine(folder: Path, *, command: str, port: int = 0) -> str:
    """A recipe whose engine is any program at all."""
    if port == 0:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    return write(folder, RECIPE.format(model="some-model", port=port, command=command))


def test_an_error_is_two_lines_whatever_it_quotes() -> None:
    assert str(RecipeError("a\nb\x1b", "c\r\u2028é")) == "a\\nb\\x1b\nHint: c\\r\\u2028é"


def test_unknown_recipe(tmp_path: Path) -> None:
    fails(harness("bench", "smollm2-135m-cpuu", cwd=tmp_path), RecipeError.exit_code, "smollm2-135m-cpuu", "smollm2-135m-cpu'")


def test_yaml_syntax_error(tmp_path: Path) -> None:
    path = write(tmp_path, 'recipe_version: "2"\nmodel: [unclosed\n')
    fails(harness("plan", path, cwd=tmp_path), RecipeError.exit_code, "mine.yaml:")


def test_wrong_type(tmp_path: Path) -> None:
    path = write(tmp_path, 'recipe_version: "2"\nmodel: m\nruntime: vllm\ncommand: vllm serve m\ndefaults: 7\n')
    fails(harness("plan", path, cwd=tmp_path), RecipeError.exit_code, "mine.yaml:5:", "defaults")


def test_unknown_key(tmp_path: Path) -> None:
    path = write(tmp_path, 'recipe_version: "2"\nmodel: m\nruntime: vllm\ncomand: vllm serve m\n')
    fails(harness("plan", path, cwd=tmp_path), RecipeError.exit_code, "mine.yaml:4:", "comand", "'command'")


def test_unknown_override(tmp_path: Path) -> None:
    done = harness("plan", "smollm2-135m-cpu", "--set", "ctx_sise=1", cwd=tmp_path)
    fails(done, RecipeError.exit_code, "ctx_sise", "ctx_size")


def test_missing_placeholder(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'recipe_version: "2"\nmodel: m\nruntime: vllm\ncommand: |\n  vllm serve {model}\n  --max-model-len {max_len}\n',
    )
    fails(harness("plan", path, cwd=tmp_path), RecipeError.exit_code, "mine.yaml:6:", "max_len")


def test_bad_list(tmp_path: Path) -> None:
    fails(harness("plan", "smollm2-135m-cpu", "--concurrency", "1,x", cwd=tmp_path), UsageError.exit_code, "--concurrency 1,x")


def test_no_gpu(tmp_path: Path) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has an NVIDIA driver")
    done = harness("bench", "mistral-small-4-nvfp4-eagle", cwd=tmp_path)
    fails(done, MachineError.exit_code, "mistral-small-4-nvfp4-eagle")
    assert len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "results").exists()


def test_port_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = harness("bench", "smollm2-135m-cpu", "--set", f"port={port}", cwd=tmp_path)
    fails(done, MachineError.exit_code, str(port))


def test_engine_that_exits_at_once(tmp_path: Path) -> None:
    path = engine(tmp_path, command='''bash -c "echo 'error: the weights are made of cheese' >&2; echo bye; exit 3"''')
    fails(harness("bench", path, cwd=tmp_path), EngineError.exit_code, "the weights are made of cheese", "exit code 3")


def test_engine_that_never_gets_ready(tmp_path: Path) -> None:
    path = engine(tmp_path, command="sleep 60")
    done = harness("bench", path, "--set", "ready_timeout_s=1", cwd=tmp_path)
    fails(done, EngineError.exit_code, "not ready")


def test_server_that_answers_500(tmp_path: Path) -> None:
    with paced(behave="http:500") as server:
        done = harness("bench", "--url", server.url, "--pp", "32", "--tg", "8", "--profile", "quick", cwd=tmp_path)
    fails(done, EngineError.exit_code, "500")


def test_model_that_stops_early(tmp_path: Path) -> None:
    """Not an error of the run: the cells are invalid, say why, and the exit code says so."""
    with paced(behave="stop_early:4", ttft_ms=2, tpot_ms=1) as server:
        words = ("--pp", "32", "--tg", "8", "--concurrency", "1", "--requests", "3", "--runs", "2", "--profile", "quick")
        done = harness("bench", "--url", server.url, *words, cwd=tmp_path)
    assert done.returncode == InvalidResult.exit_code, done.stderr
    assert "invalid" in done.stdout
    assert "wrong_length" in done.stdout.replace("-", "_").replace(" ", "_")


def test_results_folder_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = harness("bench", "smollm2-135m-cpu", "--results", str(tmp_path / "file"), cwd=tmp_path)
    fails(done, StoreError.exit_code, str(tmp_path / "file"))


def test_unreachable_url(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = harness("bench", "--url", f"http://127.0.0.1:{port}", cwd=tmp_path)
    fails(done, EngineError.exit_code, str(port))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_folder_read_only(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    done = harness("bench", "smollm2-135m-cpu", "--results", str(tmp_path / "closed"), cwd=tmp_path)
    fails(done, StoreError.exit_code, "closed")
