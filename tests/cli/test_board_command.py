"""`harness board` as it is typed, where nothing was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError


def harness(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "COLUMNS": "80"}
    argv = [sys.executable, "-m", "harness", "board", *words]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_it_fits_a_terminal_and_says_what_is_not_known(tmp_path: Path) -> None:
    done = harness(tmp_path, "--where", "elo>0")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert ["claude-opus-4.7", "@", "anthropic", "1,503*", "0"] in [line.split()[:5] for line in done.stdout.splitlines()]
    assert "not measured here: harness bench --url https://…" in done.stdout
    assert "\nElo of arena.ai, text, overall, 2026-04-29, " in done.stdout
    (row, *_) = json.loads(harness(tmp_path, "--format", "json", "--columns", "elo,seal").stdout)["rows"]
    assert list(row["entries"]) == ["elo", "seal"]
    assert "\nElo of arena.ai" not in harness(tmp_path, "--columns", "terms").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "yaml"), "--format yaml: there is no such format\nHint: choose table, md, csv, json\n"),
        (("--scaling", "--format", "csv"), "--scaling is a table of its own\nHint: leave --format and --columns out\n"),
        (("--columns", "elos"), "there is no column 'elos'\nHint: did you mean 'elo'?\n"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = harness(tmp_path, *words)
    assert (done.returncode, done.stdout) == (UsageError.exit_code, "")
    assert done.stderr.endswith(said)
