"""Real vLLM and SGLang, launched from the shipped recipes by the command itself, measured, and torn down (`make test-engines`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.schema.request import Record
from harness.schema.result import CellResult
from harness.schema.run import Trial
from harness.store import folder
from harness.store.folder import Stored

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.engines


def bench(recipe: str, results: Path) -> Stored:
    """The result of `harness bench recipe`, with what every engine must show already checked."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "bench", recipe, "--results", str(results), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    (path,) = (results / recipe).iterdir()
    stored = folder.read(path)
    assert msgspec.json.decode(done.stdout)["id"] == stored.result.id
    assert stored.result.state == "complete"
    assert all(cell.verdict == "valid" for cell in stored.result.cells), stored.result.cells
    assert not left_behind(), "processes of the engine are left"
    assert not listening(stored.plan.port), f"port {stored.plan.port} is still taken"
    for trial in stored.result.trials:
        assert_counters_agree(trial, stored.records[trial.index])
    verified = subprocess.run(
        [sys.executable, "-m", "harness", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr
    return stored


def left_behind() -> list[str]:
    """Command lines of processes that run from an engine's folder or call themselves one of its workers.

    A zombie has ended: it waits for the init process to read its exit code.
    """
    found = []
    for process in psutil.process_iter(["pid", "name", "cmdline", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        words = " ".join(process.info["cmdline"] or [])
        if (
            "/bin/vllm serve" in words
            or "sglang.launch_server" in words
            or "sglang::" in words
            or (process.info["name"] or "").startswith(("VLLM::", "sglang::"))
        ):
            found.append(f"{process.info['pid']} {process.info['name']} {words[:120]}")
    return found


def listening(port: int) -> bool:
    listeners = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    return any(address.port == port for address in listeners)


def delta(trial: Trial, name: str) -> float:
    return trial.counters_after[name] - trial.counters_before[name]


def assert_counters_agree(trial: Trial, records: list[Record]) -> None:
    """What the engine counted over the trial is what its answers said, to the token."""
    assert delta(trial, "generation_tokens") == sum(r.usage.completion_tokens or 0 for r in records if r.usage)
    if "requests_finished" in trial.counters_after:
        assert delta(trial, "requests_finished") == len(records)


def figure(cell: CellResult, name: str) -> float:
    value = cell.figures[name].value
    assert value is not None, cell.figures[name].reason
    return value


def test_vllm(tmp_path: Path) -> None:
    stored = bench("smollm2-135m-vllm-cpu", tmp_path)
    assert stored.result.engine.name == "vllm"
    assert stored.result.engine.version is not None
    for cell in stored.result.cells:
        assert figure(cell, "decode_tok_s") > 0
        assert figure(cell, "ttft_p50_ms") > 0


def test_vllm_speculation(tmp_path: Path) -> None:
    """With n-gram speculation events carry several tokens; counts stay exact, and L is what the counters say."""
    stored = bench("smollm2-135m-vllm-cpu-ngram", tmp_path)
    several = 0
    for records in stored.records.values():
        for record in records:
            counted = [event.tokens for event in record.events if event.tokens]
            assert record.usage is not None
            assert sum(counted) == record.usage.completion_tokens
            several += sum(tokens > 1 for tokens in counted)
    assert several > 0, "no event carried more than one token: speculation never accepted a draft"
    for cell in stored.result.cells:
        trials = [trial for trial in stored.result.trials if trial.cell == cell.cell.id]
        drafts = sum(delta(trial, "spec_drafts") for trial in trials)
        accepted = sum(delta(trial, "spec_accepted_tokens") for trial in trials)
        assert figure(cell, "acceptance_length") == pytest.approx(1 + accepted / drafts)


def test_sglang(tmp_path: Path) -> None:
    stored = bench("smollm2-135m-sglang-cpu", tmp_path)
    assert stored.result.engine.name == "sglang"
    assert stored.result.engine.version is not None
    for cell in stored.result.cells:
        assert figure(cell, "decode_tok_s") > 0
