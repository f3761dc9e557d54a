"""This machine."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from harness.errors import MachineError
from harness.hosts.base import Process, Ran

MACHINE_WIDE = re.compile(r"/sys/|/etc/|/proc/(?![\[\d]|self/|thread-self/)")


class LocalHost:
    """Keeps the children that it started, so that their exit codes can be asked for.

    `root` is where the machine's /proc, /sys and /etc lie, if elsewhere, as in a container that was given the host's. What is not there
    is read in its usual place, and so is what belongs to processes.
    """

    name = "local"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = str(root).rstrip("/")
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Ran:
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        except OSError as error:
            return Ran(None, "", f"{argv[0]}: {error.strerror}")
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(PermissionError):  # sudo is root's
                child.kill()
            return Ran(None, "", f"{argv[0]} did not end within {timeout_s:g} s")  # and is not waited for: it may never end
        return Ran(child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        moved = self._moved(path)
        try:
            with open(moved if os.path.exists(moved) else path, "rb") as file:
                return file.read(limit)
        except OSError:
            return None

    def glob(self, pattern: str) -> tuple[str, ...]:
        moved = self._moved(pattern)
        found = glob.glob(glob.escape(self._root) + pattern) if moved != pattern else []
        return tuple(sorted(path.removeprefix(self._root) for path in found) or sorted(glob.glob(pattern)))

    def _moved(self, path: str) -> str:
        return self._root + path if self._root and MACHINE_WIDE.match(path) else path

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None, log: str) -> Process:
        if cwd is not None and not Path(cwd).is_dir():
            raise MachineError(
                f"{cwd}: there is no such folder to start {argv[0]} in", "correct the recipe's working directory"
            )
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            raise MachineError(
                f"{argv[0]}: no such program", "install the engine (make engines), or correct the recipe's command"
            )
        try:
            with open(log, "ab") as out:
                child = subprocess.Popen(
                    argv,
                    executable=program,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise MachineError(
                f"{error.filename or argv[0]}: {error.strerror}",
                "check that it may be run, and that the log's folder may be written",
            ) from error
        self._children[child.pid] = child
        stat = _stat(child.pid)
        assert stat is not None  # we have not waited for it, so it is there, if only as a zombie
        return stat.process

    def exit_code(self, process: Process) -> int | None:
        return self._children[process.pid].poll()

    def family(self, root: Process | None, mark: str) -> tuple[Process, ...]:
        running = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
        holder = running.get(root.pid) if root else None
        if root is None or (holder and holder.process.started != root.started):  # its number went to somebody else
            related = set()
        else:
            related = {pid for pid, stat in running.items() if root.pid in (pid, stat.session)}
        related |= {pid for pid in running if mark.encode() in (self.read(f"/proc/{pid}/environ") or b"").split(b"\0")}
        while children := {pid for pid, stat in running.items() if stat.parent in related} - related:
            related |= children
        return tuple(running[pid].process for pid in sorted(related) if not running[pid].zombie)

    def alive(self, process: Process) -> bool:
        stat = _stat(process.pid)
        return stat is not None and not stat.zombie and stat.process.started == process.started

    def signal(self, process: Process, number: int) -> bool:
        if not self.alive(process):
            return True
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return True

    def port_free(self, address: str, port: int) -> bool:
        try:
            found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError:
            return True  # an address we cannot resolve is the server's to complain about
        return all(_can_bind(family, sockaddr) for family, _, _, _, sockaddr in found)

    def port_owner(self, port: int) -> str | None:
        try:
            connections = psutil.net_connections("tcp")
        except psutil.AccessDenied:
            return None
        for connection in connections:
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
                stat = _stat(connection.pid)
                return f"{stat.process.name if stat else 'a process'} (pid {connection.pid})"
        return None


def free_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Another program may take it before the server does. Raises `MachineError` for an address that is
    none of this machine's."""
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.bind(sockaddr)
            port: int = server.getsockname()[1]
    except OSError as error:
        raise MachineError(
            f"no server can listen on {address}: {error.strerror}", "choose an address of this machine"
        ) from None
    return port


def is_this_machine(host: str) -> bool:
    """Whether a name or an address leads here."""
    try:
        found = {str(sockaddr[0]).partition("%")[0] for *_, sockaddr in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    ours = {address.address.partition("%")[0] for addresses in psutil.net_if_addrs().values() for address in addresses}
    return bool(found) and found <= ours


def started(pid: int) -> int:
    """When a process that runs began, as `Process` has it."""
    stat = _stat(pid)
    assert stat is not None
    return stat.process.started


class _Stat:
    """The parts of /proc/PID/stat that matter here (proc(5)): the name may hold blanks and brackets, so it is cut out first."""

    def __init__(self, pid: int, text: bytes) -> None:
        head, _, tail = text.rpartition(b")")
        fields = tail.split()
        self.zombie = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1  # a first thread that ended leaves the others running
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.process = Process(pid, int(fields[19]), head.partition(b"(")[2].decode("utf-8", "replace"))


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return _Stat(pid, file.read())
    except OSError:  # it ended meanwhile
        return None


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _can_bind(family: int, sockaddr: object) -> bool:
    """False only where somebody else has it: any other reason is the server's to complain about."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: connections in TIME_WAIT do not count
            probe.bind(sockaddr)  # type: ignore[arg-type]
    except OSError as error:
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True
