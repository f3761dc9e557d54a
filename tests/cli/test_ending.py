"""How a run ends: nothing that was measured is lost, nothing that went wrong is kept quiet, and a key goes to nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import clock
from harness.errors import EngineError, StoreError
from harness.measure.sanity import QUESTIONS
from harness.store import columns, folder
from tests.paced_server import paced
from tests.store.sample_run import trial

BENCH = ("bench", "--pp", "64", "--tg", "64", "--concurrency", "1", "--requests", "20", "--runs", "2", "--profile", "quick")


def start(cwd: Path, *words: str, before: str = "", **env: str) -> subprocess.Popen[str]:
    command = f"{before} exec {sys.executable} -m harness {' '.join(words)}"
    return subprocess.Popen(
        ["bash", "-c", command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
    )


def until(ready: object, limit_s: float = 30.0) -> None:
    began = clock.now()
    while not ready() and clock.since(began) < limit_s:  # type: ignore[operator]
        clock.sleep(0.05)


def test_a_closed_terminal_does_not_end_what_runs_under_nohup(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=1) as server:
        child = start(tmp_path, *BENCH, "--url", server.url, before="trap '' HUP;")
        until(lambda: len(server.truth()) > 5 + len(QUESTIONS))
        child.send_signal(signal.SIGHUP)
        out, err = child.communicate(timeout=60)
    assert child.returncode in (0, 6), out + err


def test_what_was_sent_of_an_unfinished_trial_is_kept(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=20) as server:
        child = start(tmp_path, *BENCH, "--url", server.url)
        until(lambda: len(server.truth()) > 7 + len(QUESTIONS))  # two probes, up to three canaries, then the trial
        clock.sleep(0.5)  # into the next request, which takes 1.3 s
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, out + err
    (path,) = tmp_path.glob("results/[!.]*/*")
    assert folder.read(path).result.state == "interrupted"
    (unfinished,) = (path / "logs").glob("unfinished-*.jsonl")
    lines = unfinished.read_text().splitlines()
    assert len(lines) >= 3
    assert '"error":"interrupted"' in lines[-1]


def test_a_key_for_another_server_is_not_sent(tmp_path: Path) -> None:
    words = ("--pp", "64", "--tg", "4", "--concurrency", "1", "--requests", "2", "--runs", "1", "--profile", "quick")
    with paced(ttft_ms=5, tpot_ms=1, api_key="another") as server:
        child = start(tmp_path, "bench", *words, "--url", server.url, HARNESS_API_KEY="another")
        out, err = child.communicate(timeout=60)
    assert child.returncode == EngineError.exit_code, out + err
    assert "HTTP 401" in err


def test_a_server_that_dies_before_the_first_trial_says_why(tmp_path: Path) -> None:
    """It is ready, and ends at the requests that measure its chat template."""
    script = tmp_path / "vllm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, threading\n"
        "from harness.engines.paced import __main__ as program\n"
        "from harness.engines.paced.server import Server\n"
        "answer = Server._answer\n"
        "def once(self, connection, method, path, data, received_ns):\n"
        "    if path == '/tokenize':\n"
        "        print('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB', flush=True)\n"
        "        os._exit(1)\n"
        "    answer(self, connection, method, path, data, received_ns)\n"
        "Server._answer = once\n"
        "program.main(['--port', sys.argv[sys.argv.index('--port') + 1], '--ttft-ms', '5'])\n"
    )
    script.chmod(0o755)
    recipe = tmp_path / "x.yaml"
    recipe.write_text(
        "model: paced\nruntime: vllm\ndefaults: {port: 18923}\ncommand: vllm serve {model} --port {port} --device cpu\n"
    )
    child = start(tmp_path, "bench", "x.yaml", "--profile", "quick", PATH=f"{tmp_path}:{os.environ['PATH']}")
    out, err = child.communicate(timeout=90)
    assert child.returncode == EngineError.exit_code, out + err
    assert "CUDA out of memory" in err
    assert "does not answer" not in err


def test_tables_that_cannot_be_made_are_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        columns.write(tmp_path, tmp_path / "none", [trial(0)])
