"""A backup is a collector's folder: SQLite, and files by digest. It is made while the server runs, and can be served as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from harness.collect import rows as tables
from harness.collect.depot import DATABASE, Depot, copied, unwritable
from harness.collect.rows import Rows
from harness.errors import StoreError, UsageError
from harness.schema.collect import ACCEPTED
from harness.store.folder import synced


class Saved(msgspec.Struct, frozen=True):
    users: int
    bundles: int
    bytes: int


def save(depot: Depot, rows: Rows, out: Path) -> Saved:
    """There whole, or not at all. Raises `UsageError`, `StoreError`."""
    if out.exists():
        raise UsageError(f"{out}: it is there already", "name a new folder")
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        target = Depot(part)
        into = tables.opened(target.database)
        saved = _copied(depot, rows, target, into)
        into.close()
        part.replace(out)
        synced(out.absolute().parent)
    except OSError as error:
        raise unwritable(error, out) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return saved


def restore(backup: Path, depot: Depot, rows: Rows) -> Saved:
    """Into a collector that is new, whatever its database. Raises `UsageError`, `StoreError`."""
    if not (backup / DATABASE).is_file():
        raise UsageError(f"{backup}: it is no backup of a collector", f"name a folder with {DATABASE} in it")
    source = Depot(backup)
    try:
        return _copied(source, tables.opened(source.database), depot, rows)
    except OSError as error:
        raise unwritable(error, depot.root) from None


def _copied(source: Depot, rows: Rows, target: Depot, into: Rows) -> Saved:
    """Rows first, at one moment: of what comes later nothing is promised. What was taken back meanwhile has no file any more, and is taken
    back in the copy."""
    held = [one for one in tables.copy(rows, into) if one.state == ACCEPTED]
    sizes = {one.sha256: one.bytes for one in held}
    missing = copied(source, target, list(sizes))
    for one in held:
        if one.sha256 in missing:
            now = rows.find(one.submission)
            if now is not None and now.state == ACCEPTED:
                raise StoreError(
                    f"{source.file(one.sha256)}: an accepted bundle is missing or damaged",
                    "put it back from an earlier backup, or take it back: harness collect list has its submission",
                )
            into.withdraw(one.submission)
    kept = sizes.keys() - set(missing)
    return Saved(users=len(into.users()), bundles=len(kept), bytes=sum(sizes[digest] for digest in kept))
