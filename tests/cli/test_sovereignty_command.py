"""`harness sovereignty` on the whole command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import StoreError, UsageError
from harness.schema.sovereignty import Assessment
from tests.measure.test_sovereignty import run


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "80", "XDG_CONFIG_HOME": str(cwd), "HOME": str(cwd)}
    argv = [sys.executable, "-m", "harness", "sovereignty", *words]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the result of a run on a GB10 that nothing left."""
    place = tmp_path / "results" / "sample" / "x"
    place.mkdir(parents=True)
    (place / "result.json").write_bytes(msgspec.json.encode(run()))
    return tmp_path


def test_all_in_one_table(folder: Path) -> None:
    done = harness(folder, "--seat", "DE")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.startswith("mistralai/Mistral"))
    assert first.split()[1:] == ["22–92", "21–89", "20", "of", "48", "0–1", "0–4", "0–3"]
    assert any(line.startswith("anthropic/claude-api") for line in lines)
    said = " ".join(done.stdout.split())
    assert "Self-assessed against the EU Cloud Sovereignty Framework" in said
    assert "no authority has awarded anything" in said
    found = msgspec.json.decode(harness(folder, "--seat", "DE", "--json").stdout, type=dict[str, list[Assessment]])
    assert [each.profile for each in found["deepseek/open-platform"]] == ["csf-guidance-2026-06", "csf-1.2.1"]


def test_one_with_its_evidence(folder: Path) -> None:
    said = harness(folder, "latest", "--seat", "de", "--today", "2026-11-25").stdout
    assert "22.1 to 92.2 of 100, self-assessed against CSF v1.2.1" in said
    assert "5.2 where hardware is made: answer 1–2 of 5, SEAL-1\n" in said
    assert "TSMC 3nm (both)”" in said
    assert "--seat (asked, 2026-11-25)" in said
    assert f"result {run().id} (measured, 2026-11-23)" in said
    said = harness(folder, "deepseek").stdout
    assert said.startswith("deepseek/open-platform\n")
    assert "“shall be governed by the laws of the People's Republic of China" in " ".join(said.split())


def test_without_results(tmp_path: Path) -> None:
    assert "\nanthropic/claude-api " in harness(tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("--seat", "Germany"), UsageError.exit_code, "two letters"),
        (("--seat", "EU"), UsageError.exit_code, "two letters"),
        (("google",), UsageError.exit_code, "one of google/gemini-api-paid-tier"),
        (("nobody",), StoreError.exit_code, "results list"),
    ],
)
def test_words_that_lead_nowhere(folder: Path, words: tuple[str, ...], code: int, hint: str) -> None:
    done = harness(folder, *words)
    assert done.returncode == code
    assert hint in done.stderr
