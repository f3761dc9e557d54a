"""YAML files on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import msgspec

from harness.errors import RecipeError
from harness.recipe.catalog import SUFFIXES
from harness.recipe.document import MAX_BYTES

MANIFEST = ".sparkrun/registry.yaml"
MOST = 5000
"""Files of a source; the largest public collection has some hundred."""


class Found(msgspec.Struct, frozen=True):
    """A file; `data` is None where it cannot be taken, and `why` says so."""

    path: str
    data: bytes | None
    why: str = ""

    LARGEST: ClassVar[int] = MAX_BYTES


def acceptable(path: str) -> bool:
    """YAML that lies in the open and below its source, and the manifest of a registry."""
    parts = PurePosixPath(path).parts
    inside = not path.startswith("/") and not any(part.startswith(".") for part in parts)
    return path == MANIFEST or (inside and path.endswith(SUFFIXES))


def inside(folder: Path) -> Iterator[Found]:
    """Of a folder, in order, whatever is below it; folders that are links are left out."""
    for at, folders, names in os.walk(folder):
        here = Path(at).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") or (here / name).as_posix() == ".sparkrun")
        for name in sorted(names):
            path = (here / name).as_posix()
            if acceptable(path):
                yield _of_a_folder(folder / path, path)


def _of_a_folder(path: Path, name: str) -> Found:
    """Links are not followed, and nothing is waited for that is no file, such as a pipe."""
    if path.is_symlink():
        return Found(name, None, "not a file of its own, but a link")
    return single(path, name) if path.is_file() else Found(name, None, "not a file")


def single(path: Path, name: str) -> Found:
    try:
        with path.open("rb") as file:
            data = file.read(Found.LARGEST + 1)
    except OSError as error:
        return Found(name, None, f"cannot be read: {error.strerror}")
    return Found(name, None, f"larger than {Found.LARGEST >> 10} KiB") if len(data) > Found.LARGEST else Found(name, data)


def too_many(source: str) -> RecipeError:
    return RecipeError(
        f"{source}: more than the {MOST} YAML files that are taken",
        "name the folder of its recipes; of a repository, clone it first",
    )
