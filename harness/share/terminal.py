"""The terminal before which somebody sits, whatever standard input and output are."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import NoConsent

DEVICE = "/dev/tty"
LONGEST_LINE = 4096
PAGER = ("env", "LESSSECURE=1", "less", "--no-init", "--quit-if-one-screen")
HINT = "run it in a terminal; for a run without one make a consent file there before: --consent-file FILE"


class Terminal:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        size = os.get_terminal_size(fd)
        self.width, self._lines = size.columns or 80, size.lines or 24

    def say(self, text: str) -> None:
        data = f"{text}\n".encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def page(self, text: str) -> None:
        """In a pager, if it is longer than the screen."""
        if shutil.which(PAGER[2]) is None or text.count("\n") < self._lines:
            self.say(text)
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's, which would leave the terminal as it was
        try:
            subprocess.run(PAGER, input=text.encode(), stdout=self._fd, check=False)
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
