"""Registries from real repositories: what a manifest offers, renewal, and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError, UsageError
from harness.hosts.local import LocalHost
from harness.library import registries
from harness.recipe import catalog
from tests.library.repositories import MANIFEST, commit, recipe, repository


@pytest.fixture
def address(tmp_path: Path) -> str:
    files: dict[str, str | bytes] = {
        ".sparkrun/registry.yaml": MANIFEST,
        "good/one.yaml": recipe("one"),
        "good/family/two.yaml": recipe("two") + "name: The Second\n",
        "good/family/broken.yaml": "env: [\n",
        "odd/deeper/one.yaml": recipe("other-one"),
        "odd/three.yaml": recipe("three"),
        "benchmarking/b.yaml": "framework: x\n",
    }
    return repository(tmp_path / "repo", files)


def add(data: Path, source: str, name: str | None = None) -> dict[str, int]:
    added = registries.add(LocalHost(), data, source, name=name, offline=True)
    return {filled.registry.name: filled.recipes for filled in added}


def test_a_manifest_offers_several(tmp_path: Path, address: str) -> None:
    data = tmp_path / "data"
    filled = list(registries.add(LocalHost(), data, address, name=None, offline=True))
    assert [(f.registry.name, f.recipes, f.registry.visible) for f in filled] == [
        ("main-ones", 2, True),
        ("hidden-ones", 1, False),
    ]
    assert [path for path, _ in filled[0].refused] == ["good/family/broken.yaml"]
    assert filled[0].registry.description == "The good ones"
    assert [registry.name for registry in registries.known(data)] == ["hidden-ones", "main-ones"]
    kept = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
    assert kept == [
        "hidden-ones/recipes/one.yaml",
        "hidden-ones/registry.json",
        "main-ones/recipes/family/two.yaml",
        "main-ones/recipes/one.yaml",
        "main-ones/registry.json",
    ]
    with pytest.raises(UsageError, match="there is a registry 'main-ones' already"):
        add(data, address)
    with pytest.raises(UsageError, match="has several registries"):
        add(tmp_path / "other", address, name="x")


def test_recipes_are_found_by_name(tmp_path: Path, address: str) -> None:
    data = tmp_path / "data"
    add(data, address)
    shelves = registries.shelves(data)

    def find(name: str) -> str:
        return catalog.find(name, [tmp_path / "mine"], shelves).relative_to(data).as_posix()

    assert find("@main-ones/one") == "main-ones/recipes/one.yaml"
    assert find("@hidden-ones/one") == "hidden-ones/recipes/one.yaml"
    assert find("two") == find("@main-ones/family/two") == find("The Second") == find("@main-ones/the-second")
    with pytest.raises(RecipeError) as caught:
        find("one")
    assert str(caught.value) == "'one' may be @hidden-ones/one or @main-ones/one\nHint: say which: write its whole name"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/one.yaml").write_text(recipe("mine"))
    assert catalog.find("one", [tmp_path / "mine"], shelves) == tmp_path / "mine/one.yaml", "one's own come first"
    for name, said in [
        ("@main-ones/twoo", "has no recipe 'twoo'\nHint: did you mean '@main-ones/two'?"),
        ("@nobody/x", "there is no registry 'nobody'\nHint: known: @hidden-ones, @main-ones"),
        ("twoo", "no recipe is called 'twoo'\nHint: did you mean 'two'?"),
    ]:
        with pytest.raises(RecipeError) as caught:
            find(name)
        assert said in str(caught.value)


def test_two_of_one_name_in_one_registry(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"recipes/{place}a.yaml": recipe("x") for place in ("x/", "y/", "")}
    data = tmp_path / "data"
    assert add(data, repository(tmp_path / "my.repo.git", files)) == {"my.repo": 3}
    shelves = registries.shelves(data)
    assert catalog.find("@my.repo/a", [], shelves).parent.name == "recipes"
    (data / "my.repo/recipes/a.yaml").unlink()
    with pytest.raises(RecipeError, match=r"'a' may be @my\.repo/x/a or @my\.repo/y/a"):
        catalog.find("a", [], shelves)


def test_renewal_brings_what_is_new_and_takes_what_is_gone(tmp_path: Path, address: str) -> None:
    data = tmp_path / "data"
    add(data, address)
    (tmp_path / "repo/good/one.yaml").unlink()
    newest = commit(tmp_path / "repo", {"good/four.yaml": recipe("four")})
    assert not (data / "main-ones/recipes/four.yaml").exists(), "nothing comes unasked"
    renewed = list(registries.update(LocalHost(), data, ["main-ones"], offline=True))
    assert [(f.registry.commit, f.recipes) for f in renewed] == [(newest, 2)]
    assert sorted(path.stem for path in (data / "main-ones/recipes").rglob("*.yaml")) == ["four", "two"]
    assert len(list(registries.update(LocalHost(), data, [], offline=True))) == 2
    with pytest.raises(UsageError, match="there is no registry 'main-one'") as caught:
        list(registries.update(LocalHost(), data, ["main-one"], offline=True))
    assert caught.value.hint == "did you mean 'main-ones'?"


def test_a_source_that_is_gone_leaves_the_copy_and_the_others_are_renewed(tmp_path: Path, address: str) -> None:
    data, team = tmp_path / "data", tmp_path / "team"
    team.mkdir()
    (team / "a.yaml").write_text(recipe("a"))
    add(data, address)
    add(data, str(team))
    (tmp_path / "repo").rename(tmp_path / "gone")
    renewed = registries.update(LocalHost(), data, [], offline=True)
    assert next(renewed).registry.name == "team"
    with pytest.raises(RecipeError, match=r"^@hidden-ones: .*git cannot read it.*\n.*registry remove hidden-ones$"):
        next(renewed)
    assert len(list((data / "main-ones/recipes").rglob("*.yaml"))) == 2


def test_a_folder_is_a_registry_too(tmp_path: Path) -> None:
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "a.yaml").write_text(recipe("a"))
    data = tmp_path / "data"
    (data / ".new-ours/recipes").mkdir(parents=True)
    (data / ".new-ours/recipes/left-by-one-that-was-killed.yaml").write_text(recipe("b"))
    assert add(data, str(folder), name="ours") == {"ours": 1}
    assert [path.name for path in (data / "ours/recipes").iterdir()] == ["a.yaml"]
    (folder / "b.yaml").write_text(recipe("b"))
    assert [f.recipes for f in registries.update(LocalHost(), data, [], offline=True)] == [2]
    registries.remove(data, "ours")
    assert registries.known(data) == []
    with pytest.raises(UsageError, match="there is no registry 'ours'"):
        registries.remove(data, "ours")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("registries:\n  - {name: ../../evil}\n", "registry.yaml:2: '../../evil' cannot be a registry's name"),
        ("registries:\n  - {name: .hidden}\n", "registry.yaml:2: '.hidden' cannot be a registry's name"),
        ("registries:\n  - {name: a, recipes: ../..}\n", "registry.yaml:2: '../..' is no folder within it"),
        ("registries:\n  - {name: a, subpath: /etc}\n", "registry.yaml:2: '/etc' is no folder within it"),
        ("registries:\n  - {name: a, subpath: x/../../y}\n", "registry.yaml:2: 'x/../../y' is no folder within it"),
        ("registries:\n  - {recipes: x}\n", "registry.yaml:2: a registry has no name"),
        ("registries:\n  - just text\n", "registry.yaml:2: a registry has no name"),
        ("registries: {}\n", "registry.yaml: it offers no registry of recipes"),
        ("- a\n", "registry.yaml: it offers no registry of recipes"),
        ("registries: [\n", "not valid YAML"),
        ("registries:\n  - {name: a}\n  - {name: b}\n  - {name: a, recipes: x}\n", "registry.yaml: it offers 'a' twice"),
        ("registries:\n  - {name: a, enabled: false}\n", "registry.yaml: it offers no registry of recipes"),
    ],
)
def test_a_manifest_cannot_lead_out_of_its_place(tmp_path: Path, manifest: str, said: str) -> None:
    (tmp_path / "them/.sparkrun").mkdir(parents=True)
    (tmp_path / "them/.sparkrun/registry.yaml").write_text(manifest)
    with pytest.raises(RecipeError) as caught:
        add(tmp_path / "data", str(tmp_path / "them"))
    assert said in caught.value.message
    assert not (tmp_path / "data").exists()


def test_the_root_of_a_repository_can_be_the_registry(tmp_path: Path) -> None:
    (tmp_path / "them/.sparkrun").mkdir(parents=True)
    (tmp_path / "them/.sparkrun/registry.yaml").write_text("registries:\n  - {name: a, subpath: /}\n")
    (tmp_path / "them/one.yaml").write_text(recipe("one"))
    assert add(tmp_path / "data", str(tmp_path / "them")) == {"a": 1}


def test_a_spoilt_registry_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/registry.json").write_text("{")
    with pytest.raises(RecipeError) as caught:
        registries.shelves(tmp_path)
    assert caught.value.hint == f"remove {tmp_path / 'x'}, and add the registry again"
