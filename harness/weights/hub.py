"""Hugging Face's cache: `models--OWNER--NAME` with `blobs/HASH`, `snapshots/COMMIT/FILE` that link to them, and `refs/NAME`.

A blob is named by what its repository says of it: the SHA-256 of a large file, else git's own hash of it (huggingface_hub, `constants` and
`file_download`). So every file can be held against its revision.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.weights import safetensors

CHUNK = 1 << 20
SHA256_DIGITS = 64


def absent(place: Path) -> list[str]:
    """Files of a model that are not there: of its folder, the ones whose blob is missing or that its index names."""
    if not place.is_dir():
        return []
    broken = [str(link.relative_to(place)) for link in sorted(place.rglob("*")) if link.is_symlink() and not link.exists()]
    indexed = [shard.name for shard in safetensors.shards(place) if not shard.exists()]
    return sorted({*broken, *indexed})


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
