"""Programs of ours on another host, by the user's own ssh, and how far that host's clock is from ours.

Each is `python -m MODULE -`: standard input first brings questions after its clock, then its order, then an empty line every few seconds.
When standard input ends, whoever asked has gone; when it is silent, the connection is cut, which sshd there would not notice for long.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from harness import clock
from harness.typed import decoded

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=4", "-o", "ServerAliveCountMax=3")
"""Never asks for a password. A connection that is cut without a word ends within 16 s: by itself ssh would wait for ever."""
GIT_SSH = f"${{GIT_SSH_COMMAND:-$(git config --global core.sshCommand || echo ${{GIT_SSH:-ssh}})}} {shlex.join(SSH[1:])}"
"""In a shell: the user's own, which may choose a key, for git; it asks nothing either."""
ANSWER_S = 30.0
"""How long a host has to answer: to connect, and to start Python there."""
TICK = b"?\n"
TICKS = 9
PULSE_S, LEASE_S = 2.0, 20.0
SILENCE_S = 60.0
"""A program of ours says something twice a second. One that has been silent for so long hangs, though its connection stands."""


class Tock(msgspec.Struct, frozen=True):
    t_ns: int
    """The other host's CLOCK_MONOTONIC."""


class Offset(msgspec.Struct, frozen=True):
    """Their clock minus ours, off by at most `error_ns`: half of the shortest time that a question took to be answered."""

    offset_ns: int
    error_ns: int


def command(host: str, python: str, module: str) -> list[str]:
    """By the user's own ssh: its config, its agent, its jump hosts. Nothing is copied there."""
    return [*SSH, host, python, "-m", module, "-"]


def begin(child: subprocess.Popen[bytes], order: object, answer_s: float = ANSWER_S) -> Offset:
    """Compares the clocks and hands the order over. Raises `OSError` or `msgspec.DecodeError` when nobody answers there, or not within
    `answer_s`."""
    stdin, stdout = child.stdin, child.stdout
    assert stdin is not None
    assert stdout is not None

    def ask() -> int:
        stdin.write(TICK)
        stdin.flush()
        if not select.select([stdout], [], [], answer_s)[0]:
            raise TimeoutError
        return decoded(stdout.readline(), Tock).t_ns

    found = compare(ask)
    stdin.write(msgspec.json.encode(order) + b"\n")
    stdin.flush()
    return found


def compare(ask: Callable[[], int]) -> Offset:
    """Some clock minus ours; `ask` gives its instant."""
    best = None
    for _ in range(TICKS):
        before = clock.now()
        theirs = ask()
        after = clock.now()
        found = Offset(theirs - (before + after) // 2, (after - before) // 2)
        best = found if best is None or found.error_ns < best.error_ns else best
    assert best is not None
    return best


@contextmanager
def beating(child: subprocess.Popen[bytes], silence_s: float = SILENCE_S) -> Iterator[Callable[[], None]]:
    """Tells a child that has its order, every few seconds, that we are there. What it gives is to be called whenever the child is heard:
    one that is silent for longer than `silence_s` is killed, so that nobody waits for it."""
    over, heard = threading.Event(), clock.now()

    def hear() -> None:
        nonlocal heard
        heard = clock.now()

    def beat() -> None:
        while not over.wait(min(PULSE_S, silence_s)):
            if clock.since(heard) > silence_s:
                child.kill()
                return
            try:
                if child.stdin is not None:
                    child.stdin.write(b"\n")
                    child.stdin.flush()
            except (OSError, ValueError):  # it has ended, or is told to
                return

    thread = threading.Thread(target=beat, name="beating", daemon=True)
    thread.start()
    try:
        yield hear
    finally:
        over.set()
        thread.join()


def until_gone() -> bool:
    """There: waits until whoever asked has gone. False: the connection is cut, and nobody will read what is still said."""
    while select.select([0], [], [], LEASE_S)[0]:
        if not os.read(0, 1 << 16):  # not by the buffer, whose lock the interpreter wants when it ends
            return True
    return False


def ordered() -> bytes:
    """There: answers the questions, and gives the line with the order."""
    while (line := sys.stdin.buffer.readline()) == TICK:
        say(msgspec.json.encode(Tock(clock.now())))
    return line


def say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
