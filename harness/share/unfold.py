"""Everything that bytes say, however it is wrapped: archives and compressed files, tables, JSON inside strings, percent signs, base64, hex.
Pure but for tables, which lie in a private file for a moment."""

from __future__ import annotations

import base64
import binascii
import bz2
import html
import io
import lzma
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from harness.errors import StoreError
from harness.store import columns

DEPTH = 6
"""Wrappings inside each other that are looked into."""
LARGEST = 256 << 20
"""Of what is unpacked."""

_BASE64 = re.compile(
    r"[A-Za-z0-9+/_-]{11}[A-Za-z0-9+/_-]+(?:\r?\n[A-Za-z0-9+/_-]{16,})*(?P<short>\r?\n[A-Za-z0-9+/_-]{1,15})?={0,2}"
)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){10,}")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPES: dict[str, Callable[[str], str]] = {
    "unescaped": lambda said: _ESCAPE.sub(_escaped, said) if "\\" in said else said,
    "percent signs": lambda said: unquote(said) if "%" in said else said,
    "HTML": lambda said: html.unescape(said) if "&" in said else said,
}
_PRINTED = re.compile(rb"[\x20-\x7e\t\r\n]{6,}")
_UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
)
PACKED: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", lambda held: zlib.decompressobj(31).decompress(held, LARGEST)),
    b"BZh": ("bzip2", lambda held: bz2.BZ2Decompressor().decompress(held, LARGEST)),
    b"\xfd7zXZ\0": ("xz", lambda held: lzma.LZMADecompressor().decompress(held, LARGEST)),
    **{
        start: ("zlib", lambda held: zlib.decompressobj().decompress(held, LARGEST)) for start in (b"x\x01", b"x\x9c", b"x\xda")
    },
}


def data(place: str, held: bytes, depth: int = DEPTH) -> Iterator[tuple[str, str]]:
    """(place, text) of all that is in it, what is unfolded besides what it was unfolded from."""
    inner = list(_inside(place, held)) if depth else []
    for name, part in inner:
        yield f"the name of {name}", name
        yield from data(name, part, depth - 1)
    if held[:4] == b"PAR1":
        for column, said in _table(held):
            yield from text(f"{place}: column {column}", said, depth - 1)
        held = held[-8 - int.from_bytes(held[-8:-4], "little") :]  # what the file says of itself
    if held[257:262] == b"ustar":
        held = _around(held)
    if not inner or held[:2] not in (b"PK", b"\x1f\x8b"):
        yield from text(place, _readable(held), depth)
        if held.count(0) * 3 > len(held):
            yield from text(f"{place} (UTF-16)", held.decode("utf-16-le", "replace"), depth)
            yield from text(f"{place} (UTF-16)", held[1:].decode("utf-16-le", "replace"), depth)


def text(place: str, said: str, depth: int) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for where, view in _views(place, said):
        yield where, view
        for match in _BASE64.finditer(view) if depth > 0 else ():
            for word in {match[0], match[0].removesuffix(match["short"] or "")} - seen:
                seen.add(word)
                yield from _decoded(f"{where} (base64)", base64.urlsafe_b64decode, _padded(word), depth)
        for match in _HEX.finditer(view) if depth > 0 else ():
            if f"hex {match[0]}" not in seen:
                seen.add(f"hex {match[0]}")
                yield from _decoded(f"{where} (hexadecimal)", binascii.unhexlify, match[0].encode(), depth)


def _views(place: str, said: str) -> Iterator[tuple[str, str]]:
    """The text, and what its escapes stand for, as often as there are any."""
    yield place, said
    for _ in range(DEPTH):
        before = said
        for name, unescaped in _ESCAPES.items():
            if (other := unescaped(said)) != said:
                said, place = other, place if place.endswith(name) else f"{place} ({name})"
                yield place, said
        if said == before:
            return


def _decoded(place: str, decode: Callable[[bytes], bytes], said: bytes, depth: int) -> Iterator[tuple[str, str]]:
    """If it is text, or something packed; a digest is neither."""
    try:
        found = decode(said)
    except (ValueError, binascii.Error):
        return
    packed = any(found.startswith(start) for start in PACKED)
    if packed or (found and sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in found) >= 0.95 * len(found)):
        yield from data(place, found, depth - 1)


def _padded(said: str) -> bytes:
    word = re.sub(r"[\s=]", "", said).replace("+", "-").replace("/", "_")
    return (word[: len(word) - (len(word) % 4 == 1)] + "=" * (-len(word) % 4 % 3)).encode()


def _escaped(found: re.Match[str]) -> str:
    what = found[1]
    return chr(int(what[1:], 16)) if len(what) > 1 else _PLAIN.get(what, what)


def _inside(place: str, held: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, or the file that was packed. What cannot be read ends it: the rest is looked at as it is."""
    try:
        if held[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(held), mode="r:") as tar:
                for member in tar:
                    said = f"{member.linkname} {member.uname} {member.gname} {member.pax_headers}".replace("  ", "").replace(
                        "{}", ""
                    )
                    file = tar.extractfile(member) if member.isfile() else None
                    yield f"{place}: {member.name}", file.read(LARGEST) if file else said.encode()
        elif held[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(held)) as archive:
                for one in archive.infolist():
                    yield f"{place}: {one.filename}", archive.open(one).read(LARGEST)
        else:
            for start, (name, unpack) in PACKED.items():
                if held.startswith(start):
                    yield f"{place} ({name})", unpack(held)
    except _UNREADABLE:
        return


def _readable(held: bytes) -> str:
    """Of what is no text its printable stretches: secrets are longer than such happen to be."""
    try:
        return held.decode()
    except UnicodeDecodeError:
        return "\n".join(stretch.decode() for stretch in _PRINTED.findall(held))


def _around(held: bytes) -> bytes:
    """A tar without its files, which are looked at one by one: headers, padding, and what is behind its end."""
    parts, at = [], 0
    try:
        with tarfile.open(fileobj=io.BytesIO(held), mode="r:") as tar:
            for member in tar.getmembers():
                parts.append(held[at : member.offset_data])
                at = member.offset_data + (member.size if member.isfile() else 0)
    except _UNREADABLE:
        pass
    return b"\n".join([*parts, held[at:]])


def _table(held: bytes) -> list[tuple[str, str]]:
    with tempfile.NamedTemporaryFile(prefix="harness-table-", suffix=".parquet") as file:
        file.write(held)
        file.flush()
        try:
            return columns.texts(Path(file.name))
        except StoreError:
            return [("unreadable", held.decode("utf-8", "replace"))]
