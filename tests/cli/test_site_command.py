"""`harness site` and `harness plot` as typed, on everything published."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest


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
