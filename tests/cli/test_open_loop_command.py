"""Rates on the whole command, against the paced server: what is due, ramps that end, traces, and words that are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import RecipeError, UsageError
from harness.store import folder
from harness.store.folder import Stored
from tests.paced_server import paced


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def stored(cwd: Path) -> Stored:
    (path,) = cwd.glob("results/[!.]*/*")
    return folder.read(path)


RECIPE = """
recipe_version: "2"
model: m
runtime: openai
harness:
  profiles:
    talk:
      pp: [60]
      tg: [8]
      turns: 5
      rate: [2, 20, 40]
      arrivals: constant
      seconds: 2
      runs: 1
      max_runs: 1
      target: null
      slo: {ttft_ms: 300}
      until_slo: true
"""


def test_a_ramp_ends_where_the_slo_breaks(tmp_path: Path) -> None:
    """One conversation at a time: at 20 turns a second each has to wait for the turn before, which takes 120 ms."""
    (tmp_path / "x.yaml").write_text(RECIPE)
    with paced(ttft_ms=80, tpot_ms=5) as server:
        said = harness(tmp_path, "bench", "x.yaml", "--url", server.url, "--profile", "talk")
    result = stored(tmp_path).result
    assert [cell.cell.rate for cell in result.cells] == [2, 20], said.stderr
    slow, fast = (cell.figures["slo_share"].value for cell in result.cells)
    assert slow == 1
    assert fast is not None
    assert fast < 0.99
    assert [(skipped.cell.rate, skipped.reason) for skipped in result.skipped] == [(40, "the SLO was already broken at 20/s")]
    assert "is held up to 2 requests/s" in " ".join(said.stdout.split())
    check = harness(tmp_path, "verify", str(next(tmp_path.glob("results/[!.]*/*"))))
    assert check.returncode == 0, check.stderr


def test_a_trace_is_replayed(tmp_path: Path) -> None:
    rows = [{"offset_s": 0.1 * k, "prompt_tokens": 60 + k, "output_tokens": 4 + k} for k in range(12)]
    (tmp_path / "trace.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    with paced(ttft_ms=20, tpot_ms=2) as server:
        words = ("--profile", "trace", "--trace", "trace.jsonl", "--runs", "2")
        said = harness(tmp_path, "bench", "--url", server.url, *words)
    found = stored(tmp_path)
    (cell,) = found.result.cells
    assert (cell.sent, cell.valid) == (24, 24), said.stderr
    for records in found.records.values():
        measured = [record for record in records if record.phase == "measure"]
        assert [record.asked_tokens for record in measured] == [4 + k for k in range(12)]
        assert [record.usage.prompt_tokens for record in measured if record.usage] == [60 + k for k in range(12)]
        due = [record.t_sched_ns - measured[0].t_sched_ns for record in measured]
        assert due == [k * 100_000_000 for k in range(12)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--rate", "0"), UsageError.exit_code, "--rate: needs numbers above 0"),
        (("--rate", "fast"), UsageError.exit_code, "--rate fast: not a list of numbers"),
        (("--rate", "1", "--slo", "mlperf-gpt-oss-20b"), RecipeError.exit_code, "did you mean 'mlperf-gpt-oss-120b'?"),
        (("--profile", "trace"), RecipeError.exit_code, "--trace FILE"),
        (("--trace", "none.jsonl"), UsageError.exit_code, "--trace none.jsonl: No such file"),
        (("--trace", "bad.jsonl"), UsageError.exit_code, "bad.jsonl:2: Object missing required field `output_tokens`"),
    ],
)
def test_words_that_are_refused(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    row = '{"offset_s": 1, "prompt_tokens": 60, "output_tokens": 4}'
    (tmp_path / "bad.jsonl").write_text(f'{row}\n{{"offset_s": 1, "prompt_tokens": 60}}\n')
    found = harness(tmp_path, "plan", "--url", "http://127.0.0.1:9", *words)
    assert found.returncode == code, found.stderr
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 2
