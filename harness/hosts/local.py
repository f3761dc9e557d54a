"""This machine."""

from __future__ import annotations

import glob
import os
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from harness.errors import MachineError
from harness.hosts import there
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
        return Ran(*there.run(list(argv), timeout_s))

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        moved = self._moved(path)
        return there.read(moved if os.path.exists(moved) else path, limit)

    def glob(self, pattern: str) -> tuple[str, ...]:
        moved = self._moved(pattern)
        found = glob.glob(glob.escape(self._root) + pattern) if moved != pattern else []
        return tuple(sorted(path.removeprefix(self._root) for path in found) or sorted(glob.glob(pattern)))

    def _moved(self, path: str) -> str:
        return self._root + path if self._root and MACHINE_WIDE.match(path) else path

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
        try:
            with open(log, "ab") as out:
                child = there.start(list(argv), dict(env), cwd, out)
        except there.CannotStart as refused:
            raise MachineError(refused.message, refused.hint) from refused.__cause__
        except OSError as error:
            raise MachineError(f"{error.filename}: {error.strerror}", "check that the log's folder may be written") from error
        self._children[child.pid] = child
        stat = there.stat(child.pid)
        assert stat is not None  # we have not waited for it, so it is there, if only as a zombie
        return Process(*stat.member)

    def exit_code(self, process: Process) -> int | None:
        return self._children[process.pid].poll()

    def family(self, root: Process | None, mark: str) -> tuple[Process, ...]:
        pid, started = (root.pid, root.started) if root else (None, 0)
        return tuple(Process(*member) for member in there.family(pid, started, mark))

    def alive(self, process: Process) -> bool:
        return there.alive(process.pid, process.started)

    def signal(self, process: Process, number: int) -> bool:
        return there.send(process.pid, process.started, number)

    def port_free(self, address: str, port: int) -> bool:
        return there.port_free(address, port)

    def port_owner(self, port: int) -> str | None:
        return there.port_owner(port)


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
    found = there.stat(pid)
    assert found is not None
    return found.started
