"""`harness board` as it is typed: what it shows, what is said of one's own machines, and that of what is refused two lines tell why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.board.costs import UNITS
from harness.errors import UsageError
from tests.board.test_board_costs import EIGHT, ONE, stored


def harness(cwd: Path, *words: str, columns: int = 200) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_CONFIG_HOME": str(cwd), "XDG_DATA_HOME": str(cwd), "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "harness", "board", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def row(cwd: Path, *words: str) -> dict[str, Any]:
    done = harness(cwd, "--format", "json", "--where", "id=sample", *words)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["rows"]
    entries: dict[str, Any] = found["entries"]
    return entries


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    stored(root / "results", ONE, EIGHT)
    return root


def test_costs_and_what_they_rest_on(folder: Path) -> None:
    done = harness(folder, "--columns", "cost", "--where", "id=sample")
    assert done.returncode == 0, done.stderr
    assert "electricity $/M  + idle $/M  + hardware $/M  pays back d  if hosted d" in done.stdout.splitlines()[0]
    assert "0.2872 EUR/kWh (EU, household, 2025-H1), 1.1172 USD/EUR of 2026-10-30, machines last 3 years" in " ".join(
        done.stdout.split()
    )
    assert "EUR/kWh" not in harness(folder, "--columns", "speed").stdout, "only below costs"


def test_words_about_ones_own_machines(folder: Path) -> None:
    bare = row(folder)
    assert all(bare[name]["value"] for name in UNITS)
    said = row(folder, "--country", "de", "--fx", "eur=2", "--years", "1", "--hardware-price", "365", "--seat", "de")
    assert "0.3835 EUR/kWh × 2 USD/EUR + 365 USD / (365 days × 1 years)" in said["usd_mtok_hardware"]["how"]
    assert (bare["parent_seat"].get("value"), said["parent_seat"]["value"]) == (None, "DE")
    given = row(folder, "--price-kwh", "0.5")["usd_mtok_electricity"]
    assert "/ 1000 × 0.5 USD/kWh)" in given["how"]
    assert "0.1902 EUR/kWh" in row(folder, "--business")["usd_mtok_electricity"]["how"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--country", "FR"), "known: BE"),
        (("--country", "XX"), "--country XX: no country"),
        (("--years", "0"), "--years: 0 is no lifetime"),
        (("--price-kwh", "-1"), "--price-kwh: -1 is no amount"),
        (("--hardware-price", "nan"), "--hardware-price: nan is no amount"),
        (("--fx", "EUR"), "--fx EUR: no exchange rate"),
        (("--seat", "Germany"), "two letters"),
        (("--format", "yaml"), "--format yaml: there is no such format\nHint: choose table, md, csv, json\n"),
        (("--scaling", "--format", "csv"), "--scaling is a table of its own\nHint: leave --format and --columns out\n"),
        (("--columns", "elos"), "there is no column 'elos'\nHint: did you mean 'elo'?\n"),
    ],
)
def test_bad_input(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = harness(folder, *words)
    assert done.returncode == UsageError.exit_code
    assert len(done.stderr.splitlines()) == 2
    assert said in done.stderr


def test_it_fits_a_terminal_and_says_what_is_not_known(tmp_path: Path) -> None:
    done = harness(tmp_path, "--where", "elo>0", columns=80)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert ["claude-opus-4.7", "@", "anthropic", "1,503*", "0*"] in [line.split()[:5] for line in done.stdout.splitlines()]
    assert "not measured here: harness bench --url https://…" in done.stdout
    assert "\nElo of arena.ai, text, overall, 2026-04-29, " in done.stdout
    (first, *_) = json.loads(harness(tmp_path, "--format", "json", "--columns", "elo,seal").stdout)["rows"]
    assert list(first["entries"]) == ["elo", "seal"]
    assert "\nElo of arena.ai" not in harness(tmp_path, "--columns", "terms").stdout
