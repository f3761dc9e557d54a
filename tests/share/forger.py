"""What somebody does who wants other figures: takes a bundle apart, changes it, and puts it together so that every sum is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec

from harness.share import bundle
from harness.store import folder
from tests.share.make_golden import GOLDEN


def unpacked(to: Path) -> Path:
    """The files of the golden bundle in the folder `to`."""
    with bundle.opened(GOLDEN) as found:
        for name in found.manifest.files:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((found.folder / name).read_bytes())
    return to


def bundled(path: Path, out: Path, sign: Callable[[bytes], bytes] | None = None) -> Path:
    result, files = folder.read_result(path), folder.evidence(path)
    about = bundle.manifest(files, result=result.id, harness_version=result.harness_version)
    bundle.write(out, files, about, sign)
    return out


def change_json(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    data = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    change(data)
    file.write_bytes(msgspec.json.encode(data))


def change_table(file: Path, select: str) -> None:
    """`select` is a query on `t`."""
    db = duckdb.connect()
    db.execute(f"CREATE TABLE t AS SELECT * FROM read_parquet('{file}')")
    db.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
