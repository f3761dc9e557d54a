"""The collector's folder. Bundles lie in it by their SHA-256; a file counts once a row says so, and a row is written once its
file is on the disk.

bundles/ab/abcd….tar    what was accepted
incoming/               what is being received: wiped at the start
work/                   folders of processes that open bundles: wiped at the start
results/USER/SUBMISSION what pages are made of: unpacked again where it is missing
site/current            the pages: a link to the newest folder beside it
collector.sqlite        users and submissions, unless --db names another database
lock                    one server at a time
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.collect.rows import Rows
from harness.errors import StoreError
from harness.schema.collect import Held
from harness.store.folder import synced

CHUNK = 1 << 20
DATABASE, LOCK = "collector.sqlite", "lock"


class Depot:
    def __init__(self, root: Path) -> None:
        """Makes the folders. Raises `StoreError`."""
        self.root = root
        self.incoming, self.work, self.results, self.site = (root / name for name in ("incoming", "work", "results", "site"))
        self._bundles = root / "bundles"
        self._one_at_a_time = threading.Lock()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self._bundles, self.incoming, self.work, self.results, self.site):
                folder.mkdir(exist_ok=True)
            synced(root)
        except OSError as error:
            raise unwritable(error, root) from None

    @property
    def database(self) -> str:
        return f"sqlite:///{(self.root / DATABASE).absolute()}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises `StoreError` where another server has this folder."""
        with (self.root / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"{self.root}: another collector serves this folder", "end it first, or name another"
                ) from None
            yield

    def file(self, sha256: str) -> Path:
        return self._bundles / sha256[:2] / f"{sha256}.tar"

    def keep(self, part: Path, held: Held, rows: Rows) -> None:
        """An accepted bundle, of which `part` is on the disk: the file takes its place, then the row says so. Raises `Taken`, `OSError`."""
        to = self.file(held.sha256)
        with self._one_at_a_time:
            if not to.parent.exists():
                to.parent.mkdir()
                synced(self._bundles)
            part.replace(to)
            synced(to.parent)
            try:
                rows.keep(held)
            finally:
                self._unless_held(held.sha256, rows)

    def withdraw(self, held: Held, rows: Rows) -> None:
        """Not there any more at once: row, file, what was unpacked, its page. The board forgets it when it is built again."""
        with self._one_at_a_time:
            rows.withdraw(held.submission)
            self._unless_held(held.sha256, rows)
        shutil.rmtree(self.results / held.user / held.submission, ignore_errors=True)

    def _unless_held(self, sha256: str, rows: Rows) -> None:
        if not rows.holds(sha256):
            self.file(sha256).unlink(missing_ok=True)

    def recover(self, rows: Rows) -> list[str]:
        """After whatever ended the server before: what nobody was told of goes. Gives accepted digests whose file is not there whole."""
        for folder in (self.incoming, self.work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
        held = rows.digests()
        for file in self._bundles.glob("*/*"):
            if file.stem not in held:
                file.unlink()
        return [digest for digest, size in held.items() if not _has(self.file(digest), size)]

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.root).free

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A new folder for one process."""
        folder = self.work / os.urandom(8).hex()
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def current(self) -> Path:
        return self.site / "current"

    def new_site(self) -> Path:
        """Where the next pages go; all but what is shown now goes."""
        shown = self.current.resolve()
        for folder in self.site.iterdir():
            if folder != self.current and folder != shown:
                shutil.rmtree(folder, ignore_errors=True)
        return self.site / os.urandom(8).hex()

    def show(self, site: Path) -> None:
        """From one moment to the next; who reads a page of the former ones, may."""
        link = self.site / f"{site.name}.link"
        link.symlink_to(site.name)
        link.replace(self.current)


def copied(source: Depot, target: Depot, digests: Sequence[str]) -> list[str]:
    """Files by digest, each held against it. Gives those that are missing or no longer what they were."""
    missing = []
    for digest in digests:
        to = target.file(digest)
        to.parent.mkdir(exist_ok=True)
        found = hashlib.sha256()
        with suppress(FileNotFoundError), source.file(digest).open("rb") as file, to.open("wb") as copy:
            while data := file.read(CHUNK):
                found.update(data)
                copy.write(data)
            copy.flush()
            os.fsync(copy.fileno())
        if found.hexdigest() == digest:
            synced(to.parent)
        else:
            to.unlink(missing_ok=True)
            missing.append(digest)
    return missing


def unwritable(error: OSError, root: Path) -> StoreError:
    return StoreError(
        f"{error.filename or root}: cannot be written: {error.strerror}",
        "free some space, or make the collector's folder writable",
    )


def _has(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size == size
    except FileNotFoundError:
        return False
