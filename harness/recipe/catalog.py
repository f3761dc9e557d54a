"""Where recipes are found by name, and the profiles that come with the harness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from harness.errors import RecipeError, did_you_mean
from harness.recipe import load
from harness.recipe.document import Document
from harness.schema.workload import Profile

SUFFIXES = (".yaml", ".yml")


class Shelf(NamedTuple):
    """A registry's recipes, in folders of any depth."""

    name: str
    folder: Path
    visible: bool = True
    """Whether they are listed without being asked for."""


def find(name: str, folders: Sequence[Path], shelves: Sequence[Shelf] = ()) -> Path:
    """The file of a recipe: a path as it stands; `@registry/name`; else the file of that name, else the file that calls itself so, first in
    the folders, of which the first one wins, then in the registries.

    Raises `RecipeError` for a name that nothing has, or that recipes of several registries have.
    """
    if name.startswith("@"):
        return _in_registry(name, shelves)
    given = Path(name)
    if given.suffix in SUFFIXES or given.parent != Path():
        if given.is_file():
            return given
        near = did_you_mean(given.stem, [path.stem for path in paths([given.parent])])
        hint = f"did you mean '{given.parent / near}.yaml'?" if near else "list the recipes with: harness recipes list"
        raise RecipeError(f"{name}: no such file", hint)
    files = _by_stem(folders)
    for stem, path in files.items():
        if stem.casefold() == name.casefold():
            return path
    named = {own: path for path in reversed(files.values()) if (own := _own_name(path))}
    for own, path in named.items():
        if own.casefold() == load.slug(name).casefold():
            return path
    if elsewhere := [found for shelf in shelves for found in _on_shelf(shelf, name)]:
        return _one(name, elsewhere)
    near = did_you_mean(name, [*files, *named, *(path.stem for shelf in shelves for path in files_of(shelf))])
    hint = f"did you mean '{near}'? List them with: harness recipes list" if near else "list them with: harness recipes list"
    raise RecipeError(f"no recipe is called '{name}'", hint)


def paths(folders: Sequence[Path]) -> list[Path]:
    """Recipe files by name, those of earlier folders hiding later ones of the same name. Folders that do not exist count as
    empty."""
    return [path for _, path in sorted(_by_stem(folders).items())]


def files_of(shelf: Shelf) -> list[Path]:
    return sorted(path for path in shelf.folder.rglob("*") if path.suffix in SUFFIXES)


def full_name(shelf: Shelf, path: Path) -> str:
    """A name that only this file has."""
    return f"@{shelf.name}/{path.relative_to(shelf.folder).with_suffix('').as_posix()}"


def _in_registry(name: str, shelves: Sequence[Shelf]) -> Path:
    registry, _, rest = name[1:].partition("/")
    shelf = next((shelf for shelf in shelves if shelf.name == registry), None)
    if shelf is None:
        known = ", ".join(f"@{shelf.name}" for shelf in shelves) or "none"
        raise RecipeError(
            f"{name}: there is no registry '{registry}'", f"known: {known}; add one: harness recipes registry add SOURCE"
        )
    found = _on_shelf(shelf, rest)
    if not found:
        near = did_you_mean(rest, [path.stem for path in files_of(shelf)])
        hint = f"did you mean '@{registry}/{near}'?" if near else f"list its recipes with: harness recipes list @{registry}"
        raise RecipeError(f"{name}: the registry '{registry}' has no recipe '{rest}'", hint)
    return _one(name, found)


Match = tuple[str, Path]
"""The full name of a recipe in a registry, and its file."""


def _on_shelf(shelf: Shelf, name: str) -> list[Match]:
    """What the name may mean there: the whole path, else every file that is called so, else every one that calls itself so."""
    files = {full_name(shelf, path): path for path in files_of(shelf)}
    whole = f"@{shelf.name}/{name}".casefold()
    for same in (
        lambda full, path: full.casefold() == whole,
        lambda full, path: path.stem.casefold() == name.casefold(),
        lambda full, path: _own_name(path).casefold() == load.slug(name).casefold(),
    ):
        if found := [(full, path) for full, path in files.items() if same(full, path)]:
            return found
    return []


def _one(name: str, found: Sequence[Match]) -> Path:
    if len(found) > 1:
        raise RecipeError(f"'{name}' may be {' or '.join(full for full, _ in found)}", "say which: write its whole name")
    return found[0][1]


def _own_name(path: Path) -> str:
    """What a recipe calls itself, else its file's name; "" for a broken file, which must not hide the others."""
    try:
        return load.load(path).name
    except RecipeError:
        return ""


def _by_stem(folders: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES and path.is_file():
                    found.setdefault(path.stem, path)
    return found


@cache
def profiles() -> dict[str, Profile]:
    """The built-in profiles, from `profiles.yaml` beside this file."""
    path = Path(__file__).with_name("profiles.yaml")
    document = Document(path.read_text(encoding="utf-8"), path.name)
    return {name: load.profile(document, (name,), value) for name, value in document.value.items()}
