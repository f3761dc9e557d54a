"""Copies in the user's folder: verbatim, with their origin, and nothing of the user's overwritten."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from harness.errors import UsageError
from harness.hosts.local import LocalHost
from harness.library import imports, sources
from harness.schema.library import Origin
from tests.library.repositories import git, recipe, repository


def bring(source: str | Path, folder: Path, *, name: str | None = None, force: bool = False) -> list[tuple[str, str, str]]:
    read = sources.read(LocalHost(), str(source), offline=True)
    return [(o.state, o.path, o.name) for o in imports.bring(read, folder, name=name, force=force)]


def test_a_repository_is_copied_verbatim_with_its_origin(tmp_path: Path) -> None:
    text = "# by me\n" + recipe("a") + "\n"
    address = repository(
        tmp_path / "repo", {"x/a.yaml": text, "b.yaml": "no: recipe\n", ".sparkrun/registry.yaml": "registries: []"}
    )
    mine = tmp_path / "mine"
    assert bring(address, mine) == [("refused", "b.yaml", "1: the recipe has no model"), ("imported", "x/a.yaml", "a")]
    assert (mine / "a.yaml").read_text() == text
    origin = msgspec.json.decode((mine / "a.origin.json").read_bytes(), type=Origin)
    assert (origin.source, origin.path, origin.commit) == (address, "x/a.yaml", git(tmp_path / "repo", "rev-parse", "HEAD"))
    assert origin.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert origin.date.endswith("Z")
    assert sorted(path.name for path in mine.iterdir()) == ["a.origin.json", "a.yaml"]


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    one, mine = tmp_path / "one.yaml", tmp_path / "mine"
    one.write_text(recipe("a"))
    assert bring(one, mine) == [("imported", "one.yaml", "one")]
    assert bring(one, mine) == [("unchanged", "one.yaml", "one")]
    one.write_text(recipe("b"))
    ((state, _, why),) = bring(one, mine)
    assert (state, "--force replaces it" in why, (mine / "one.yaml").read_text()) == ("refused", True, recipe("a"))
    assert bring(one, mine, force=True) == [("imported", "one.yaml", "one")]
    assert (mine / "one.yaml").read_text() == recipe("b")


def test_names(tmp_path: Path) -> None:
    """All of a source can be imported: files of one name get their folders' before it, whatever the order."""
    folder, mine = tmp_path / "them", tmp_path / "mine"
    for path in ("x/a.yaml", "y/a.yaml", "y/b.yaml", "y/z/b.yaml", "name: odd one.yaml"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(recipe(path[0]))
    (folder / "y/z/b.yaml").write_text("no: recipe\n")
    taken = [
        ("imported", "name: odd one.yaml", "name-odd-one"),
        ("imported", "x/a.yaml", "x-a"),
        ("imported", "y/a.yaml", "y-a"),
        ("imported", "y/b.yaml", "b"),
        ("refused", "y/z/b.yaml", "1: the recipe has no model"),
    ]
    assert bring(folder, mine) == taken
    assert (mine / "y-a.yaml").read_text() == recipe("y")
    assert {state for state, _, _ in bring(folder, mine)} == {"unchanged", "refused"}
    assert bring(folder / "y/a.yaml", mine, name="../../b c") == [("imported", "a.yaml", "b-c")]
    assert (mine / "b-c.yaml").read_text() == recipe("y")
    with pytest.raises(UsageError, match="has 5 YAML files"):
        bring(folder, mine, name="one")
    (folder / "x-a.yaml").write_text(recipe("z"))
    assert bring(folder, mine, force=True)[2] == (
        "refused",
        "x/a.yaml",
        "another file of this source is called x-a: import it alone, with --as NAME",
    )


def test_a_refusal_says_the_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: m\nenv: [A=1]\n")
    (tmp_path / "worse.yaml").write_bytes(b"model: \xe9\n")
    assert bring(tmp_path, tmp_path / "mine") == [
        ("refused", "bad.yaml", "2: env: expected a mapping, got a list"),
        ("refused", "worse.yaml", "1: not UTF-8 text"),
    ]
    assert not (tmp_path / "mine").exists()
