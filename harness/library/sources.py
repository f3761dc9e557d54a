"""Where recipes can be taken from: a file, a folder, a git repository."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from harness.errors import RecipeError, UsageError
from harness.hosts.base import Host
from harness.library import files, git
from harness.library.files import Found


class Source(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """Where it was taken from, as it may be stored."""
    commit: str | None
    files: tuple[Found, ...]


def read(host: Host, source: str, *, offline: bool) -> Source:
    """Raises `RecipeError` for what is not there, `UsageError` for what would need the network when that is kept off."""
    if git.is_address(source):
        if offline and git.is_remote(source):
            raise UsageError(
                f"{git.without_secret(source)}: it is on the network, which --offline or HF_HUB_OFFLINE keeps off",
                "copy the repository here and name its folder, or go online",
            )
        with TemporaryDirectory(prefix="harness-git-") as folder:
            commit, found = git.fetch(host, source, Path(folder))
        return Source(name=git.without_secret(source), commit=commit, files=tuple(found))
    path = Path(source).expanduser()
    if path.is_file():
        return Source(name=str(path.absolute()), commit=None, files=(files.single(path, path.name),))
    if path.is_dir():
        found = list(islice(files.inside(path), files.MOST + 1))
        if len(found) > files.MOST:
            raise files.too_many(source)
        return Source(name=str(path.absolute()), commit=None, files=tuple(found))
    raise RecipeError(f"{source}: no such file, folder or repository", "name a YAML file, a folder of them, or https://….git")
