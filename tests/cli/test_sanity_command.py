"""A server that does not talk as a language model does gets no speed figure; its answers are kept. On the whole command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from harness.errors import EngineError, InvalidResult, VerifyError
from harness.measure.sanity import QUESTIONS
from harness.store import folder
from tests.paced_server import paced

GRID = ("--pp", "64", "--tg", "4", "--concurrency", "1", "--requests", "2", "--runs", "1", "--profile", "quick")
RECIPE = 'recipe_version: "2"\nmodel: m\nruntime: openai\nharness:\n  sanity: false\n'
MEASURED = (0, InvalidResult.exit_code)
"""A busy machine may send late; that is another check's matter."""


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_no_speed_of_a_server_that_makes_no_sense(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=1, says="echo") as server:
        done = harness(tmp_path, "bench", "--url", server.url, *GRID)
        asked = len(server.truth())
    assert done.returncode == EngineError.exit_code, done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert "no speed is measured" in message
    assert "repeats what it is asked: 'What is the capital" in message
    assert hint.startswith("Hint: ")
    assert asked == 2 + len(QUESTIONS), "the probes of its template, and the questions"
    (path,) = tmp_path.glob("results/[!.]*/*")
    result = folder.read_result(path)
    assert (result.state, result.trials, result.cells) == ("failed", (), ())
    assert result.sanity is not None
    assert [finding.code for finding in result.sanity.findings] == ["echo"]
    assert [answer.question for answer in result.sanity.answers] == [question.text for question in QUESTIONS]
    assert "(echo)" in harness(tmp_path, "results", "show").stdout.replace("\n", "")
    assert harness(tmp_path, "verify").returncode == 0
    forged = msgspec.structs.replace(result, sanity=msgspec.structs.replace(result.sanity, findings=()))
    (path / "result.json").write_bytes(msgspec.json.encode(forged))
    verified = harness(tmp_path, "verify")
    assert verified.returncode == VerifyError.exit_code
    assert "sanity does not follow from its answers" in verified.stderr


def test_a_recipe_may_say_that_its_model_talks_nonsense(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(RECIPE)
    with paced(ttft_ms=5, tpot_ms=1, says="stuck") as server:
        done = harness(tmp_path, "bench", "x.yaml", "--url", server.url, *GRID)
    assert done.returncode in MEASURED, done.stderr
    assert "measured all the same, as the recipe says" in " ".join(done.stdout.split())


def test_questions_do_not_disturb_what_is_counted(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=1) as server:
        done = harness(tmp_path, "bench", "--url", server.url, *GRID)
    assert done.returncode in MEASURED, done.stderr
    assert "talks as a language model does; 0 of 3 easy questions right" in done.stdout
    (path,) = tmp_path.glob("results/[!.]*/*")
    stored = folder.read(path)
    (trial,) = stored.result.trials
    for name, count in (("requests_finished", 1), ("generation_tokens", 4)):
        assert trial.counters_after[name] - trial.counters_before[name] == count * len(stored.records[0])
    assert stored.result.sanity is not None
    assert stored.result.sanity.moved["requests_finished"] == len(QUESTIONS)
    assert [answer.tokens for answer in stored.result.sanity.answers] == [question.tokens for question in QUESTIONS]
