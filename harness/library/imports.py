"""Copies of recipes in the user's folder, verbatim, each with a note beside it of where it is from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from harness import atomic, clock
from harness.errors import RecipeError, UsageError
from harness.library.files import MANIFEST, Found
from harness.library.sources import Source
from harness.recipe import load
from harness.schema.library import Origin

IMPORTED, UNCHANGED, REFUSED = "imported", "unchanged", "refused"


class Outcome(msgspec.Struct, frozen=True):
    state: str
    path: str
    """Of the file, in its source."""
    name: str
    """What it is called here; of a refused one, why it is refused."""


def bring(source: Source, folder: Path, *, name: str | None, force: bool) -> Iterator[Outcome]:
    """Copies what is a recipe, under its file's name; where several have that name, under their whole paths. Raises `UsageError` where
    one `name` is to be given to several files."""
    found = [file for file in source.files if file.path != MANIFEST]
    if name is not None and len(found) != 1:
        raise UsageError(f"--as {name}: {source.name} has {len(found)} YAML files", "name one file")
    why = {file.path: refusal(file) for file in found}
    stems = Counter(_stem(file.path) for file in found if not why[file.path])
    taken: set[str] = set()
    for file in found:
        stem = load.slug(name) if name else _stem(file.path)
        if stems[stem] > 1:
            stem = load.slug(str(PurePosixPath(file.path).with_suffix("")))
        if stem in taken and not why[file.path]:
            why[file.path] = f"another file of this source is called {stem}: import it alone, with --as NAME"
        if why[file.path]:
            yield Outcome(REFUSED, file.path, why[file.path])
            continue
        assert file.data is not None
        taken.add(stem)
        target = folder / f"{stem}.yaml"
        there = target.read_bytes() if target.is_file() else None
        if there == file.data:
            yield Outcome(UNCHANGED, file.path, stem)
        elif there is not None and not force:
            yield Outcome(REFUSED, file.path, f"{target} is another recipe of that name: --force replaces it")
        else:
            write(target, file.data)
            write(folder / f"{stem}.origin.json", msgspec.json.format(msgspec.json.encode(_origin(source, file))))
            yield Outcome(IMPORTED, file.path, stem)


def _stem(path: str) -> str:
    return load.slug(PurePosixPath(path).stem)


def refusal(file: Found) -> str:
    """Why a file is not a recipe; "": it is one."""
    if file.data is None:
        return file.why
    if not file.path.isprintable():
        return "its name cannot be typed"
    try:
        load.parse(file.data, file.path)
    except RecipeError as error:
        return error.message.removeprefix(f"{file.path}:")
    return ""


def now() -> str:
    return clock.utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: Path, data: bytes) -> None:
    """Whole, or not at all. Raises `RecipeError`."""
    try:
        atomic.write(path, data)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written: {error.strerror}", "check the folder and its permissions") from None


def _origin(source: Source, file: Found) -> Origin:
    assert file.data is not None
    sha256 = hashlib.sha256(file.data).hexdigest()
    return Origin(source=source.name, path=file.path, commit=source.commit, date=now(), sha256=sha256)
