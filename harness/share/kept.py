"""Parcels that may be sent yet, in the user's state folder: what was consented to, and what a sending that broke off had sent, is what goes
the next time, to the byte. They go when the target has confirmed them, or after as many days as a consent is good for."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from harness import clock
from harness.errors import StoreError
from harness.share.consent import DAYS
from harness.share.parcel import Parcel
from harness.store.folder import write_atomic
from harness.typed import unpacked

FOLDER = "parcels"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    parcel: Parcel
    origin: str
    """What it was made of: the SHA-256 of the result's files, a blank, and that of what was chosen for it."""
    sent: tuple[str, ...] = ()
    """Files that the target has confirmed."""


def find(state: Path, target: str, where: str, origin: str) -> Kept | None:
    """The newest that was made of this for that place."""
    known = (_read(path) for path in _newest(state, f"{_origin(target, where, origin)}-*"))
    return next((kept for kept in known if kept and _same(kept, target, where) and kept.origin == origin), None)


def by_submission(state: Path, submission: str) -> Kept | None:
    known = (_read(path) for path in _newest(state, f"*-{submission}") if re.fullmatch("[a-z2-7]+", submission))
    return next((kept for kept in known if kept and kept.parcel.submission == submission), None)


def keep(state: Path, kept: Kept) -> None:
    """Raises `StoreError`."""
    path = _path(state, kept)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(path.parent)
        write_atomic(path, msgspec.msgpack.encode(kept))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}", "free some space, or make that folder writable"
        ) from None


def drop(state: Path, kept: Kept) -> None:
    _path(state, kept).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    oldest = clock.utc_now().timestamp() - DAYS * 24 * 3600
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _newest(state: Path, pattern: str) -> list[Path]:
    return sorted((state / FOLDER).glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)


def _read(path: Path) -> Kept | None:
    try:
        return unpacked(path.read_bytes(), Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def _same(kept: Kept, target: str, where: str) -> bool:
    return (kept.parcel.target, kept.parcel.where) == (target, where)


def _path(state: Path, kept: Kept) -> Path:
    parcel = kept.parcel
    return state / FOLDER / f"{_origin(parcel.target, parcel.where, kept.origin)}-{parcel.submission}"


def _origin(target: str, where: str, origin: str) -> str:
    return hashlib.sha256(msgspec.json.encode((target, where, origin))).hexdigest()[:32]
