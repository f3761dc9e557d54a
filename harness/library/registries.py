"""Collections of recipes that have a name: `registries/NAME/` in the user's data folder, a copy that is only renewed when asked to be.

A repository says with `.sparkrun/registry.yaml` which collections it has (sparkrun 0.4.2's format; of its keys `name`, `description`,
`recipes` or `subpath`, `visible` and `enabled` count here). Without one it is a collection itself.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from harness.errors import RecipeError, UsageError, did_you_mean
from harness.hosts.base import Host
from harness.library import sources
from harness.library.files import MANIFEST, Found
from harness.library.imports import now, refusal, write
from harness.library.sources import Source
from harness.recipe.catalog import Shelf
from harness.recipe.document import Document
from harness.schema.library import Registry
from harness.typed import decoded

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUBPATH = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(/(?=.)|/?$))*")
USUAL = "recipes"
"""Where sparkrun looks where nothing is said."""


class Filled(msgspec.Struct, frozen=True):
    """A registry as it now is: how many recipes it has, and which files were none."""

    registry: Registry
    recipes: int
    refused: tuple[tuple[str, str], ...]


def add(host: Host, data: Path, source: str, *, name: str | None, offline: bool) -> Iterator[Filled]:
    """Copies what a source offers. Raises `UsageError`, `RecipeError`."""
    read = sources.read(host, source, offline=offline)
    offered = _offered(read)
    if name is not None:
        if len(offered) != 1:
            named = ", ".join(registry.name for registry in offered)
            raise UsageError(f"--as {name}: {read.name} has several registries ({named})", "leave --as out: they have names")
        offered = [msgspec.structs.replace(offered[0], name=_safe(name, "--as"))]
    for registry in offered:
        if (data / registry.name).exists():
            raise UsageError(f"there is a registry '{registry.name}' already", "renew it with: harness recipes registry update")
    for registry in offered:
        yield _fill(data, registry, read)


def update(host: Host, data: Path, names: list[str], *, offline: bool) -> Iterator[Filled]:
    """Copies anew what the named registries, or all, have by now; each source is read once. The first one that cannot be read is an
    error, after all the others."""
    chosen = [_named(data, name) for name in names] if names else known(data)
    failed: RecipeError | None = None
    for source in dict.fromkeys(registry.source for registry in chosen):
        mine = [registry for registry in chosen if registry.source == source]
        try:
            read = sources.read(host, source, offline=offline)
            offered = {registry.name: registry for registry in _offered(read)}
        except RecipeError as error:
            forget = f"its copy stays as it was; to forget it: harness recipes registry remove {mine[0].name}"
            failed = failed or RecipeError(f"@{mine[0].name}: {error.message}", forget)
            continue
        for old in mine:
            yield _fill(data, msgspec.structs.replace(offered.get(old.name, old), name=old.name), read)
    if failed:
        raise failed


def remove(data: Path, name: str) -> Registry:
    registry = _named(data, name)
    shutil.rmtree(data / registry.name)
    return registry


def known(data: Path) -> list[Registry]:
    """Raises `RecipeError` for one that was spoilt."""
    found = []
    for path in sorted(data.glob("*/registry.json")):
        try:
            found.append(decoded(path.read_bytes(), Registry))
        except (OSError, msgspec.MsgspecError) as error:
            raise RecipeError(f"{path}: {error}", f"remove {path.parent}, and add the registry again") from None
    return found


def shelves(data: Path) -> list[Shelf]:
    return [Shelf(registry.name, data / registry.name / "recipes", registry.visible) for registry in known(data)]


def _named(data: Path, name: str) -> Registry:
    found = {registry.name: registry for registry in known(data)}
    if name in found:
        return found[name]
    near = did_you_mean(name, list(found))
    hint = (
        f"did you mean '{near}'?"
        if near
        else f"known: {', '.join(found) or 'none'}; add one: harness recipes registry add SOURCE"
    )
    raise UsageError(f"there is no registry '{name}'", hint)


def _offered(read: Source) -> list[Registry]:
    """The collections of a source. Raises `RecipeError` for a manifest that offers none."""
    manifest = next((file for file in read.files if file.path == MANIFEST), None)
    if manifest is None:
        stem = PurePosixPath(read.name).name.removesuffix(".git")
        usual = any(PurePosixPath(file.path).parts[0] == USUAL for file in read.files)
        name = _safe(re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_"), read.name)
        return [Registry(name=name, source=read.name, subpath=USUAL if usual else "", commit=read.commit, date=now())]
    path = f"{read.name}: {MANIFEST}"
    if manifest.data is None:
        raise RecipeError(f"{path}: {manifest.why}", "tell those who keep it")
    document = Document(manifest.data.decode("utf-8", "replace"), path)
    listed = document.value.get("registries") if isinstance(document.value, Mapping) else None
    offered = [
        _entry(document, index, entry, read)
        for index, entry in enumerate(listed if isinstance(listed, list) else [])
        if not isinstance(entry, Mapping)
        or (entry.get("enabled") is not False and entry.get("format", "sparkrun") == "sparkrun")
    ]
    if twice := {registry.name for registry in offered if [other.name for other in offered].count(registry.name) > 1}:
        raise RecipeError(f"{path}: it offers '{min(twice)}' twice", "tell those who keep it")
    if not offered:
        raise RecipeError(f"{path}: it offers no registry of recipes", "add a folder of it instead, or tell those who keep it")
    return offered


def _entry(document: Document, index: int, entry: object, read: Source) -> Registry:
    where = ("registries", index)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise document.error(where, "a registry has no name", "tell those who keep it")
    subpath = entry.get("subpath", entry.get("recipes", USUAL))
    if not isinstance(subpath, str) or not (subpath == "/" or _SUBPATH.fullmatch(subpath)):
        raise document.error(where, f"{subpath!r} is no folder within it", "tell those who keep it")
    return Registry(
        name=_safe(entry["name"], f"{document.path}:{document.line(*where)}"),
        source=read.name,
        subpath=subpath.strip("/"),
        description=str(entry.get("description") or ""),
        visible=entry.get("visible") is not False,
        commit=read.commit,
        date=now(),
    )


def _safe(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise RecipeError(f"{where}: '{name}' cannot be a registry's name", "letters, digits, and ._- after the first one")
    return name


def _fill(data: Path, registry: Registry, read: Source) -> Filled:
    """The new copy is written beside the old one, and takes its place when it is whole."""
    registry = msgspec.structs.replace(registry, commit=read.commit, date=now())
    inside = [file for file in read.files if file.path != MANIFEST and _below(file, registry.subpath)]
    refused = {file.path: why for file in inside if (why := refusal(file))}
    new, old = data / f".new-{registry.name}", data / registry.name
    shutil.rmtree(new, ignore_errors=True)
    for file in inside:
        if file.path not in refused and file.data is not None:
            write(new / "recipes" / PurePosixPath(file.path).relative_to(registry.subpath), file.data)
    write(new / "registry.json", msgspec.json.format(msgspec.json.encode(registry)))
    shutil.rmtree(old, ignore_errors=True)
    new.rename(old)
    return Filled(registry, len(inside) - len(refused), tuple(refused.items()))


def _below(file: Found, subpath: str) -> bool:
    return not subpath or file.path.startswith(f"{subpath}/")
