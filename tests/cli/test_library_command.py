"""`harness recipes import | registry | export | list` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.library.repositories import MANIFEST, recipe, repository


def harness(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "HOME": str(home),
        **{f"XDG_{what}_HOME": str(home / what) for what in ("CONFIG", "DATA", "CACHE")},
        **more,
    }
    argv = [sys.executable, "-m", "harness", "recipes", *words]
    return subprocess.run(argv, cwd=home, env=env, capture_output=True, text=True, check=False)


def test_from_a_repository_to_a_run_by_name(tmp_path: Path) -> None:
    address = repository(
        tmp_path / "repo",
        {
            ".sparkrun/registry.yaml": MANIFEST,
            "good/one.yaml": recipe("one"),
            "odd/deeper/one.yaml": recipe("two"),
            "bad.yaml": "x: 1\n",
        },
    )
    added = harness(tmp_path, "registry", "add", address)
    assert added.stdout.splitlines()[0].startswith(f"@main-ones: 1 recipe of {address} at ")
    assert harness(tmp_path, "registry", "list").stdout.startswith(f"@hidden-ones  {address}")
    listed = json.loads(harness(tmp_path, "list", "--json").stdout)
    assert [row["name"] for row in listed if row["name"].startswith("@")] == ["@main-ones/one"]
    every = json.loads(harness(tmp_path, "list", "--all", "--json").stdout)
    assert {row["name"] for row in every if row["name"].startswith("@")} == {"@main-ones/one", "@hidden-ones/one"}
    assert [row["name"] for row in json.loads(harness(tmp_path, "list", "@hidden-ones", "--json").stdout)] == [
        "@hidden-ones/one"
    ]
    assert harness(tmp_path, "show", "@hidden-ones/one").stdout == recipe("two")
    which = harness(tmp_path, "show", "one")
    assert (which.returncode, "'one' may be @hidden-ones/one or @main-ones/one" in which.stderr) == (3, True)
    imported = harness(tmp_path, "import", address)
    assert imported.returncode == 0
    assert imported.stdout.splitlines()[:2] == [
        "refused    bad.yaml: 1: the recipe has no model",
        "imported   good/one.yaml: good-one",
    ]
    assert harness(tmp_path, "import", address, "--force").stdout.splitlines()[1] == "unchanged  good/one.yaml: good-one"
    (tmp_path / "one.yaml").write_text(recipe("one"))
    harness(tmp_path, "import", "one.yaml")
    assert harness(tmp_path, "show", "one").stdout == recipe("one"), "one's own come first"
    assert harness(tmp_path, "registry", "remove", "main-ones").stdout == "@main-ones was removed\n"
    assert harness(tmp_path, "registry", "update").stdout.startswith("@hidden-ones: 1 recipe of")


def test_refusals(tmp_path: Path) -> None:
    for words, more in (
        (("import", "https://example.org/x.git", "--offline"), {}),
        (("import", "git@example.org:a/b"), {"HF_HUB_OFFLINE": "1"}),
        (("registry", "add", "https://example.org/x.git"), {"HF_HUB_OFFLINE": "true"}),
    ):
        done = harness(tmp_path, *words, **more)
        assert (done.returncode, "it is on the network" in done.stderr) == (2, True)
    (tmp_path / "x.yaml").write_text("no: recipe\n")
    nothing = harness(tmp_path, "import", "x.yaml")
    assert (nothing.returncode, "nothing was imported" in nothing.stderr) == (3, True)
    assert harness(tmp_path, "list", "@nobody").returncode == 2
    assert not (tmp_path / "CONFIG").exists()


def test_import_under_another_name_and_export_again(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("recipe_version: '1'\nsolo_only: true\n" + recipe("x"))
    assert harness(tmp_path, "import", "x.yaml", "--as", "mine").returncode == 0
    exported = harness(tmp_path, "export", "mine", "--sparkrun").stdout
    assert "recipe_version: '2'\n" in exported
    assert "max_nodes: 1\n" in exported
    (tmp_path / "y.yaml").write_text(exported)
    assert harness(tmp_path, "show", "y.yaml", "--command").stdout == harness(tmp_path, "show", "mine", "--command").stdout


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/aa.yaml").write_text("env: [\n")
    (tmp_path / "recipes/bb.yaml").write_text("model: org/m\nruntime: paced\ncommand: serve {model}\n")
    listed = harness(tmp_path, "list", "--json")
    assert "bb" in [row["name"] for row in json.loads(listed.stdout)]
    assert (listed.returncode, listed.stderr.startswith("Not a recipe: recipes/aa.yaml:2: not valid YAML")) == (0, True)
    linted = harness(tmp_path, "lint", "aa", "bb")
    first, second, *_ = linted.stdout.splitlines()
    assert first.startswith("error: recipes/aa.yaml:2: not valid YAML")
    assert second.startswith("recipes/bb.yaml:")
    assert (linted.returncode, linted.stderr.startswith("harness: 3 errors in 2 recipes\n")) == (3, True)
    alone = harness(tmp_path, "lint", "aa")
    assert (alone.returncode, alone.stderr.startswith("harness: recipes/aa.yaml:2: not valid YAML")) == (3, True)


def test_names_of_others_steer_no_terminal(tmp_path: Path) -> None:
    name = "a\x1b[2J\nb.yaml"
    address = repository(tmp_path / "repo", {name: recipe("a"), "c.yaml": recipe("c")})
    said = harness(tmp_path, "import", address).stdout + harness(tmp_path, "registry", "add", address).stdout
    assert "\x1b" not in said
    assert said.count("a\\x1b[2J\\nb.yaml: its name cannot be typed\n") == 2
