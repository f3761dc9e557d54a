"""Headers of safetensors files: eight bytes of length (little-endian), then JSON, then the tensors without holes.

Format: https://huggingface.co/docs/safetensors. What is wrong is raised as OSError, ValueError or msgspec's errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.typed import decoded

T = TypeVar("T")
HEADER_LIMIT_BYTES = 32 << 20
"""A single file with 73,000 tensors, a mixture of experts in NVFP4, has about 11 MB. The format allows 100 MB."""
COLONS_LIMIT = 1 << 20
"""A tensor has four. What JSON makes in memory goes by its parts, not by its length."""


class _Entry(msgspec.Struct, frozen=True):
    data_offsets: tuple[int, int] | None = None


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def shards(folder: Path) -> list[Path]:
    """The files of a model: those its index names, else all. A folder may hold the same weights again in Mistral's own format
    (`consolidated…`), which is then left alone."""
    for stem in ("model", "consolidated", ""):
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            named = set(_decode(read_small(index, HEADER_LIMIT_BYTES), _Index, index.name).weight_map.values())
            if any(name != Path(name).name for name in named):
                raise ValueError(f"{index.name} names files outside its folder")
            return [folder / name for name in sorted(named)]
        if found := sorted(folder.glob(f"{stem}*.safetensors")):
            return found
    return []


def tensors(file: Path) -> Iterator[tuple[str, int]]:
    """(name, bytes) of each tensor."""
    if not file.is_file():
        raise ValueError(f"{file.name} is not there")
    size = file.stat().st_size
    if size < 8:
        raise ValueError(f"{file.name} has only {size} bytes")
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        if length > min(size - 8, HEADER_LIMIT_BYTES):
            raise ValueError(f"{file.name} claims a header of {length} bytes; the file has {size}")
        header = _decode(data.read(length), dict[str, _Entry], file.name)
    told = 0
    for name, entry in header.items():
        if entry.data_offsets is not None:
            begin, end = entry.data_offsets
            if not 0 <= begin <= end <= size:
                raise ValueError(f"{file.name}: {name[:80]} does not lie in it: not whole?")
            told += end - begin
            yield name, end - begin
    if told != size - 8 - length:
        raise ValueError(f"{file.name} has {size - 8 - length} bytes of tensors where its header says {told}: not whole?")


def _decode(data: bytes, wanted: type[T], name: str) -> T:
    if data.count(b":") > COLONS_LIMIT:
        raise ValueError(f"{name} has more than {COLONS_LIMIT} entries")
    return decoded(data, wanted)


def read_small(file: Path, limit_bytes: int) -> bytes:
    if not file.is_file() or file.stat().st_size > limit_bytes:
        raise ValueError(f"{file.name} is no file of at most {limit_bytes >> 20} MiB")
    return file.read_bytes()
