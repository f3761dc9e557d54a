"""What the harness needs of a machine that commands run on. Only text, numbers and paths cross it, so that a host may be far
away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Ran(msgspec.Struct, frozen=True):
    """A finished command. `code` is None when it could not start or was stopped at its time limit; `err` then says which."""

    code: int | None
    out: str
    err: str


class Process(msgspec.Struct, frozen=True):
    """A process, told apart from a later one with the same number by its start."""

    pid: int
    started: int
    """Clock ticks since the machine's boot, as in /proc/PID/stat."""
    name: str


class Host(Protocol):
    name: str
    """`local`, or the address it is reached by."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Ran:
        """Runs a short command to its end."""

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """The first `limit` bytes of a file; None when it cannot be read."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Absolute paths that match, sorted."""

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None,
        log: str,
        undo: Sequence[str] = (),
        floor: int = 0,
    ) -> Process:
        """Starts a command in a session of its own, both outputs appended to `log`, a file of ours. `env` is its whole environment.

        On a far host it ends with everything it started, and `undo` is run, when we are gone or the connection is, though it may have ended
        before; it ends at once when less than `floor` bytes of memory are free there. Raises `MachineError` when the program or
        the folder is not there or the log cannot be written.
        """

    def exit_code(self, process: Process) -> int | None:
        """How a spawned command ended: its exit code, or minus the signal that ended it. None while it runs."""

    def family(self, root: Process | None, mark: str) -> tuple[Process, ...]:
        """Running processes that descend from `root`, are of its session, or carry the variable `mark` (`NAME=value`) in their
        environment, with their descendants; `root` itself included."""

    def alive(self, process: Process) -> bool:
        """Whether it still runs; a zombie does not."""

    def signal(self, process: Process, number: int) -> bool:
        """Sends a signal if it is still that process; False when it may not."""

    def port_free(self, address: str, port: int) -> bool:
        """Whether a server could listen there."""

    def port_owner(self, port: int) -> str | None:
        """Who listens on it, as `python (pid 4711)`, where that can be seen."""
