"""Starts a process of ours that opens what others sent (`python -m harness.collect`): a folder of its own, bounds set by the kernel, and an
end in time whatever happens in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.errors import MachineError, one_line
from harness.schema.collect import Build, Examine, Task
from harness.typed import decoded

ANSWER = "answer.json"
MOST_BYTES = 1 << 20
"""Of its answer."""
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""All of it: no tokens, no proxies. Threads of libraries would each take of the address space."""

T = TypeVar("T")


class Ended(Exception):
    """It did not come to an answer; the text says how it ended."""


class Children:
    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ended = False

    def ask(self, task: Examine | Build, room: Path, kind: type[T]) -> T:
        """`room`: a folder with what it is to open. Raises `Ended`, `MachineError` where it cannot be started, or was ended by us."""
        log = room / "stderr"
        process = _started(room, log)
        self._running.add(process.pid)
        try:
            if not self._ended:
                process.communicate(msgspec.json.encode(Task(task)), timeout=task.bounds.patience_s)
        except subprocess.TimeoutExpired:
            raise Ended(f"it did not end within {task.bounds.patience_s} s") from None
        finally:
            _end(process.pid)
            process.communicate()
            self._running.discard(process.pid)
        if self._ended:
            raise MachineError("the collector is being ended", "start it again")
        if process.returncode != 0:
            raise Ended(_how(process.returncode, log, task))
        try:
            with (room / ANSWER).open("rb") as file:
                return decoded(file.read(MOST_BYTES), kind)
        except (OSError, msgspec.MsgspecError) as error:
            raise Ended(f"it gave no answer: {one_line(str(error))}") from None

    def end(self) -> None:
        """All of them, and none is started any more."""
        self._ended = True
        for pid in list(self._running):
            _end(pid)


def _started(room: Path, log: Path) -> subprocess.Popen[bytes]:
    try:
        with log.open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-I", "-m", "harness.collect"],
                cwd=room,
                env=ENV | {"TMPDIR": str(room.absolute()), "HOME": str(room.absolute())},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
    except OSError as error:
        raise MachineError(f"{sys.executable}: cannot be started: {error.strerror}", "end other processes") from None


def _end(group: int) -> None:
    """What it started, too."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _how(code: int, log: Path, task: Examine | Build) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it took more than {task.bounds.cpu_s} s of a processor, or more memory than there is"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}: it may need more than {task.bounds.memory_bytes >> 20} MiB of memory"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    last = one_line(lines[-1])[:200] if lines else f"it ended with {code}"
    return f"it took more than {task.bounds.memory_bytes >> 20} MiB of memory" if "MemoryError" in last else last
