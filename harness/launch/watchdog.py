"""Stops the server before it takes the machine's last memory.

Where the GPU shares the memory, running out of it hangs the whole machine: on GB10 neither a CUDA error nor a kill by the kernel
comes before that (NVIDIA/open-gpu-kernel-modules issue 1358), and limits of cgroups do not bind what the driver allocates. So what
is free is looked at several times a second, by a thread of its own, and below a floor the server is killed without grace.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

import msgspec

from harness import clock
from harness.errors import MachineError, MemoryGuard
from harness.launch.container import Container
from harness.launch.processes import Family
from harness.schema.machine import Machine
from harness.units import seconds

PERIOD_S = 0.2
KEPT_READINGS = 16
SHARED_MEMORY_GPUS = {"NVIDIA GB10"}
SHARED_MEMORY_FLOOR_BYTES = 8 << 30
"""A GB10 fell by 17 to 19 GiB within 10 s while a server started: 0.4 GiB from one reading to the next, so this leaves time to act."""

Available = Callable[[], int | None]
"""Bytes of memory that programs may still take, swap not counted; None where that cannot be read. Raises nothing."""


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """The reading that was below the floor."""

    t_ns: int
    available_bytes: int
    floor_bytes: int
    before: tuple[tuple[int, int], ...]
    """The readings that led there, as (instant, bytes), the oldest first."""


class Watchdog:
    """`with Watchdog(floor, available, stop) as watch: …; watch.check()`. Enter it before the server is started.

    `stop` is called once, in the thread, at the first reading below the floor; it gives what could not be stopped. Entering raises
    `MemoryGuard` where less than the floor is free already, `MachineError` where that cannot be read.
    """

    def __init__(self, floor_bytes: int, available: Available, stop: Callable[[], list[str]]) -> None:
        self.crossing: Crossing | None = None
        self._floor_bytes = floor_bytes
        self._available = available
        self._stop = stop
        self._problems: list[str] = []
        self._readings: deque[tuple[int, int]] = deque(maxlen=KEPT_READINGS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        free = self._available()
        if free is None:
            raise MachineError(
                "a floor for free memory is set, and how much is free cannot be read from /proc/meminfo",
                "run without a floor: --memory-floor off",
            )
        if free < self._floor_bytes:
            raise MemoryGuard(
                f"nothing was started, to protect the machine: {_gib(free)} of memory is free, below the floor of "
                f"{_gib(self._floor_bytes)}",
                "end other programs that hold memory, or lower the floor: --memory-floor",
            )
        self._readings.append((clock.now(), free))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()  # while it stops the server, nobody else should

    def check(self) -> None:
        """Raises `MemoryGuard` if the floor was crossed, once the server has been stopped for it."""
        if self.crossing is not None:
            self._thread.join()
            raise _crossed(self.crossing, self._problems)

    def _watch(self) -> None:
        while not self._over.wait(PERIOD_S):
            free = self._available()
            if free is None:
                continue
            now = clock.now()
            if free < self._floor_bytes:
                # Noted before the server dies of it: whoever sees it die asks `check` why.
                self.crossing = Crossing(
                    t_ns=now, available_bytes=free, floor_bytes=self._floor_bytes, before=tuple(self._readings)
                )
                self._problems = self._stop()
                return
            self._readings.append((now, free))


def default_floor(machine: Machine) -> int | None:
    """Bytes; None where a full memory harms the server alone."""
    return SHARED_MEMORY_FLOOR_BYTES if any(gpu.name in SHARED_MEMORY_GPUS for gpu in machine.gpus) else None


def kill_at_once(container: Container | None, family: Family) -> list[str]:
    """Ends the server and everything it started, without asking. Gives what could not be ended."""
    problems = container.kill() if container else []  # its processes are Docker's children, not ours
    return [*problems, *(f"{process.name} (pid {process.pid}) does not end" for process in family.kill())]


def _crossed(crossing: Crossing, problems: list[str]) -> MemoryGuard:
    since_ns, first = crossing.before[0]
    error = MemoryGuard(
        f"the server was killed to protect the machine: {_gib(crossing.available_bytes)} of memory was free, below the floor of "
        f"{_gib(crossing.floor_bytes)}; {seconds(crossing.t_ns - since_ns):.1f} s before it was {_gib(first)}",
        "give the engine less (memory fraction, context, slots), end other programs that hold memory, or lower the floor: "
        "--memory-floor",
    )
    for problem in problems:
        error.add_note(problem)
    return error


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
