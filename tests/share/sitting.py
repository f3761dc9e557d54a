"""Somebody who sits before a terminal: `harness` in a session of its own, with a real pseudo-terminal as its controlling one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from harness import clock
from harness.schema.consent import Receipt
from tests.share import forger

PHRASE = re.compile(r"type exactly: ((?:send|withdraw) [0-9a-f]{8} (?:to|from) [a-z-]+)")
CTRL_C, CTRL_D = "\x03", "\x04"
PATIENCE_S = 60


class Place:
    """A result, a home, and the state folder of somebody."""

    def __init__(self, folder: Path) -> None:
        self.results, self.home = folder / "results", folder / "home"
        self.home.mkdir(parents=True)
        self.result = forger.unpacked(self.results / "smollm2-135m-cpu" / "20261125T172508Z-77b05a")
        self.state = self.home / ".local" / "state" / "spark-harness" / "share"
        gone = ("XDG_STATE_HOME", "HARNESS_RESULTS")
        self.env = {name: value for name, value in os.environ.items() if name not in gone} | {"HOME": str(self.home)}

    def argv(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "harness", "share", *map(str, words), "--results", str(self.results)]

    def share(self, *words: object, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Without a terminal."""
        return subprocess.run(
            self.argv(*words),
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            input=stdin or "",
            start_new_session=True,
        )

    def sit(self, *words: object, **env: str) -> Sitting:
        return Sitting(self.argv(*words), self.env | env)

    def agree(self, *words: object, **env: str) -> tuple[int, str]:
        """Reads the preview, and types the phrase."""
        with self.sit(*words, **env) as sitting:
            sitting.type(sitting.phrase())
            return sitting.end()

    def receipts(self) -> list[Receipt]:
        paths = sorted(self.result.glob("receipts/*.json"))
        return [msgspec.json.decode(path.read_bytes(), type=Receipt) for path in paths]


class Sitting:
    def __init__(self, argv: Sequence[str], env: Mapping[str, str], stdin: int | None = None) -> None:
        """`stdin`: what standard input is instead of the terminal."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.seen = ""
        self.process = subprocess.Popen(
            argv,
            env=dict(env),
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def __enter__(self) -> Sitting:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def type(self, text: str, end: str = "\n") -> None:
        os.write(self._ours, (text + end).encode())

    def until(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        start = clock.now()
        while not (found := re.search(pattern, self.seen)):
            assert clock.since(start) < PATIENCE_S, self.seen
            assert self._read(), self.seen
        return found

    def phrase(self) -> str:
        return self.until(PHRASE)[1]

    def end(self) -> tuple[int, str]:
        """(exit code, everything that was on the screen)."""
        start = clock.now()
        while self._read():
            assert clock.since(start) < PATIENCE_S, self.seen
        return self.process.wait(PATIENCE_S), self.seen

    def _read(self) -> bool:
        """False: nobody will write any more."""
        if not select.select([self._ours], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # all have closed the other side
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
