"""Headers of GGUF files, versions 2 and 3, little-endian: values by key, then each tensor's name, dimensions and type.

Format: docs/gguf.md of github.com/ggml-org/ggml. What is wrong is raised as OSError, ValueError or struct.error.
"""

from __future__ import annotations

import re
import struct
from math import prod
from pathlib import Path

import msgspec

from harness.weights.dtypes import GGML_TYPES

HEADER_LIMIT_BYTES = 64 << 20
"""Vocabularies of 260,000 tokens with their merges take about 20 MB."""
KEYS_LIMIT, TENSORS_LIMIT, KEY_LIMIT_BYTES = 1 << 16, 1 << 17, (1 << 16) - 1
KEPT = 4096
"""Of arrays, those with one number per layer are wanted, not vocabularies."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
SPLIT = re.compile(r"(.*)-00001-of-(\d{5})\.gguf")


class Header(msgspec.Struct, frozen=True):
    values: dict[str, object]
    """Scalars, strings, and short arrays of scalars."""
    tensors: list[tuple[str, int]]
    """(name, bytes)"""


def parts(file: Path) -> list[Path]:
    """A file, and those it was split into where it is the first of several."""
    split = SPLIT.fullmatch(file.name)
    if split is None:
        return [file]
    total = int(split[2])
    return [file.with_name(f"{split[1]}-{number:05}-of-{split[2]}.gguf") for number in range(1, min(total, 10_000) + 1)]


def header(file: Path) -> Header:
    if not file.is_file():
        raise ValueError(f"{file.name} is not there")
    size = file.stat().st_size
    with file.open("rb") as data:
        return parse(data.read(HEADER_LIMIT_BYTES), size, file.name)


def parse(data: bytes, size: int, name: str) -> Header:
    """`data` is the file's beginning, `size` the length of all of it."""
    reader = _Reader(data, name)
    magic, version, tensor_count, key_count = struct.unpack("<4sIQQ", reader.take(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"{name} is no GGUF file of version 2 or 3, little-endian")
    if key_count > KEYS_LIMIT or tensor_count > TENSORS_LIMIT:
        raise ValueError(f"{name} claims {key_count} keys and {tensor_count} tensors")
    values = {}
    for _ in range(key_count):
        key = reader.string()
        values[key] = reader.value(reader.number("I"))
    found: list[tuple[str, int]] = []
    end = 0
    for _ in range(tensor_count):
        tensor, length, offset = reader.tensor()
        found.append((tensor, length))
        end = max(end, offset + length)
    held = size - reader.at
    if end > held or sum(length for _, length in found) > held:
        raise ValueError(f"{name} has {held} bytes of tensors where its header says {end}: not whole?")
    return Header(values, found)


class _Reader:
    """Walks over the header; every length is held against what is left before anything is made of it."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def skip(self, length: int) -> int:
        """Past `length` bytes; gives where they began."""
        start = self.at
        if length > len(self.data) - start:
            raise ValueError(f"{self.name} ends within its header, or that is longer than {HEADER_LIMIT_BYTES >> 20} MiB")
        self.at += length
        return start

    def take(self, length: int) -> bytes:
        start = self.skip(length)
        return self.data[start : self.at]

    def number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0])

    def string(self) -> str:
        length = self.number("Q")
        if length > KEY_LIMIT_BYTES:
            raise ValueError(f"{self.name} has a name of {length} bytes")
        return self.take(length).decode("utf-8")

    def value(self, kind: int) -> object:
        if kind == STRING:
            length = self.number("Q")
            start = self.skip(length)
            return self.data[start : self.at].decode("utf-8", "replace") if length <= KEPT else None
        if kind == ARRAY:
            return self.array(self.number("I"), self.number("Q"))
        if kind not in SCALARS:
            raise ValueError(f"{self.name} has a value of the unknown type {kind}")
        return struct.unpack("<" + SCALARS[kind], self.take(struct.calcsize("<" + SCALARS[kind])))[0]

    def array(self, kind: int, count: int) -> object:
        if kind == STRING:
            self.skip_strings(count)
            return None
        if kind not in SCALARS:  # an array of arrays: llama.cpp does not read them either
            raise ValueError(f"{self.name} has an array of the type {kind}")
        start = self.skip(count * struct.calcsize("<" + SCALARS[kind]))
        return list(struct.unpack_from(f"<{count}{SCALARS[kind]}", self.data, start)) if count <= KEPT else None

    def skip_strings(self, count: int) -> None:
        """Straight code, because a vocabulary has half a million of them."""
        data, at, length_at = self.data, self.at, struct.Struct("<Q").unpack_from
        last = len(data) - 8
        for _ in range(count):
            if at > last:
                break
            at += 8 + length_at(data, at)[0]
        else:
            self.skip(at - self.at)
            return
        self.skip(len(data) + 1)

    def tensor(self) -> tuple[str, int, int]:
        """(name, bytes, offset in the tensors' part)"""
        name, count = self.string(), self.number("I")
        if count > 8:
            raise ValueError(f"{self.name}: {name[:80]} has {count} dimensions")
        dimensions = struct.unpack(f"<{count}Q", self.take(8 * count))
        kind, offset = self.number("I"), self.number("Q")
        if kind not in GGML_TYPES:
            raise ValueError(f"{self.name}: {name[:80]} is of the type {kind}, whose size is not known here")
        per_block, block_bytes = GGML_TYPES[kind]
        if dimensions and dimensions[0] % per_block:
            raise ValueError(f"{self.name}: rows of {name[:80]} are no whole blocks")
        return name, prod(dimensions) // per_block * block_bytes, offset
