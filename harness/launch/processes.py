"""All processes of one server: found, remembered and ended, even those that left its group or renamed themselves."""

from __future__ import annotations

import signal
from collections.abc import Callable

from harness import clock
from harness.hosts.base import Host, Process

LOOK_EVERY_S = 1.0
KILL_LIMIT_S = 10.0


class Family:
    """`root` is the process that was spawned; None until it was. Processes are remembered once seen, since one that detached
    and cleared its environment can only be known from before."""

    def __init__(self, host: Host, mark: str) -> None:
        self.root: Process | None = None
        self._host = host
        self._mark = mark
        self._seen: dict[tuple[int, int], Process] = {}
        self._looked_ns: int | None = None

    def look(self) -> None:
        """Remembers who is there now; cheap to call often."""
        if self._looked_ns is None or clock.since(self._looked_ns) >= LOOK_EVERY_S:
            self._look()

    def living(self) -> list[Process]:
        self._look()
        return [process for _, process in sorted(self._seen.items()) if self._host.alive(process)]

    def terminate(self, grace_s: float) -> None:
        """Asks all to end, and gives them `grace_s` for it."""
        for process in self.living():
            self._host.signal(process, signal.SIGTERM)
        self._until_gone(grace_s, lambda: None)

    def kill(self) -> list[Process]:
        """Ends all that still run. Gives those that cannot be ended."""

        def strike() -> None:
            for process in self.living():
                self._host.signal(process, signal.SIGKILL)

        for process in list(self._seen.values()):  # at once: looking for more takes a while when memory is short
            self._host.signal(process, signal.SIGKILL)
        strike()
        self._until_gone(KILL_LIMIT_S, strike)
        if self.root:
            self._host.exit_code(self.root)  # else it would stay as a zombie
        return self.living()

    def _until_gone(self, limit_s: float, each_time: Callable[[], None]) -> None:
        start = clock.now()
        while self.living() and clock.since(start) < limit_s:
            clock.sleep(0.05)
            each_time()

    def _look(self) -> None:
        self._seen |= {(process.pid, process.started): process for process in self._host.family(self.root, self._mark)}
        self._looked_ns = clock.now()
