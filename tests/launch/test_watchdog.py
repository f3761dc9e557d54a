"""The watchdog with real servers, which it kills, and a program that really takes memory. The figures are relative to what is free when
a test begins: other programs live on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import clock
from harness.engines import llamacpp
from harness.errors import EngineError, MachineError, MemoryGuard
from harness.hosts.base import Process
from harness.hosts.local import LocalHost, free_port
from harness.launch.processes import Family
from harness.launch.server import serve
from harness.launch.watchdog import Watchdog, default_floor, kill_at_once
from harness.schema.machine import Gpu, Machine
from harness.schema.plan import Launch
from tests.launch.hog import MIB, available, hog

SCRIPT = Path(__file__).parent / "scripted.py"
HOST = LocalHost()
MARGIN, MOST = 768 * MIB, 3072 * MIB
LIMIT_S = 30.0
SLEEPER = "import time; time.sleep(600)"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """The same program as a server's, and none of its family."""
    child = subprocess.Popen([sys.executable, "-c", SLEEPER])
    yield child
    child.kill()
    child.wait()


def written(path: Path) -> str:
    began = clock.now()
    while not path.exists() or not path.read_text():
        assert clock.since(began) < LIMIT_S
        clock.sleep(0.02)
    return path.read_text()


def crossed(watch: Watchdog) -> None:
    """Waits, and keeps this thread busy, as the harness may be."""
    began = clock.now()
    while watch.crossing is None:
        assert clock.since(began) < LIMIT_S
        sum(range(100_000))


def test_the_whole_family_is_killed_and_nobody_else(tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """One of them is deaf to SIGTERM, has a session and a name of its own."""
    launch = Launch(
        executor="process", argv=(sys.executable, str(SCRIPT), str(free_port()), f"detach={tmp_path / 'pid'}"), env={}
    )
    family = Family(HOST, "HARNESS_RUN=watchdog-1")
    family.root = HOST.spawn(launch.argv, env={"HARNESS_RUN": "watchdog-1"}, cwd=None, log=str(tmp_path / "log"))
    worker = int(written(tmp_path / "pid"))
    before = family.living()
    assert {worker, family.root.pid} <= {process.pid for process in before}

    free = available()
    floor = free - MARGIN
    with Watchdog(floor, available, lambda: kill_at_once(None, family)) as watch:
        clock.sleep(0.7)
        watch.check()
        assert family.living() == before
        with hog(MOST) as taker:
            crossed(watch)
            with pytest.raises(MemoryGuard) as caught:
                watch.check()
            assert not any(HOST.alive(process) for process in before)
            assert taker.poll() is None
            assert bystander.poll() is None

    crossing = watch.crossing
    assert crossing is not None
    assert crossing.available_bytes < floor == crossing.floor_bytes
    assert all(size >= floor for _, size in crossing.before)
    assert [at for at, _ in crossing.before] == sorted(at for at, _ in crossing.before)
    error = caught.value
    assert error.exit_code == 9
    assert f"{crossing.available_bytes / 2**30:.2f} GiB of memory was free" in error.message
    assert f"below the floor of {floor / 2**30:.2f} GiB" in error.message
    assert "--memory-floor" in error.hint
    assert "\n" not in error.message + error.hint
    assert not hasattr(error, "__notes__")


def test_it_acts_while_the_harness_waits_for_an_answer(tmp_path: Path) -> None:
    """The server then looks as if it had died by itself; the watchdog knows better. It is left as `serve` leaves any server."""
    port = free_port()
    launch = Launch(executor="process", argv=(sys.executable, str(SCRIPT), str(port)), env={})
    url = f"http://127.0.0.1:{port}"
    served = serve(launch, llamacpp, url, "m", HOST, tmp_path / "log", lambda *_: None, environment=os.environ)

    def measure() -> None:
        with (
            served as server,
            Watchdog(available() - MARGIN, available, lambda: kill_at_once(None, family_of(server.pid))) as watch,
            hog(MOST),
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as waiting,
        ):
            try:
                said = waiting.recv(1)  # one call, which ends when the server does
            except ConnectionResetError:
                said = b""
            assert said == b""
            with pytest.raises(EngineError, match="SIGKILL"):
                server.wait()
            watch.check()

    with pytest.raises(MemoryGuard) as caught:
        measure()
    assert not hasattr(caught.value, "__notes__")


def family_of(pid: int) -> Family:
    marks = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    mark = next(word.decode() for word in marks if word.startswith(b"HARNESS_RUN="))
    family = Family(HOST, mark)
    family.root = next(process for process in HOST.family(None, mark) if process.pid == pid)
    return family


class Falling:
    """What is free, as told by a list; the last reading stays."""

    def __init__(self, *readings: int | None) -> None:
        self._readings = list(readings)
        self.asked = 0

    def __call__(self) -> int | None:
        self.asked += 1
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]

    def now(self, reading: int) -> None:
        self._readings = [reading]

    def until_asked(self, times: int) -> None:
        began = clock.now()
        while self.asked < times:
            assert clock.since(began) < LIMIT_S
            clock.sleep(0.01)


class Slow(LocalHost):
    """Looks for processes as a machine does that is short of memory."""

    def family(self, root: Process | None, mark: str) -> tuple[Process, ...]:
        found = super().family(root, mark)
        clock.sleep(0.6)
        return found


def test_a_server_that_is_killed_while_it_is_looked_at_was_killed_by_us(tmp_path: Path) -> None:
    port = free_port()
    launch = Launch(executor="process", argv=(sys.executable, str(SCRIPT), str(port)), env={})
    free = Falling(100)
    url = f"http://127.0.0.1:{port}"

    def measure() -> None:
        with serve(
            launch, llamacpp, url, "m", Slow(), tmp_path / "log", lambda *_: None, environment=os.environ, floor=(50, free)
        ) as server:
            clock.sleep(1.0)  # then it is looked at anew
            free.now(40)
            server.check()

    with pytest.raises(MemoryGuard):
        measure()


def test_it_stops_once_and_keeps_the_way_there() -> None:
    stops: list[str] = []

    def stop() -> list[str]:
        clock.sleep(0.3)
        stops.append("stopped")
        return ["python (pid 7) does not end"]

    with Watchdog(50, Falling(100, 90, None, 50, 40, 30), stop) as watch:
        crossed(watch)
        with pytest.raises(MemoryGuard) as caught:
            watch.check()
        assert stops == ["stopped"], "only after the stop is the error raised"
        clock.sleep(0.3)
    assert stops == ["stopped"]
    assert watch.crossing is not None
    assert watch.crossing.available_bytes == 40
    assert [size for _, size in watch.crossing.before] == [100, 90, 50]
    assert caught.value.__notes__ == ["python (pid 7) does not end"]
    with pytest.raises(MemoryGuard):  # after the end, too
        watch.check()


@pytest.mark.quiet
def test_it_looks_five_times_a_second() -> None:
    """A GB10 fell by 1.9 GiB a second: that is 0.4 from one look to the next. A busy machine has five times as long here."""
    stopped = threading.Event()
    free = Falling(100)

    def stop() -> list[str]:
        stopped.set()
        return []

    with Watchdog(50, free, stop):
        free.until_asked(2)
        began = clock.now()
        free.now(40)
        assert stopped.wait(LIMIT_S)
    assert clock.since(began) < 1.0


def test_who_leaves_waits_until_the_server_is_stopped() -> None:
    stops: list[str] = []

    def stop() -> list[str]:
        clock.sleep(0.3)
        stops.append("stopped")
        return []

    with Watchdog(50, Falling(100, 40), stop) as watch:
        crossed(watch)
    assert stops == ["stopped"]


@pytest.mark.parametrize("readings", [(100, 60, 50), (100, None)])
def test_nothing_happens_above_the_floor_or_where_nothing_is_known(readings: tuple[int | None, ...]) -> None:
    stops: list[str] = []

    def stop() -> list[str]:
        stops.append("stopped")
        return []

    free = Falling(*readings)
    with Watchdog(50, free, stop) as watch:
        free.until_asked(4)
        watch.check()
    asked = free.asked
    clock.sleep(0.3)
    assert free.asked == asked
    assert stops == []
    assert watch.crossing is None
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_machine_that_is_full_already() -> None:
    watch = Watchdog(8 << 30, lambda: 3 << 30, list)
    with pytest.raises(MemoryGuard, match=r"nothing was started.* 3\.00 GiB .* 8\.00 GiB"), watch:
        pytest.fail("the block must not begin")


def test_a_machine_that_does_not_tell() -> None:
    with pytest.raises(MachineError, match="cannot be read"), Watchdog(8 << 30, lambda: None, list):
        pytest.fail("the block must not begin")


@pytest.mark.parametrize(
    ("gpus", "floor"),
    [(("NVIDIA GB10",), 8 << 30), (("NVIDIA H100 80GB HBM3",), None), ((), None), (("A", "NVIDIA GB10"), 8 << 30)],
)
def test_the_floor_where_nobody_says_one(gpus: tuple[str, ...], floor: int | None) -> None:
    machine = Machine(
        hostname="h",
        os="",
        kernel="",
        arch="",
        cpu_model="",
        cpu_count=1,
        memory_bytes=1,
        gpus=tuple(Gpu(index=index, name=name) for index, name in enumerate(gpus)),
    )
    assert default_floor(machine) == floor
