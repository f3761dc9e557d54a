"""The journal of `harness observe`, beside the results: `results/.observations/<name>.jsonl`, a line a visit."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.schema.observation import Visit
from harness.typed import decoded

FOLDER = ".observations"


def journals(root: Path) -> list[Journal]:
    """Of everything that was observed, by name."""
    return [Journal(root, path.stem) for path in sorted((root / FOLDER).glob("*.jsonl"))]


class Journal:
    """Visits to the servers of one file, a line each, in the order of time."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / FOLDER / f"{name}.jsonl"

    def visits(self) -> list[Visit]:
        """A line that a kill cut short is left out. Raises `StoreError`."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}", "observe into another folder with --results DIR") from None
        found = []
        for line in lines:
            with suppress(msgspec.MsgspecError):
                found.append(decoded(line, Visit))
        return found

    def add(self, visit: Visit) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() and not self._ends_whole():
                    file.write(b"\n")
                file.write(msgspec.json.encode(visit) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}", "free some space, or choose another folder") from None

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises `StoreError` while another process observes the same."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(f"{self.path} is being written by another harness", "wait for it, or end it") from None
            yield
