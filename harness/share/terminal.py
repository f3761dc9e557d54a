"""The terminal before which somebody sits, whatever standard input and output are."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from harness.errors import NoConsent

DEVICE = "/dev/tty"
LONGEST_LINE = 4096
PAGER = ("env", "LESSSECURE=1", "less", "--no-init", "--quit-if-one-screen")
HINT = "run it in a terminal; for a run without one make a consent file there before: --consent-file FILE"


class Terminal:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.width = os.get_terminal_size(fd).columns or 80

    def say(self, text: str) -> None:
        data = f"{text}\n".encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def page(self, lines: Iterable[str]) -> None:
        """In a pager, as far as it wants them: exact bytes can be many."""
        if shutil.which(PAGER[2]) is None:
            for line in lines:
                self.say(line)
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's, which would leave the terminal as it was
        try:
            with subprocess.Popen(PAGER, stdin=subprocess.PIPE, stdout=self._fd) as pager:
                assert pager.stdin is not None
                with suppress(BrokenPipeError), pager.stdin as pipe:
                    pipe.writelines(f"{line}\n".encode() for line in lines)
        finally:
            signal.signal(signal.SIGINT, before)

    def ask(self, prompt: str) -> str:
        """A line that was typed after the prompt. Raises `NoConsent` where there is none."""
        termios.tcflush(self._fd, termios.TCIFLUSH)  # what was typed before the prompt is no answer to it
        self.say(prompt)
        line = b""
        try:
            while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                got = os.read(self._fd, LONGEST_LINE)
                if not got:
                    raise NoConsent("nothing was typed, so nothing was sent", "type what is asked for, if you agree")
                line += got
        except OSError as error:
            raise NoConsent(f"the terminal is gone ({error.strerror}), so nothing was sent", HINT) from None
        return line.decode(errors="replace").strip()


@contextmanager
def opened() -> Iterator[Terminal]:
    """Raises `NoConsent` where this process has none, or is in its background."""
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NoConsent(f"there is no terminal to ask on ({error.strerror}), so nothing was sent", HINT) from None
    try:
        if not os.isatty(fd) or os.tcgetpgrp(fd) != os.getpgrp():
            raise NoConsent("it runs in the background of its terminal, so nothing was sent", HINT)
        yield Terminal(fd)
    finally:
        os.close(fd)
