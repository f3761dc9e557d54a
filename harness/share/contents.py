"""What is in the bytes that would be sent, for people to look at: the files, those inside of archives, and every field of each."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.share.tar import BLOCK, told
from harness.store import columns
from harness.typed import decoded

VALUES = 20
"""Of a column of text; a dry run leaves the whole table in a folder."""
ROW = 16
"""Bytes in a line of a dump."""


def members(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each file; of an archive what is in it, since all else of it follows from that."""
    for name, data in files.items():
        if not name.endswith(".tar"):
            yield name, data
            continue
        at = 0
        while any(block := data[at : at + BLOCK]) and (seen := told(block)):
            inside, size = seen
            at += BLOCK
            yield f"{name}:{inside}", data[at : at + size]
            at += size + -size % BLOCK


def fields(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """(where in it, what stands there): of JSON each value, of a table each column, of text each line."""
    if name.endswith(".parquet"):
        yield from _columns(data)
        return
    if name.endswith(".json"):
        try:
            yield from _values("", decoded(data, object))
            return
        except msgspec.MsgspecError:
            pass
    if (text := readable(data)) is not None:
        yield from ((str(number), line) for number, line in enumerate(text.splitlines(), 1))
    else:
        yield "", f"{len(data):,} bytes that are no text, SHA-256 {hashlib.sha256(data).hexdigest()}"


def dump(data: bytes) -> Iterator[str]:
    """Every byte: text as lines, with what steers a terminal written out; the rest as hexadecimal digits."""
    if (text := readable(data)) is not None:
        yield from text.split("\n")
        return
    for at in range(0, len(data), ROW):
        row = data[at : at + ROW]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row.hex(' '):{3 * ROW}} {shown}"


def readable(data: bytes) -> str | None:
    """As text, if it is such."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _values(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _values(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _values(f"{path}[{index}]", inner)
    else:
        yield path, msgspec.json.encode(value).decode()


def _columns(data: bytes) -> Iterator[tuple[str, str]]:
    with tempfile.NamedTemporaryFile(prefix="harness-table-", suffix=".parquet") as file:
        file.write(data)
        file.flush()
        try:
            for column, kind, held in columns.outline(Path(file.name), VALUES):
                yield f"{column} ({kind})", held
        except StoreError as error:
            yield "", error.message
