"""Hugging Face's cache: `models--OWNER--NAME` with `blobs/HASH`, `snapshots/COMMIT/FILE` that link to them, and `refs/NAME`.

A blob is named by what its repository says of it: the SHA-256 of a large file, else git's own hash of it (huggingface_hub, `constants` and
`file_download`). So every file can be held against its revision.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath

from harness.weights import safetensors

CHUNK = 1 << 20
SHA256_DIGITS = 64
PART = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})(\.safetensors|\.gguf)")
WEIGHTS = {".safetensors", ".gguf", ".bin", ".pt", ".pth"}


def absent(place: Path) -> list[str]:
    """Files of a model that are not there: of its folder, the ones whose blob is missing, that its index names, or that by their numbers
    go with one that is there."""
    if not place.is_dir():
        return []
    broken = [str(link.relative_to(place)) for link in sorted(place.rglob("*")) if link.is_symlink() and not link.exists()]
    indexed = [shard.name for shard in safetensors.shards(place) if not shard.exists()]
    there = set(files(place))
    parts = [part for part in map(PART.fullmatch, there) if part]
    whole = {f"{part[1]}-{number:05}-of-{part[2]}{part[3]}" for part in parts for number in range(1, int(part[2]) + 1)}
    return sorted({*broken, *indexed, *(whole - there)})


def has_weights(place: Path) -> bool:
    """A folder may hold no more than a configuration and a tokenizer, which programs fetch alone."""
    return not place.is_dir() or any(PurePath(name).suffix in WEIGHTS for name in files(place))


def files(snapshot: Path) -> dict[str, Path]:
    """The files of a revision, by the name they have in it."""
    return {path.relative_to(snapshot).as_posix(): path for path in sorted(snapshot.rglob("*")) if path.is_file()}


def changed(blob: Path) -> str | None:
    """What a file hashes to, where that is not its name."""
    size = blob.stat().st_size
    digest = hashlib.sha256() if len(blob.name) == SHA256_DIGITS else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with blob.open("rb") as data:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
    return None if digest.hexdigest() == blob.name else digest.hexdigest()
