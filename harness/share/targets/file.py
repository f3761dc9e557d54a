"""A folder: a stick for a machine without a network, a share, a place to look at it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from harness.errors import MachineError, UsageError
from harness.schema.consent import Audience, Receipt
from harness.share.bundle import CHUNK
from harness.share.parcel import Answer, Parcel, Shareable
from harness.store.folder import synced

Say = Callable[[str], None]


class File:
    def audience(self, where: str) -> Audience:
        folder = Path(where)
        if not folder.is_dir():
            raise UsageError(f"--to file:{where}: there is no such folder", "make it, or mount what it is on")
        real = folder.resolve()
        return Audience(
            to=f"the folder {real}" + (f", which is what {folder} leads to" if real != folder else ""),
            seen_by="whoever can read that folder, or is given what it is on",
            terms="none: it is your folder",
            withdrawal="harness share withdraw removes the file, where it is still there as it was written; not copies of it",
        )

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        return {f"{shareable.name}.tar": shareable.bundle}

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        free, size = shutil.disk_usage(parcel.where).free, sum(map(len, parcel.files.values()))
        if not os.access(parcel.where, os.W_OK | os.X_OK):
            raise MachineError(f"{parcel.where}: you may not write there", "make it writable, or name another folder")
        if free < size:
            raise MachineError(f"{parcel.where}: {free:,} bytes are free, and it takes {size:,}", "make room there")

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Say) -> Answer:
        problems = {name: _written(Path(parcel.where) / name, data) for name, data in parcel.files.items()}
        there = [name for name, problem in problems.items() if not problem]
        missing = [name for name, problem in problems.items() if problem]
        why = [f"{name}: {problems[name]}" for name in missing]
        return Answer(
            confirmed=not missing,
            said="; ".join(why) or f"{', '.join(there)}: read back, and the SHA-256 is the same",
            reference=str(Path(parcel.where) / there[0]) if there else "",
            sent=tuple(there),
            missing=tuple(missing),
        )

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Answer:
        kept = []
        for name, entry in receipt.files.items():
            path = Path(receipt.where) / name
            try:
                if path.is_file() and _sha256(path) != entry.sha256:
                    kept.append(f"{path}: it is not what was written, so it stays")
                    continue
                path.unlink(missing_ok=True)
                synced(path.parent)
            except OSError as error:
                raise MachineError(f"{path}: {error.strerror}", "mount what it is on, and make it writable") from None
        return Answer(confirmed=not kept, said="; ".join(kept) or f"{', '.join(receipt.files)}: not there any more")


def _written(path: Path, data: bytes) -> str:
    """Writes it, whole or not at all, and reads it back from the disk. What went wrong; empty: nothing."""
    digest = hashlib.sha256(data).hexdigest()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            synced(path.parent)
        if _sha256(path) == digest:
            return ""
        return "a file with that name and other content is there, or what was written cannot be read back"
    except OSError as error:
        return f"{error.strerror}"
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    """As it lies on the disk, not as memory still has it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
