"""Bundles that somebody makes who wants the collector to do something else. Each is signed by a key that it knows, where it can be."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from harness.schema.bundle import Entry, Manifest
from harness.share import bundle, sign
from harness.share.tar import BLOCK, END, header
from tests.collect.collector import Maker

LARGE = 10 << 30
WORDS = "<script>alert(1)</script>'; DROP TABLE bundles; --\0\x1b[2J"


def bundles(maker: Maker, key: Path) -> Iterator[tuple[str, bytes, str]]:
    """(what, the bytes, what the refusal says)."""
    good = maker.bundle("0a0a0a", key)
    yield "no tar", os.urandom(20_000), "does not begin with MANIFEST.json"
    yield "nothing", b"", "does not begin with MANIFEST.json"
    yield "a zip", b"PK\x03\x04" + os.urandom(1000), "does not begin with MANIFEST.json"
    yield "cut off", good[:-5000], "files:"
    yield "zip slip", named(maker, "../../../../escaped", key), "no file of a bundle is called '../../../../escaped'"
    yield "an absolute path", named(maker, "/tmp/escaped", key), "no file of a bundle is called"
    yield "a name with SQL", named(maker, "x'; DROP TABLE bundles; --", key), "no file of a bundle is called"
    yield "a name that runs something", named(maker, "$(touch escaped)", key), "no file of a bundle is called"
    yield "a header of 10 GB", header_of(maker, LARGE, key), f"{LARGE:,} bytes, and no more than"
    yield "a manifest of 10 GB", header(bundle.MANIFEST, 8**11 - 1) + good[512:], "does not begin with MANIFEST.json"
    yield "a symbolic link", odd_tar(tarfile.SYMTYPE, "../../../collector.sqlite"), "does not begin with MANIFEST.json"
    yield "a symbolic link instead of a file", linked(good, b"2"), "plan.json"
    yield "a hard link", linked(good, b"1"), "plan.json"
    yield "a device", linked(good, b"3"), "plan.json"
    yield "twice", good[:-1024] + good, "MANIFEST.json: the manifest does not have it"
    yield "bytes behind", good + bytes(512), "the end of the archive"
    yield (
        "a manifest of wrong types",
        typed(b'{"schema_version":1,"result":[],"harness_version":{},"files":7}', key),
        "Expected",
    )
    yield "a manifest of brackets", typed(b"[" * 100_000, key), "MANIFEST.json"
    yield "a manifest of the future", typed(b'{"schema_version":99}', key), "bundle format is version 99"
    yield "results of wrong types", changed(maker, "result.json", b'{"schema_version":1,"id":[],"cells":{}}', key), "schema:"
    yield "results of brackets", changed(maker, "result.json", b'{"x":' + b"[" * 10**5, key), "schema:"
    yield "a table that is none", changed(maker, "events.parquet", b"PAR1" * 9, key), "schema:"
    yield "a run that goes on", maker.bundle("0b0b0b", key, state="running"), "schema:"


def large(maker: Maker, key: Path) -> Iterator[tuple[str, bytes, str]]:
    """Little on the disk, much in memory. What the last two hold `harness verify` would take on a large machine."""
    yield "a table of 1 GB of text", changed(maker, "events.parquet", texts(maker, 1000), key), "emory"
    yield "a table of 21 million rows", changed(maker, "events.parquet", bomb(maker, 21_000_000), key), "rows"
    yield "a table of 5 GB of text", changed(maker, "events.parquet", texts(maker), key), "bytes of text"
    yield "a table of 12 million rows", changed(maker, "events.parquet", bomb(maker, 12_000_000), key), ""


def named(maker: Maker, name: str, key: Path) -> bytes:
    return maker.of(maker.files | {name: b"x"}, "0a0a0a", key)


def changed(maker: Maker, name: str, data: bytes, key: Path) -> bytes:
    return maker.of(maker.files | {name: data}, maker.result["id"], key)


def header_of(maker: Maker, size: int, key: Path) -> bytes:
    """A manifest and a header that promise more than there is."""
    files = {"logs/engine.log": Entry(size, "0" * 64)}
    data = bundle.encoded(Manifest(result="0a0a0a", harness_version="0.1.0", files=files))
    parts = [header(bundle.MANIFEST, len(data)), data, bytes(-len(data) % BLOCK)]
    head = bytearray(header("logs/engine.log", 8**11 - 1))
    head[124:136] = b"\x80" + size.to_bytes(11, "big")  # as GNU tar writes what has no room in octal digits
    total = sum(head[:148]) + sum(head[156:]) + 8 * ord(" ")
    head[148:156] = b"%06o\0 " % total
    return bundle.signed(b"".join([*parts, bytes(head)]) + END, partial(sign.sign, key=key))


def odd_tar(kind: bytes, target: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("MANIFEST.json")
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return out.getvalue()


def linked(good: bytes, kind: bytes) -> bytes:
    """The header of `plan.json` with another type and a target."""
    at = good.index(b"plan.json\0")
    head = bytearray(good[at : at + 512])
    head[156:157], head[157:175] = kind, b"/etc/passwd\0".ljust(18, b"\0")
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + sum(head[156:]) + 8 * ord(" "))
    return good[:at] + bytes(head) + good[at + 512 :]


def typed(manifest: bytes, key: Path) -> bytes:
    made = header(bundle.MANIFEST, len(manifest)) + manifest + bytes(-len(manifest) % BLOCK) + END
    return bundle.signed(made, partial(sign.sign, key=key))


def bomb(maker: Maker, rows: int) -> bytes:
    """A few kilobytes on the disk."""
    return _rewritten(maker, f"SELECT first.* FROM (SELECT * FROM t LIMIT 1) AS first, range({rows})")


def texts(maker: Maker, rows: int = 5000) -> bytes:
    return _rewritten(
        maker, f"SELECT first.* REPLACE (repeat('x', 1000000) AS text) FROM (SELECT * FROM t LIMIT 1) AS first, range({rows})"
    )


def _rewritten(maker: Maker, select: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "t.parquet")
        file.write_bytes(maker.files["events.parquet"])
        db = duckdb.connect()
        db.execute(f"CREATE TABLE t AS SELECT * FROM read_parquet('{file}')")
        db.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
        return file.read_bytes()


def scripted(maker: Maker, key: Path) -> bytes:
    """Sound, and with words in it that mean something to a browser and a database: it is taken, and they stay words."""
    plan = msgspec.json.decode(maker.files["plan.json"])
    result = maker.result | {"id": "0c0c0c", "recipe_name": WORDS}
    files = maker.files | {
        "plan.json": msgspec.json.encode(plan | {"recipe_name": WORDS}),
        "result.json": msgspec.json.encode(result),
    }
    return maker.of(files, "0c0c0c", key)
