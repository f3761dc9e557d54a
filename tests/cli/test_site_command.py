"""`harness site` and `harness plot` as typed, on everything published."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.schema.observation import Visit
from harness.store.observations import Journal


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CONFIG_HOME": str(cwd / "config"), "NO_COLOR": "1"}
    return subprocess.run(
        (sys.executable, "-m", "harness", *words), cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


def test_a_site_without_results(tmp_path: Path) -> None:
    done = harness("site", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 pages: site/index.html\n", "")
    sizes = {page.name: page.stat().st_size for page in (tmp_path / "site").glob("*.html")}
    assert set(sizes) == {"index.html", "load.html", "results.html", "facts.html"}
    assert max(sizes.values()) < 2_000_000
    index = (tmp_path / "site/index.html").read_text()
    assert "75.96*" in index  # two machines
    assert "63.1*" in index  # four
    assert str(tmp_path) not in index


def test_pictures(tmp_path: Path) -> None:
    listed = harness("plot", "board", cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["quality", "scaling"]
    done = harness("plot", "board", "scaling", "--out", "scaling.svg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "scaling.svg\n")
    ElementTree.parse(tmp_path / "scaling.svg")
    assert harness("plot", "board", "scaling", cwd=tmp_path).stdout == (tmp_path / "scaling.svg").read_text()


def test_days_of_visits(tmp_path: Path) -> None:
    """The file's name, with or without its end, as `harness observe` was given it."""
    journal = Journal(tmp_path / "results", "week")
    for number in range(3):
        journal.add(Visit(endpoint="local", round=number, when=f"2026-11-25T0{number}:00:00+00:00", sent=8, answered=8))
    listed = harness("plot", "week.yaml", cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "days",
        "availability",
        "ttft",
        "call",
        "decode",
        "cost",
    ]
    done = harness("plot", "week", "days", "--out", "days.svg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "days.svg\n")
    assert len([each for each in ElementTree.parse(tmp_path / "days.svg").iter() if each.get("class") == "well"]) == 3
    assert harness("site", cwd=tmp_path).stdout == "5 pages: site/index.html\n"
    assert "3 visits to 1 server from" in (tmp_path / "site/observations/week.html").read_text()
    assert '<a href="observations/week.html">week</a>' in (tmp_path / "site/index.html").read_text()


def test_a_folder_that_is_not_there_is_no_empty_site(tmp_path: Path) -> None:
    done = harness("site", "--results", "typo", cwd=tmp_path)
    assert (done.returncode, "--results typo: there is no such folder\nHint: " in done.stderr) == (7, True)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("board", "qualty"), "there is no picture 'qualty' of board\nHint: did you mean 'quality'?"),
        (("board", "quality", "--out", "x.pdf"), "--out x.pdf: it is neither .svg nor .png\nHint: name the file so"),
    ],
)
def test_what_is_not_there(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = harness("plot", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_png(tmp_path: Path) -> None:
    done = harness("plot", "board", "quality", "--out", "x.png", cwd=tmp_path)
    if find_spec("vl_convert"):
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    else:
        assert done.returncode == 4
        assert "Hint: pip install vl-convert-python, or write an .svg" in done.stderr
