"""Starts a server, waits until it answers, and stops it on every path, with everything it started."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from harness import clock
from harness.engines.base import Engine
from harness.errors import EngineError, MachineError
from harness.hosts.base import Host, Process
from harness.hosts.local import LocalHost, free_port
from harness.launch import logs, oom, ready
from harness.launch.container import Container
from harness.launch.environment import MARK, for_child
from harness.launch.processes import Family
from harness.launch.watchdog import Available, Watchdog, kill_at_once
from harness.schema.plan import Launch

__all__ = ["Server", "died", "free_port", "owner_of", "port_free", "serve"]

PORT_LIMIT_S = 5.0
WAIT_POLL_S = 0.2
NEWS_LIMIT_S, NEWS_POLL_S = 3.0, 0.05
STARTING_GRACE_S = 3.0
"""For a container whose server has not answered yet: its first process hears no signal before it has learned to handle it."""
LAST_LINES = 1000
"""Of the log of a server that died under load, long after its start."""


class Server:
    """A server that runs and has answered."""

    def __init__(
        self,
        engine: Engine,
        url: str,
        host: Host,
        family: Family,
        process: Process,
        log_path: Path,
        watch: Watchdog | None = None,
        container: Container | None = None,
    ) -> None:
        self.url = url
        self.pid = process.pid
        self.log_path = log_path
        self.start_s: dict[str, float] = {}
        """Seconds from launch to each step of `harness.launch.ready.STEPS`."""
        self._engine = engine
        self._host = host
        self._family = family
        self._process = process
        self._watch = watch
        self._container = container

    def check(self) -> None:
        """Raises `EngineError` when the server's process has ended: its exit code, the first error of its log and what it
        means; `MemoryGuard` when it was we who ended it."""
        self._family.look()
        code = self._host.exit_code(self._process)
        if self._watch:
            self._watch.check()  # after the look at the code: it knows of a server that it kills before that one ends
        if code is not None:
            known = self._container.ended(self._engine.NAME, code, self.log_path) if self._container else None
            raise known or died(self._engine, code, self.log_path)

    def explain(self) -> None:
        """As `check`, for somebody who has met an error, or is about to end: nothing that has happened is overlooked. A process closes its
        sockets before its end can be seen, and of a container's end Docker's client hears later still."""
        start, place = clock.now(), urlsplit(self.url)
        self.check()
        while self._host.port_free(place.hostname or "", place.port or 80) and clock.since(start) < NEWS_LIMIT_S:
            clock.sleep(NEWS_POLL_S)
            self.check()

    def processes(self) -> set[int] | None:
        """Numbers of everything it runs; None in a container, whose processes are Docker's children."""
        return None if self._container else {process.pid for process in self._family.living()}

    @property
    def in_container(self) -> bool:
        return self._container is not None

    @cached_property
    def container_pid(self) -> int | None:
        """The first process of its container, where it can be seen from this machine."""
        return self._container.pid() if self._container and self._host.name == LocalHost.name else None

    def wait(self) -> None:
        """Blocks while the server runs; it never returns, since a server that ends by itself is an `EngineError`."""
        while True:
            self.check()
            clock.sleep(WAIT_POLL_S)


@contextmanager
def serve(
    launch: Launch,
    engine: Engine,
    url: str,
    served_model: str,
    host: Host,
    log_path: Path,
    on_step: Callable[[str, float], None],
    environment: Mapping[str, str],
    floor: tuple[int, Available] | None = None,
) -> Iterator[Server]:
    """Runs the server for as long as the `with` block does.

    `environment` is the harness's own, of which `launch.environment` hands down an allowed part. `on_step` gets each step's
    name and the seconds since launch when it is reached. `floor`: bytes of memory, and who tells how many are free.

    Raises `MachineError` when the port is taken or the program is missing, `MemoryGuard` when less memory than the floor is free,
    `EngineError` when the server dies, is not ready in time, or cannot be ended; when the block has raised already, that problem is a
    note on it.
    """
    place = urlsplit(url)
    address, port = place.hostname or "127.0.0.1", place.port or 80
    _require_port(host, address, port)
    run = uuid.uuid4().hex
    family = Family(host, f"{MARK}={run}")
    container = Container(launch, host, run) if launch.executor == "docker" else None
    watch = Watchdog(*floor, lambda: kill_at_once(container, family)) if floor else None
    grace_s = min(launch.stop_grace_s, STARTING_GRACE_S) if container else launch.stop_grace_s
    try:
        with watch or nullcontext():
            make_mounts(launch, host)
            env = for_child(environment, launch.env, launch.argv[0], run)
            argv = container.argv if container else launch.argv
            process = family.root = host.spawn(argv, env=env, cwd=launch.cwd, log=str(log_path))
            if container is None:  # which has its own score; Docker's client takes no memory
                oom.make_likely_victim(host, family.living())  # a shell may have children already
            server = Server(engine, url, host, family, process, log_path, watch, container)
            server.start_s |= ready.wait(url, engine, served_model, log_path, launch.ready_timeout_s, server.check, on_step)
            if container is None:
                oom.make_likely_victim(host, family.living())  # and those that were born meanwhile
            grace_s = launch.stop_grace_s
            yield server
    except BaseException as error:
        for problem in tear_down(host, family, container, address, port, grace_s):
            error.add_note(problem)
        raise
    problems = tear_down(host, family, container, address, port, grace_s)
    if problems:
        raise EngineError(f"{engine.NAME} could not be stopped: {'; '.join(problems)}", "end it by hand before the next run")


def died(engine: Engine, code: int, log: Path) -> EngineError:
    """What to say of a server that ended with `code` (minus a signal's number when one ended it)."""
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    found = engine.diagnose(logs.head(log)) or engine.diagnose(logs.tail(log, LAST_LINES))
    if found:
        return EngineError(f"{engine.NAME} ended with {how}: {found.line} ({found.meaning})", f"{found.advice}; its log: {log}")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return EngineError(
            f"{engine.NAME} was killed ({how}) and could not say why",
            f"the kernel does that when memory runs out: look at `dmesg` and ask for less memory; its log: {log}",
        )
    return EngineError(
        f"{engine.NAME} ended with {how}; last log line: {logs.last(log)}", f"its log names no error: read {log}"
    )


def port_free(address: str, port: int) -> bool:
    """Whether a server could listen there, on this machine."""
    return LocalHost().port_free(address, port)


def owner_of(port: int) -> str:
    """` by python (pid 4711)`, to go on with a sentence; empty where the owner cannot be seen."""
    owner = LocalHost().port_owner(port)
    return f" by {owner}" if owner else ""


def _require_port(host: Host, address: str, port: int) -> None:
    if not host.port_free(address, port):
        owner = host.port_owner(port) or "another program"
        raise MachineError(f"port {port} is taken by {owner}", "stop that program, or choose another port: --set port=…")


def tear_down(host: Host, family: Family, container: Container | None, address: str, port: int, grace_s: float) -> list[str]:
    """Ends everything; what it could not end. An interrupt cuts the current step short, never the ones after it."""
    problems: list[str] = []
    code = host.exit_code(family.root) if family.root else 0
    cut_short = code is None or code < 0

    def kill() -> None:
        problems.extend(f"{process.name} (pid {process.pid}) does not end" for process in family.kill())

    def port_given_back() -> None:
        if family.root is not None and not _until_free(host, address, port):
            problems.append(f"{host.port_owner(port) or 'somebody'} still listens on port {port}")

    def remove() -> None:
        if container:
            problems.extend(container.remove(late=cut_short))

    def ask() -> None:
        family.terminate(grace_s)

    steps: tuple[Callable[[], None], ...] = (ask, remove, kill, port_given_back)
    interrupt: BaseException | None = None
    for step in steps:
        try:
            step()
        except (KeyboardInterrupt, SystemExit) as error:
            interrupt = error
    if interrupt:
        raise interrupt
    return problems


def make_mounts(launch: Launch, host: Host) -> None:
    """Docker would make a folder that is missing as root's."""
    folders = [mount.source for mount in launch.mounts if not mount.read_only]
    if launch.executor == "docker" and folders:
        host.run(["mkdir", "-p", *folders], timeout_s=10.0)


def _until_free(host: Host, address: str, port: int) -> bool:
    start = clock.now()
    while not host.port_free(address, port):
        if clock.since(start) >= PORT_LIMIT_S:
            return False
        clock.sleep(0.05)
    return True
