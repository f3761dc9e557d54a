"""What sources have in common that read small files of /sys and /proc, again and again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from harness import clock
from harness.schema.sensors import Absent
from harness.sense.base import Reading
from harness.units import seconds

MOST_W = 1000.0
"""More than any chip draws: by what it could have counted at the most, a wrap is told from a register that was set back."""
STALE_S = 1.0
"""The register may have been this old at the reading before."""
FAULTS = (OSError, ValueError, LookupError, ArithmeticError)
"""What asking may raise: it cannot be read, or says something else than was expected."""
CODES = {
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    errno.ENOENT: "not_supported",
    errno.ENODATA: "not_supported",
    errno.EOPNOTSUPP: "not_supported",
}


class File:
    """Stays open, which makes reading cheap, and is only ever opened for reading. What cannot be read any longer is opened anew by its
    name: a driver that comes back has new files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def head(self, size: int = 256) -> bytes:
        """What one read gives of it. Raises OSError."""
        if self._descriptor is not None:
            try:
                return os.pread(self._descriptor, size, 0)
            except OSError:
                self.close()
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._descriptor, size, 0)

    def number(self) -> int:
        """Raises OSError, ValueError."""
        return int(self.head(64))

    def text(self) -> str:
        """All of it: some files in /proc come a page at a time. Raises OSError."""
        parts = [self.head(1 << 16)]
        while parts[-1]:
            assert self._descriptor is not None
            parts.append(os.pread(self._descriptor, 1 << 16, sum(map(len, parts))))
        return b"".join(parts).decode("utf-8", "replace")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Counter:
    """A register of microjoules that begins again at 0 → a count that goes on.

    A register that fell by something else than a wrap was set back: then the count falls too, for others to judge.
    """

    def __init__(self, range_uj: int) -> None:
        self._range_uj = range_uj
        self._wrapped_uj = self._last_uj = 0
        self._t_ns = clock.now()

    def count(self, register_uj: int) -> int:
        now = clock.now()
        if register_uj < self._last_uj:
            most_uj = MOST_W * 1e6 * (seconds(now - self._t_ns) + STALE_S)
            if register_uj + self._range_uj - self._last_uj <= most_uj:
                self._wrapped_uj += self._range_uj
        self._last_uj, self._t_ns = register_uj, now
        return self._wrapped_uj + register_uj


class Question(msgspec.Struct, frozen=True):
    scope: str
    what: str
    """Named in `Absent`."""
    files: Sequence[File]
    ask: Callable[[], Sequence[Reading]]
    """Raises `FAULTS`."""


def number(scope: str, name: str, unit: str, path: Path, per: float, counter: Counter | None = None) -> Question:
    """A file with one number, of which `per` make one of the unit."""
    file = File(path)

    def ask() -> Sequence[Reading]:
        value = file.number()
        return ((scope, name, (counter.count(value) if counter else value) / per, unit),)

    return Question(scope, name, (file,), ask)


def word(path: Path) -> str | None:
    """A file's text without the white space around it; None where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


class FileSource:
    """Asks each question once when it is opened: one that is refused for good is not asked again."""

    alone = False

    def __init__(self, name: str, period_s: float, questions: Iterable[Question], absent: Iterable[Absent] = ()) -> None:
        self.name, self.period_s = name, period_s
        self._absent = list(absent)
        self._lost: set[str] = set()
        self._questions: list[Question] = []
        for question in questions:
            try:
                question.ask()
            except FAULTS as error:
                code = CODES.get(error.errno or 0, "unreadable") if isinstance(error, OSError) else "unreadable"
                self._note(question, code, f"{question.what} cannot be read: {_said(error)}")
                if code != "unreadable":
                    _close(question)
                    continue
                self._lost.add(question.what)
            self._questions.append(question)

    def read(self) -> Iterator[Reading]:
        for question in self._questions:
            try:
                readings = question.ask()
            except FAULTS as error:
                if question.what not in self._lost:
                    self._lost.add(question.what)
                    self._note(question, "lost", f"{question.what} was read at first, and then no longer: {_said(error)}")
            else:
                yield from readings

    @property
    def absent(self) -> tuple[Absent, ...]:
        return tuple(self._absent)

    def close(self) -> None:
        for question in self._questions:
            _close(question)

    def _note(self, question: Question, code: str, text: str) -> None:
        self._absent.append(Absent(source=self.name, scope=question.scope, code=code, text=text))


def _close(question: Question) -> None:
    for file in question.files:
        file.close()


def _said(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it does not say what was expected"
