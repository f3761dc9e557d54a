"""A server of several ranks, each on its own machine: started in order, watched as one, ended in reverse on every path."""

from __future__ import annotations

import math
import re
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import clock, secret
from harness.engines.base import Diagnosis, Engine
from harness.errors import EngineError, HarnessError, MachineError, MemoryGuard
from harness.hosts.base import Process
from harness.hosts.cluster import Place
from harness.launch import logs, oom, ready
from harness.launch.container import Container
from harness.launch.environment import MARK, for_child
from harness.launch.processes import Family
from harness.launch.server import LAST_LINES, Server, died, make_mounts, tear_down
from harness.launch.watchdog import Available, Watchdog, kill_at_once
from harness.schema.plan import Launch, Plan

SETTLE_S = 0.5
"""After a death, for the last words of the others to come home."""
NEWS_S = 2.0
RECENT_S = 60.0
"""An error that was logged so long before a death is not its reason."""
SILENT_S = 3.0
"""So much later than it died a rank that said nothing is seen to be dead, by the errors that this gave others."""
ANY_PORT = 0
FAILED_GRACE_S = 5.0
"""For ranks that have lost another one: most wait for it, and hear nothing."""
ECHO = re.compile(
    r"closed by peer|reset by peer|[Bb]roken pipe|Connection refused|remote process|peer \d+ |TCPStore|[Ww]atchdog|heartbeat",
    re.IGNORECASE,
)
"""What a rank says when another one is gone, which is no reason as long as that one gave its own."""


class Rank:
    def __init__(
        self, number: int, place: Place, container: Container | None, family: Family, process: Process, log: Path
    ) -> None:
        self.number, self.place, self.container = number, place, container
        self.family, self.process, self.log = family, process, log
        self.dead: tuple[float, int] | None = None
        """When that was seen, and its exit code."""
        self._sizes: list[tuple[int, float]] = []

    @property
    def name(self) -> str:
        return f"rank {self.number} on {self.place.name}"

    def look(self, now: float) -> None:
        """Notes how long its log is, and whether it has ended. Raises `MachineError` when its machine is out of reach."""
        size = self.log.stat().st_size if self.log.exists() else 0
        if not self._sizes or size > self._sizes[-1][0]:
            self._sizes.append((size, now))
        self.family.look()
        code = self.place.host.exit_code(self.process)
        if code is not None and self.dead is None:
            self.dead = now, code

    def error(self, engine: Engine) -> tuple[float, Diagnosis] | None:
        """The first error of its log, and when it came."""
        found = engine.diagnose(logs.head(self.log)) or engine.diagnose(logs.tail(self.log, LAST_LINES))
        if found is None:
            return None
        words = (re.escape(word.encode()) for word in found.line[:60].split())  # whose blanks are no longer the log's
        at = re.search(rb"\s+".join(words), self.log.read_bytes())
        return next((seen for size, seen in self._sizes if at and size > at.start()), math.inf), found


class Ranks(Server):
    """All ranks as one server, which answers at its head."""

    def __init__(self, engine: Engine, url: str, ranks: Sequence[Rank], watch: Watchdog | None) -> None:
        head = ranks[-1]
        super().__init__(engine, url, head.place.host, head.family, head.process, head.log, watch, head.container)
        self._ranks = ranks
        self._began = clock.now()
        self._lost: MachineError | None = None

    def check(self) -> None:
        """Raises `EngineError` when a rank has ended: the first error of all of them; `MachineError` when a machine is out of reach,
        `MemoryGuard` when one ran out of memory."""
        if self._watch:
            self._watch.check()
        self._look()
        for rank in self._ranks:
            low = rank.place.far.low_memory(rank.process) if rank.place.far else None
            if low is not None:
                raise MemoryGuard(
                    f"{rank.name} was killed to protect its machine: {low / 2**30:.2f} GiB of memory was free there, below the floor",
                    "give the engine less (memory fraction, context, slots), end other programs there, or: --memory-floor",
                )
        if any(rank.dead for rank in self._ranks):
            clock.sleep(SETTLE_S)
            self._look()
            raise first_error(self._engine, self._ranks)

    def explain(self) -> None:
        """The news of a death on another machine takes a moment to come."""
        start = clock.now()
        self.check()
        while clock.since(start) < NEWS_S and not all(rank.place.host.alive(rank.process) for rank in self._ranks):
            clock.sleep(0.05)
            self.check()

    def _look(self) -> None:
        if self._lost:
            raise self._lost
        try:
            for rank in self._ranks:
                rank.look(clock.since(self._began))
        except MachineError as lost:
            self._lost = lost
            raise

    def processes(self) -> set[int] | None:
        if self._container or any(rank.place.far for rank in self._ranks):
            return None
        return {process.pid for rank in self._ranks for process in rank.family.living()}


def first_error(engine: Engine, ranks: Sequence[Rank]) -> EngineError:
    """What to say when a rank has ended: the others mostly complain that it is gone, and louder."""
    death, last = min(((rank.dead[0], rank) for rank in ranks if rank.dead), key=lambda one: one[0])
    events: list[tuple[float, Rank, Diagnosis | None]] = []
    for rank in ranks:
        said = rank.error(engine)
        if said and said[0] >= death - RECENT_S:
            events.append((said[0], rank, said[1]))
        elif rank.dead:
            events.append((rank.dead[0] - SILENT_S, rank, None))
    _, culprit, found = min(events, key=lambda event: (bool(event[2] and ECHO.search(event[2].line)), event[0]))
    if culprit.dead:
        code = culprit.dead[1]
        known = culprit.container.ended(engine.NAME, code, culprit.log) if culprit.container else None
        error = known or died(engine, code, culprit.log)
        return EngineError(f"{culprit.name}: {error.message}", error.hint)
    assert found is not None
    return EngineError(
        f"{culprit.name}: {found.line} ({found.meaning}); {last.name} ended with it", f"{found.advice}; its log: {culprit.log}"
    )


@contextmanager
def serve(
    plan: Plan,
    engine: Engine,
    places: Sequence[Place],
    log_path: Path,
    on_step: Callable[[str, float], None],
    environment: Mapping[str, str],
    floors: Sequence[int],
    available: Available,
) -> Iterator[Ranks]:
    """As `server.serve`, on the machines of the plan. `places`, `floors`: of its nodes; `available` of this machine. The head's log is
    `log_path`, each worker's beside it."""
    assert plan.launch is not None
    head, run, started = places[0], uuid.uuid4().hex, list[Rank]()
    stop = _Stop(started)
    here = next((floor for floor, place in zip(floors, places, strict=True) if floor and place.far is None), None)
    watch = Watchdog(here, available, lambda: _kill_here(started)) if here else None
    with ExitStack() as stack:
        if watch:
            stack.enter_context(watch)
        for number, launch in (*enumerate(plan.workers, 1), (0, plan.launch)):
            log = log_path.with_stem(f"{log_path.stem}-rank{number}") if number else log_path
            begun = _rank(
                number, launch, engine, places[number], log, environment, f"{run}-{number}", floors[number], plan, stop
            )
            started.append(stack.enter_context(begun))
        ranks = Ranks(engine, plan.url, started, watch)
        port = (lambda: _bring_here(head, plan)) if head.far and plan.driver_host == head.name else None
        limit = plan.launch.ready_timeout_s
        ranks.start_s |= ready.wait(plan.url, engine, plan.served_model, log_path, limit, ranks.check, on_step, port)
        yield ranks


@contextmanager
def _rank(
    number: int,
    launch: Launch,
    engine: Engine,
    place: Place,
    log: Path,
    environment: Mapping[str, str],
    run: str,
    floor: int,
    plan: Plan,
    stop: _Stop,
) -> Iterator[Rank]:
    host, port = place.host, ANY_PORT if number else plan.port
    family = Family(host, f"{MARK}={run}")
    container = Container(launch, host, run) if launch.executor == "docker" else None
    argv, undo = (container.argv, container.removal) if container else (launch.argv, ())
    try:
        make_mounts(launch, host)
        env = for_child({**place.environment, **_named(launch, environment)}, launch.env, launch.argv[0], run)
        process = family.root = host.spawn(argv, env=env, cwd=launch.cwd, log=str(log), undo=undo, floor=floor)
        if container is None:  # which has its own score; Docker's client takes no memory
            oom.make_likely_victim(host, [process])
        yield Rank(number, place, container, family, process, log)
    except BaseException as error:
        failed = isinstance(error, HarnessError)
        for problem in _end(stop.grace_s(launch, failed=failed), place, family, container, plan.host, port):
            error.add_note(problem)
        raise
    problems = _end(stop.grace_s(launch, failed=False), place, family, container, plan.host, port)
    if problems:
        raise EngineError(f"{engine.NAME} could not be stopped: {'; '.join(problems)}", "end it by hand before the next run")


class _Stop:
    """All ranks are asked to end at once, the head first, and have their grace from then."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        self._ranks = ranks
        self._began: int | None = None

    def grace_s(self, launch: Launch, *, failed: bool) -> float:
        """What is left of it."""
        if self._began is None:
            self._began = clock.now()
            for rank in reversed(self._ranks):
                self._ask(rank)
        whole = min(launch.stop_grace_s, FAILED_GRACE_S) if failed else launch.stop_grace_s
        return max(0.0, whole - clock.since(self._began))

    def _ask(self, rank: Rank) -> None:
        try:
            for process in rank.family.living():
                rank.place.host.signal(process, signal.SIGTERM)
        except MachineError:  # said when it is its turn to be ended
            pass


def _named(launch: Launch, environment: Mapping[str, str]) -> dict[str, str]:
    """Of our own variables, those that the recipe passes on by name."""
    references = (secret.REFERENCE.fullmatch(value) for value in launch.env.values())
    names = {reference[1] or reference[2] for reference in references if reference}
    return {name: environment[name] for name in names if name in environment}


def _end(grace_s: float, place: Place, family: Family, container: Container | None, address: str, port: int) -> list[str]:
    """What could not be ended, with its machine."""
    try:
        return [f"{place.name}: {problem}" for problem in tear_down(place.host, family, container, address, port, grace_s)]
    except MachineError as lost:
        return [f"{place.name}: what ran there is not seen to have ended: {lost.message}"]


def _kill_here(ranks: Sequence[Rank]) -> list[str]:
    here = [rank for rank in ranks if rank.place.far is None]
    return [problem for rank in here for problem in kill_at_once(rank.container, rank.family)]


def _bring_here(head: Place, plan: Plan) -> str | None:
    """Why the port of a far head does not answer here yet."""
    assert head.far is not None
    if not head.far.listens(plan.port):
        return f"nothing listens on port {plan.port} of {head.name}"
    head.far.forward(plan.port)
    return None
