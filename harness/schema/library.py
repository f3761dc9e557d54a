"""Where recipes of others came from: written beside the copies, as JSON."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Of one imported recipe: `NAME.origin.json` beside it."""

    source: str
    """A path, or the address of a git repository."""
    path: str
    """Of the file in there."""
    commit: str | None
    """None where it was no repository."""
    date: str
    """When it was copied, UTC, ISO 8601."""
    sha256: str
    """Of the file, which is copied verbatim."""


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """A collection with a name: `registry.json` beside its `recipes/`."""

    name: str
    source: str
    subpath: str
    """The folder of its recipes in there; "": the whole of it."""
    description: str = ""
    visible: bool = True
    """Whether its recipes are listed without being asked for."""
    commit: str | None
    date: str
