"""What is done on a machine itself. `LocalHost` calls it; on a far host a Python that ssh started gets this very file on its standard
input, as a program: `agent` answers questions, `supervise` starts a server and ends it when home is gone.

Only the standard library, of Python 3.9 or newer: nothing is installed or copied there. Home sends at least an empty line every few
seconds; `LEASE_S` of silence means that the connection is lost, which TCP itself would not notice for hours.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

MARK = "HARNESS_RUN"
"""The variable by which all processes of one server are known."""
LEASE_S = 20.0
TICK_S = 0.2
LOOK_TICKS = 5
GRACE_TICKS = 25
"""Five seconds between asking a family to end and ending it."""
KILL_TICKS = 100
UNDO_LIMIT_S = 60.0

Member = tuple[int, int, str]
"""A process: its number, its start in clock ticks since boot, its name."""


class CannotStart(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Stat:
    """The parts of /proc/PID/stat that matter here (proc(5)): the name may hold blanks and brackets, so it is cut out first."""

    def __init__(self, pid: int, text: bytes) -> None:
        head, _, tail = text.rpartition(b")")
        fields = tail.split()
        self.zombie = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1  # a first thread that ended leaves the others running
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.pid, self.started = pid, int(fields[19])
        self.name = head.partition(b"(")[2].decode("utf-8", "replace")

    @property
    def member(self) -> Member:
        return self.pid, self.started, self.name


def stat(pid: int) -> Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return Stat(pid, file.read())
    except OSError:  # it ended meanwhile
        return None


def run(argv: list[str], timeout_s: float) -> tuple[int | None, str, str]:
    """(code, output, errors); no code where it could not start or was stopped at its limit."""
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as error:
        return None, "", f"{argv[0]}: {error.strerror}"
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        with suppress(PermissionError):  # sudo is root's
            child.kill()
        return None, "", f"{argv[0]} did not end within {timeout_s:g} s"  # and is not waited for: it may never end
    return child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def read(path: str, limit: int) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return None


def start(argv: list[str], env: dict[str, str], cwd: str | None, out: Any) -> subprocess.Popen[bytes]:
    """In a session of its own, both outputs into `out` (None: where ours go). Raises `CannotStart`."""
    if cwd is not None and not os.path.isdir(cwd):
        raise CannotStart(f"{cwd}: there is no such folder to start {argv[0]} in", "correct the recipe's working directory")
    program = shutil.which(argv[0], path=env.get("PATH"))
    if program is None:
        raise CannotStart(f"{argv[0]}: no such program", "install the engine (make engines), or correct the recipe's command")
    try:
        return subprocess.Popen(
            argv,
            executable=program,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        hint = "check that it may be run, and that the log's folder may be written"
        raise CannotStart(f"{error.filename or argv[0]}: {error.strerror}", hint) from error


def family(pid: int | None, started: int, mark: str) -> list[Member]:
    """See `hosts.base.Host.family`."""
    running = {number: found for number in _pids() if (found := stat(number)) is not None}
    holder = running.get(pid) if pid is not None else None
    if pid is None or (holder and holder.started != started):  # its number went to somebody else
        related = set()
    else:
        related = {number for number, found in running.items() if pid in (number, found.session)}
    marked = running if mark else ()
    related |= {number for number in marked if mark.encode() in (read(f"/proc/{number}/environ", 1 << 20) or b"").split(b"\0")}
    while children := {number for number, found in running.items() if found.parent in related} - related:
        related |= children
    return [running[number].member for number in sorted(related) if not running[number].zombie]


def alive(pid: int, started: int) -> bool:
    found = stat(pid)
    return found is not None and not found.zombie and found.started == started


def send(pid: int, started: int, number: int) -> bool:
    if not alive(pid, started):
        return True
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def port_free(address: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True  # an address we cannot resolve is the server's to complain about
    return all(_can_bind(family, sockaddr) for family, _, _, _, sockaddr in found)


def listens(port: int) -> set[str]:
    """Inodes of the sockets that listen there."""
    rows = (row.split() for table in ("tcp", "tcp6") for row in (read(f"/proc/net/{table}", 1 << 24) or b"").splitlines()[1:])
    return {row[9].decode() for row in rows if row[3] == b"0A" and int(row[1].rpartition(b":")[2], 16) == port}


def port_owner(port: int) -> str | None:
    wanted = {f"socket:[{inode}]" for inode in listens(port)}
    for pid in _pids() if wanted else ():
        try:
            if any(os.readlink(file.path) in wanted for file in os.scandir(f"/proc/{pid}/fd")):
                found = stat(pid)
                return f"{found.name if found else 'a process'} (pid {pid})"
        except OSError:  # it ended, or is somebody else's
            continue
    return None


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _can_bind(family: int, sockaddr: Any) -> bool:
    """False only where somebody else has it: any other reason is the server's to complain about."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: connections in TIME_WAIT do not count
            probe.bind(sockaddr)
    except OSError as error:
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def _wall() -> int:
    """Microseconds since 1970: other modules read clocks through `harness.clock`, which is not there."""
    return round(datetime.now(timezone.utc).timestamp() * 1e6)  # noqa: UP017  older Pythons know no other name for it


def _available() -> int | None:
    """Bytes that programs may still take."""
    for line in (read("/proc/meminfo", 1 << 16) or b"").splitlines():
        if line.startswith(b"MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _read_text(path: str, limit: int) -> str | None:
    data = read(path, limit)
    return None if data is None else data.decode("latin-1")


ANSWERS: dict[str, Callable[..., object]] = {
    "run": run,
    "read": _read_text,
    "glob": lambda pattern: sorted(glob.glob(pattern)),
    "family": family,
    "alive": alive,
    "send": send,
    "port_free": port_free,
    "port_owner": port_owner,
    "listens": lambda port: bool(listens(port)),
    "wall": _wall,
}


def agent() -> None:
    _say(1, {"env": dict(os.environ)})
    for line in _lines():
        number, what, *given = json.loads(line)
        _say(1, {"to": number, "answer": ANSWERS[what](*given)})


def supervise() -> None:
    """Reads its order, starts the command, and stays until home says nothing more; then ends everything that it started."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))  # the `finally` below
    _say(2, {"ready": True})
    order = json.loads(next(_lines()))
    try:
        child = start(order["argv"], order["env"], order["cwd"], None)
    except CannotStart as refused:
        _say(2, {"refused": [refused.message, refused.hint]})
        return
    found = stat(child.pid)
    assert found is not None  # it was not waited for, so it is there, if only as a zombie
    seen = {found.member}
    try:
        _say(2, {"process": found.member})
        _stay(child, order, found, seen)
    except OSError:  # nobody listens any more
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end(found, order["mark"], seen)
        if order["undo"]:  # though the command has ended: Docker's client may, of a closed pipe, while its container goes on
            run(order["undo"], UNDO_LIMIT_S)


def _stay(child: subprocess.Popen[bytes], order: dict[str, Any], root: Stat, seen: set[Member]) -> None:
    silent = tick = 0
    told = False
    while silent * TICK_S < LEASE_S:
        if select.select([0], [], [], TICK_S)[0]:
            if not os.read(0, 1 << 16):
                return
            silent = 0
            select.select([], [], [], TICK_S)
        silent, tick = silent + 1, tick + 1
        if not told and child.poll() is not None:
            select.select([], [], [], TICK_S)  # its last words come home before the news of its end
            _say(2, {"code": child.returncode})
            told = True
        if tick % LOOK_TICKS == 0:
            seen |= set(family(root.pid, root.started, order["mark"]))
        free = _available() if order["floor"] else None
        if free is not None and free < order["floor"]:
            for pid, started, _ in seen:
                send(pid, started, signal.SIGKILL)
            _say(2, {"low": free})
            return


def _end(root: Stat, mark: str, seen: set[Member]) -> None:
    for tick in range(KILL_TICKS):
        seen |= set(family(root.pid, root.started, mark))
        left = [(pid, started) for pid, started, _ in seen if alive(pid, started)]
        if not left:
            return
        for pid, started in left:
            if tick == 0 or tick >= GRACE_TICKS:
                send(pid, started, signal.SIGKILL if tick else signal.SIGTERM)
        select.select([], [], [], TICK_S)


def _lines() -> Iterator[bytes]:
    buffer = b""
    while select.select([0], [], [], LEASE_S)[0]:
        data = os.read(0, 1 << 16)
        if not data:
            return
        *whole, buffer = (buffer + data).split(b"\n")
        yield from filter(None, whole)


def _say(to: int, what: object) -> None:
    text = json.dumps(what).encode() + b"\n"
    while text:
        text = text[os.write(to, text) :]


if __name__ == "__main__":
    {"agent": agent, "supervise": supervise}[sys.argv[1]]()
