"""`MANIFEST.json`, the first file of a bundle: what is in it, and what a signature vouches for."""

from __future__ import annotations

import msgspec

BUNDLE_VERSION = 1
"""1 (0.1.0): first format."""


class Entry(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int = BUNDLE_VERSION
    result: str
    """Its id."""
    harness_version: str
    """Of the harness that measured it, so that the bytes do not depend on the one that bundles."""
    files: dict[str, Entry]
    """Every other file but the signature, by name, in the order of names: as they lie in the archive."""
