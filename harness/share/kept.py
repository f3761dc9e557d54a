"""Parcels that may be sent yet, in the user's state folder: what was consented to, and what a sending that broke off had sent, is what goes
the next time, to the byte. They go when the target has confirmed them, or after as many days as a consent is good for."""

from __future__ import annotations

import hashlib
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
    """SHA-256 of what it was made of: the result's files, and what was chosen of them."""
    sent: tuple[str, ...] = ()
    """Files that the target has confirmed."""


def find(state: Path, target: str, where: str, origin: str) -> Kept | None:
    try:
        found = unpacked(_path(state, target, where, origin).read_bytes(), Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    known = (found.parcel.target, found.parcel.where, found.origin)
    return found if known == (target, where, origin) else None


def keep(state: Path, kept: Kept) -> None:
    """Raises `StoreError`."""
    path = _path(state, kept.parcel.target, kept.parcel.where, kept.origin)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(path.parent)
        write_atomic(path, msgspec.msgpack.encode(kept))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}", "free some space, or make that folder writable"
        ) from None


def drop(state: Path, kept: Kept) -> None:
    _path(state, kept.parcel.target, kept.parcel.where, kept.origin).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    oldest = clock.utc_now().timestamp() - DAYS * 24 * 3600
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _path(state: Path, target: str, where: str, origin: str) -> Path:
    words = msgspec.json.encode((target, where, origin))
    return state / FOLDER / hashlib.sha256(words).hexdigest()[:32]
