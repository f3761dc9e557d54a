"""Recipes by name or path, and the built-in profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe import catalog

RECIPE = "model: org/m\ncommand: vllm serve {model}\n"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for folder, stem, name in [
        ("mine", "one", ""),
        ("mine", "two", "A Long Name"),
        ("theirs", "one", ""),
        ("theirs", "three", "three-x"),
    ]:
        path = tmp_path / folder / f"{stem}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECIPE + (f"name: {name}\n" if name else ""))
    (tmp_path / "theirs" / "broken.yml").write_text("a: b: c\n")
    (tmp_path / "theirs" / "notes.txt").write_text("not a recipe")
    return [tmp_path / "absent", tmp_path / "mine", tmp_path / "theirs"]


def test_the_first_folder_wins(folders: list[Path]) -> None:
    assert catalog.find("one", folders) == folders[1] / "one.yaml"
    assert catalog.find("three", folders) == folders[2] / "three.yaml"


def test_a_recipe_is_found_by_the_name_it_gives_itself(folders: list[Path]) -> None:
    assert catalog.find("A Long Name", folders) == folders[1] / "two.yaml"
    assert catalog.find("a-long-name", folders) == folders[1] / "two.yaml"
    assert catalog.find("THREE-X", folders) == folders[2] / "three.yaml"


def test_a_path_is_a_path(folders: list[Path]) -> None:
    path = folders[2] / "one.yaml"
    assert catalog.find(str(path), []) == path
    with pytest.raises(RecipeError) as caught:
        catalog.find(str(folders[2] / "thre.yaml"), folders)
    assert str(caught.value) == f"{folders[2]}/thre.yaml: no such file\nHint: did you mean '{folders[2]}/three.yaml'?"


def test_unknown_names(folders: list[Path]) -> None:
    with pytest.raises(RecipeError) as caught:
        catalog.find("threee", folders)
    assert str(caught.value) == "no recipe is called 'threee'\nHint: did you mean 'three'? List them with: harness recipes list"
    with pytest.raises(RecipeError, match="Hint: list them with: harness recipes list"):
        catalog.find("zzzzzz", folders)


def test_the_list_has_each_name_once(folders: list[Path]) -> None:
    names = ["broken", "one", "three", "two"]
    assert [path.stem for path in catalog.paths(folders)] == names
    assert catalog.paths(folders)[1] == folders[1] / "one.yaml"


def test_built_in_profiles() -> None:
    profiles = catalog.profiles()
    closed = {
        "quick",
        "standard",
        "publish",
        "tg128",
        "tg128-cool",
        "tg128-soaked",
        "spark-arena-v1",
        "spark-arena-v2",
        "architecture",
    }
    assert set(profiles) == closed | {"agentic", "mixed", "ramp", "trace"}
    assert {name for name, profile in profiles.items() if not profile.rate and profile.arrivals != "trace"} == closed
    assert (profiles["quick"].percentile, profiles["standard"].percentile, profiles["publish"].percentile) == (50, 90, 99)
    assert profiles["publish"].min_seconds >= 600
    tg128 = profiles["tg128"]
    assert (tg128.pp, tg128.tg, tg128.concurrency, tg128.depth) == ((2048,), (128,), (1,), (0,))
    assert all(profile.runs >= 5 for name, profile in profiles.items() if name in {"standard", "publish", "tg128"})
    assert all(profile.description for profile in profiles.values())
