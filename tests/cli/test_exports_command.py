"""`harness results export | import | imports`, from a stored result to the board."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import exports
from harness.errors import InvalidResult, StoreError, UsageError
from harness.report.exports.formats import FORMATS
from harness.store.folder import ResultFolder
from tests.report import exported
from tests.report.test_exports import DATA


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `results/` holds one result."""
    home = tmp_path_factory.mktemp("home")
    result, plan, records = exported.everything()
    folder = ResultFolder.create(home / "results", "sample", "model: m\n", plan)
    for trial in result.trials:
        folder.add_trial(trial, records[trial.index], [])
    folder.finish(result)
    return home


@pytest.mark.parametrize("name", ["vllm-bench", "markdown"])
def test_a_result_goes_out_as_from_memory(stored: Path, name: str) -> None:
    made = FORMATS[name](*exported.everything())
    done = harness(stored, "results", "export", "--format", name)
    assert (done.returncode, done.stdout) == (0, made.text)
    assert [line for line in done.stderr.splitlines() if not line.startswith("Left out: ")] == []
    assert len(done.stderr.splitlines()) == len(made.left_out)


def test_a_file_is_written_byte_by_byte(stored: Path, tmp_path: Path) -> None:
    done = harness(stored, "results", "export", "--format", "sparkrun-csv", "--out", str(tmp_path / "new/benchmark.csv"))
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "new/benchmark.csv").read_bytes() == FORMATS["sparkrun-csv"](*exported.everything()).text.encode()


def test_what_is_wrong_is_said(stored: Path, tmp_path: Path) -> None:
    done = harness(stored, "results", "export", "--format", "prometeus")
    assert (done.returncode, "did you mean 'prometheus'?" in done.stderr) == (UsageError.exit_code, True)
    (tmp_path / "no.json").write_text('{"neither": 1}')
    done = harness(tmp_path, "results", "import", "no.json")
    assert (done.returncode, "no.json: neither llama-benchy's JSON" in done.stderr) == (StoreError.exit_code, True)
    assert not (tmp_path / "results/.imports").exists(), "what cannot be read is not kept"


def test_a_result_without_a_cell_that_can_be_told(tmp_path: Path) -> None:
    result, plan, records = exported.result((exported.everything()[0].cells[3].cell, exported.plain()))
    folder = ResultFolder.create(tmp_path / "results", "sample", "model: m\n", plan)
    for trial in result.trials:
        folder.add_trial(trial, records[trial.index], [])
    folder.finish(result)
    done = harness(tmp_path, "results", "export", "--format", "llama-benchy")
    assert (done.returncode, done.stdout) == (InvalidResult.exit_code, "")
    assert "llama-benchy knows no open loop" in done.stderr


def test_the_help_names_every_format() -> None:
    assert all(name in exports.export.__annotations__["format_"] for name in FORMATS)


def test_imported_files_are_on_the_board_until_they_are_changed(tmp_path: Path) -> None:
    files = [str(DATA / name) for name in ("llama-benchy.json", "vllm-completions.json")]
    done = harness(tmp_path, "results", "import", *files, "--hardware", "GB10", "--source", "example.org, a post")
    assert done.returncode == 0, done.stderr
    assert "imported, not verifiable: raw data are missing" in " ".join(done.stdout.split())
    board = json.loads(harness(tmp_path, "board", "--format", "json").stdout)
    rows = [row for row in board["rows"] if any(entry.get("origin") == "imported" for entry in row["entries"].values())]
    assert [(row["model"], row["hardware"], row["nodes"]) for row in rows] == [("paced", "GB10", None)] * 2
    (kept, *_) = (tmp_path / "results/.imports").glob("*[0-9a-f].json")
    kept.write_bytes(kept.read_bytes().replace(b"paced", b"other"))
    board = json.loads(harness(tmp_path, "board", "--format", "json").stdout)
    assert sum(row["model"] == "paced" for row in board["rows"]) == 1
    assert "was changed after it was imported (SHA-256)" in board["notes"][0]
    speeds = " ".join(harness(tmp_path, "board", "--columns", "speed").stdout.split())
    assert "was changed after it was imported (SHA-256)" in speeds
    assert "machines of one's own" not in speeds, "only below costs"
    again = harness(tmp_path, "results", "imports")
    assert again.stdout.splitlines()[0] in done.stdout
    assert "was changed after it was imported" in again.stderr
