"""Another machine, by the user's own ssh: its config, its agent, its jump hosts, its known hosts.

One connection a host (OpenSSH's ControlMaster, its socket in a private folder), closed at the end. Over it a Python there gets
`hosts/there.py` on its standard input; secrets and environments go the same way, never into an argument. What was spawned ends there by
itself when this process is gone, or the connection is.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness import clock
from harness.errors import MachineError
from harness.far import SSH, Offset, compare
from harness.hosts import there
from harness.hosts.base import Process, Ran
from harness.hosts.sessions import Spawned, explain, finish, write

MASTER = ("-o", "ControlMaster=yes", "-o", "ControlPersist=no")
CLIENT = ("-o", "ControlMaster=no")
QUIET = ("-T", "-o", "LogLevel=ERROR")
HELLO_S = 30.0
ANSWER_S = 20.0
"""Longer than ssh takes to notice that a connection is cut (`far.SSH`)."""
AGAIN_S = 10.0
"""After a failed attempt to connect, nobody tries again for so long."""
PULSE_S = 2.0


class SshHost:
    """`with SshHost("spark-2", environment) as host`. `environment` is what ssh gets. Every method raises `MachineError` when the
    connection is lost; the next one after that tries to connect anew, once."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._ours = dict(environment)
        self._folder = Path(tempfile.mkdtemp(prefix="harness-ssh-"))
        self._asking, self._writing = threading.Lock(), threading.Lock()
        self._asked = 0
        self._closed = threading.Event()
        self._agent: subprocess.Popen[bytes] | None = None
        self._failed: tuple[int, MachineError] | None = None
        self._children: dict[Process, Spawned] = {}
        self.environment: dict[str, str] = {}
        """What a program gets that ssh starts there."""
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()

    def __enter__(self) -> SshHost:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """What is still running there ends."""
        self._closed.set()
        for child in self._children.values():
            finish(child.ssh)
        self._hang_up()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """What ssh connects to, by the user's config."""
        found = re.search(r"^hostname (\S+)$", self._ssh("-G", self.name).stdout, re.MULTILINE)
        return found[1] if found else self.name.rpartition("@")[2]

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Ran:
        return Ran(*self._ask("run", list(argv), timeout_s, limit_s=timeout_s + ANSWER_S))

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        text = self._ask("read", path, limit)
        return None if text is None else text.encode("latin-1")

    def glob(self, pattern: str) -> tuple[str, ...]:
        return tuple(self._ask("glob", pattern))

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
        order = {"argv": list(argv), "env": dict(env), "cwd": cwd, "undo": list(undo), "floor": floor}
        order["mark"] = next((f"{name}={value}" for name, value in env.items() if name == there.MARK), "")
        self._ask("wall")  # a connection that was cut is noticed here
        try:
            with open(log, "ab") as out:
                child = Spawned(self._begin(CLIENT, "supervise", out, subprocess.PIPE))
        except OSError as error:
            raise MachineError(f"{error.filename}: {error.strerror}", "check that the log's folder may be written") from error
        said = child.first(order)
        if "process" not in said:
            finish(child.ssh)
            if refused := said.get("refused"):
                raise MachineError(f"{self.name}: {refused[0]}", refused[1])
            raise self._lost(child.words or "ssh ended")
        process = Process(*said["process"])
        self._children[process] = child
        return process

    def exit_code(self, process: Process) -> int | None:
        """255, as ssh says it, where the process has gone and nobody saw how."""
        child = self._children[process]
        if (code := child.said.get("code")) is not None:
            return int(code)
        return None if child.ssh.poll() is None or self.alive(process) else 255

    def low_memory(self, process: Process) -> int | None:
        """How many bytes were free there when this process was ended because of its floor."""
        low = self._children[process].said.get("low")
        return None if low is None else int(low)

    def family(self, root: Process | None, mark: str) -> tuple[Process, ...]:
        pid, started = (root.pid, root.started) if root else (None, 0)
        return tuple(Process(*member) for member in self._ask("family", pid, started, mark))

    def alive(self, process: Process) -> bool:
        return bool(self._ask("alive", process.pid, process.started))

    def signal(self, process: Process, number: int) -> bool:
        return bool(self._ask("send", process.pid, process.started, number))

    def port_free(self, address: str, port: int) -> bool:
        return bool(self._ask("port_free", address, port))

    def port_owner(self, port: int) -> str | None:
        owner = self._ask("port_owner", port)
        return None if owner is None else str(owner)

    def listens(self, port: int) -> bool:
        """Whether anybody does there, on any address."""
        return bool(self._ask("listens", port))

    def wall_offset(self) -> Offset:
        """Its wall clock minus ours."""
        found = compare(lambda: int(self._ask("wall")) * 1000)
        return Offset(found.offset_ns - clock.realtime_offset(), found.error_ns)

    def forward(self, port: int) -> None:
        """Makes 127.0.0.1:`port` there answer at the same place here, until this is closed. Raises `MachineError`."""
        place = f"127.0.0.1:{port}"
        way = ("-O", "forward", "-L", f"{place}:{place}")
        done = self._ssh(*QUIET, *self._path, "-o", "ExitOnForwardFailure=yes", *way, self.name)
        if done.returncode:
            hint = f"choose a port that is free on both machines: --set port=…; ssh said: {' '.join(done.stderr.split())}"
            raise MachineError(f"port {port} of {self.name} cannot be forwarded to this machine", hint)

    def _ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What is done on this machine; a `Match exec` of the user's config may take for ever."""
        try:
            return subprocess.run([*SSH, *words], env=self._ours, capture_output=True, text=True, timeout=ANSWER_S, check=False)
        except subprocess.TimeoutExpired:
            raise self._lost(f"ssh here did not end within {ANSWER_S:.0f} s") from None

    @property
    def _path(self) -> tuple[str, ...]:
        return "-o", f"ControlPath={self._folder / 'socket'}"

    def _begin(self, role: Sequence[str], what: str, out: int | IO[bytes], err: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts `there.py` as `what`. It must say something before it is asked anything."""
        text = Path(there.__file__).read_bytes()
        boot = f"python3 -c 'import sys; exec(sys.stdin.buffer.read({len(text)}))' {what}"
        child = subprocess.Popen(
            [*SSH, *QUIET, *role, *self._path, self.name, boot],
            env=self._ours,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        write(child, text)
        return child

    def _connect(self) -> None:
        with tempfile.TemporaryFile() as errors:
            self._agent = self._begin(MASTER, "agent", subprocess.PIPE, errors)
            self._buffer = b""
            try:
                while not (line := self._line(HELLO_S)).startswith(b'{"env"'):  # what a shell's own start-up files print
                    pass
                self.environment = json.loads(line)["env"]
            except (OSError, EOFError):
                self._hang_up()
                errors.seek(0)
                raise explain(self.name, errors.read().decode("utf-8", "replace")) from None

    def _hang_up(self) -> None:
        if self._agent is not None:
            finish(self._agent)
            self._agent = None
        (self._folder / "socket").unlink(missing_ok=True)

    def _ask(self, what: str, *given: object, limit_s: float = ANSWER_S) -> Any:
        with self._asking:
            if self._agent is None:
                self._again()
            assert self._agent is not None
            try:
                self._asked += 1
                with self._writing:
                    write(self._agent, json.dumps([self._asked, what, *given]).encode() + b"\n", strict=True)
                while (said := json.loads(self._line(limit_s)))["to"] != self._asked:  # an interrupt left an answer unread
                    pass
                return said["answer"]
            except (OSError, EOFError, ValueError) as error:
                self._hang_up()
                raise self._lost(str(error)) from None

    def _again(self) -> None:
        if self._closed.is_set():
            raise self._lost("it is closed")
        if self._failed and clock.since(self._failed[0]) < AGAIN_S:
            raise self._failed[1]
        try:
            self._connect()
        except MachineError as error:
            self._failed = clock.now(), error
            raise

    def _lost(self, why: str) -> MachineError:
        return MachineError(
            f"the connection to {self.name} is lost ({why or 'it ended'})",
            f"look at its network and its power; what ran there for this harness ends by itself within {there.LEASE_S + 10:.0f} s",
        )

    def _line(self, limit_s: float) -> bytes:
        assert self._agent is not None
        assert self._agent.stdout is not None
        begun, fd = clock.now(), self._agent.stdout.fileno()
        while b"\n" not in self._buffer:
            left = limit_s - clock.since(begun)
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise TimeoutError(f"no answer within {limit_s:.0f} s")
            data = os.read(fd, 1 << 16)
            if not data:
                raise EOFError("ssh ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _pulse(self) -> None:
        """Tells there that we live."""
        while not self._closed.wait(PULSE_S):
            with self._writing:
                for child in [self._agent, *(each.ssh for each in list(self._children.values()))]:
                    if child is not None:
                        write(child, b"\n")
