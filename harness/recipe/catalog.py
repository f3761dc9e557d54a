"""Where recipes are found by name, and the profiles that come with the harness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import RecipeError, did_you_mean
from harness.recipe import load
from harness.recipe.document import Document
from harness.schema.workload import Profile

SUFFIXES = (".yaml", ".yml")


def find(name: str, folders: Sequence[Path]) -> Path:
    """The file of a recipe: a path as it stands, else the file of that name, else the file that calls itself so; the first
    folder wins.

    Raises `RecipeError` for a name that nothing has.
    """
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
    named: dict[str, Path] = {}
    for path in files.values():
        try:
            named.setdefault(load.load(path).name, path)
        except RecipeError:  # one broken file must not hide the others; asking for it by name says what is wrong with it
            continue
    for known, path in named.items():
        if known.casefold() == load.slug(name).casefold():
            return path
    near = did_you_mean(name, [*files, *named])
    hint = f"did you mean '{near}'? List them with: harness recipes list" if near else "list them with: harness recipes list"
    raise RecipeError(f"no recipe is called '{name}'", hint)


def paths(folders: Sequence[Path]) -> list[Path]:
    """Recipe files by name, those of earlier folders hiding later ones of the same name. Folders that do not exist count as
    empty."""
    return [path for _, path in sorted(_by_stem(folders).items())]


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
