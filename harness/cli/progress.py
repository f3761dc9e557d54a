"""What a person sees while it runs: one live line on a terminal, plain lines elsewhere. On standard error, so that output stays clean."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from harness.report import text

if TYPE_CHECKING:
    from rich.status import Status

    from harness.order import Now


class Terminal:
    """The conductor's `Observer`. `quiet` says nothing."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._status: Status | None = None

    def __enter__(self) -> Terminal:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False).status("starting")
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """A step that is done or begins: one line that stays."""
        if self._quiet:
            return
        if self._status:
            self._status.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def now(self, now: Now) -> None:
        """What happens at this moment: replaces the live line; nothing without a terminal."""
        if self._status:
            from rich.text import Text

            self._status.update(Text(live_line(now)))


def live_line(now: Now) -> str:
    parts = [f"trial {now.trial + 1} of at least {now.trials}", now.cell, f"{now.done}/{now.total} requests"]
    if now.tok_s is not None:
        parts.append(f"{now.tok_s:.0f} tok/s")
    parts += [f"{scope} {watts:.0f} W" for scope, watts in now.watts.items()]
    return " · ".join([*parts, f"about {text.duration(now.left_s)} left"])


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that the engine is stopped and the result is kept; the exit code tells them apart."""

    def unwind(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, unwind) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
