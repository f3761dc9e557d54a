"""Servers started, watched and stopped for real: small scripts that fail in each way an engine can."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.engines import llamacpp
from harness.errors import EngineError, MachineError
from harness.hosts.local import LocalHost
from harness.launch import oom
from harness.launch.server import Server, free_port, port_free, serve
from harness.schema.plan import Launch

SCRIPT = Path(__file__).parent / "scripted.py"
Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> Start:
    def start(
        *faults: str, ready_timeout_s: float = 20.0, grace_s: float = 10.0, steps: list[str] | None = None, **env: str
    ) -> AbstractContextManager[Server]:
        launch = Launch(
            executor="process",
            argv=(sys.executable, str(SCRIPT), str(port), *faults),
            env=env,
            ready_timeout_s=ready_timeout_s,
            stop_grace_s=grace_s,
        )
        return serve(
            launch,
            llamacpp,
            f"http://127.0.0.1:{port}",
            "m",
            LocalHost(),
            tmp_path / "engine.log",
            lambda step, seconds: steps.append(step) if steps is not None else None,
            environment=os.environ,
        )

    return start


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, port: int) -> Iterator[None]:
    """After every test, however it went: no process of this script, nobody on its port, no worker that wrote down its pid."""
    yield
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(SCRIPT) in (p.info["cmdline"] or []) and str(port) in p.info["cmdline"]
    ]
    assert not left
    assert port_free("127.0.0.1", port)
    for file in tmp_path.glob("*.pid"):
        assert not running(int(file.read_text()))


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def written(path: Path) -> str:
    began = clock.now()
    while not path.exists() or not path.read_text():
        assert clock.since(began) < 20
        clock.sleep(0.02)
    return path.read_text()


def test_steps_in_order(start: Start, tmp_path: Path) -> None:
    steps: list[str] = []
    with start(steps=steps) as server:
        assert steps == ["port", "health", "first_token"]
        assert list(server.start_s) == steps
        assert 0 < server.start_s["port"] <= server.start_s["health"] <= server.start_s["first_token"]
        assert running(server.pid)
        server.check()
    assert not psutil.pid_exists(server.pid)  # not even as a zombie
    assert (tmp_path / "engine.log").read_text() == "starting\n"


def test_all_that_a_shell_starts_is_offered_to_the_kernel_before_us(tmp_path: Path, port: int) -> None:
    """The shell has its child before anybody could look."""
    argv = ("sh", "-c", f"{sys.executable} {SCRIPT} {port} & wait")
    launch = Launch(executor="process", argv=argv, env={})
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with serve(launch, llamacpp, url, "m", LocalHost(), log, lambda *_: None, environment=os.environ) as server:
        running = server.processes()
        assert running is not None
        assert len(running) == 2
        assert {int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in running} == {oom.ENGINE_ADJ}


def test_exits_at_once(start: Start, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught, start("exits"):
        pass
    assert "llamacpp ended with exit code 3: ModuleNotFoundError: No module named 'torch'" in caught.value.message
    assert "the Python package torch is missing" in caught.value.message
    assert str(tmp_path / "engine.log") in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_exits_without_a_word(start: Start) -> None:
    with pytest.raises(EngineError, match="exit code 9; last log line: starting"), start("says-nothing"):
        pass


def test_killed_from_outside(start: Start) -> None:
    with pytest.raises(EngineError, match="SIGKILL") as caught, start("killed"):
        pass
    assert "memory" in caught.value.hint


def test_never_listens(start: Start, tmp_path: Path) -> None:
    began = clock.now()
    with pytest.raises(EngineError) as caught, start("never-listens", ready_timeout_s=1.0):
        pass
    assert "not ready after 1 s: it hung at the step port" in caught.value.message
    assert "last log line: loading 20%" in caught.value.message
    assert str(tmp_path / "engine.log") in caught.value.hint
    assert clock.since(began) < 15


def test_health_answers_500(start: Start) -> None:
    steps: list[str] = []
    with (
        pytest.raises(EngineError, match=r"hung at the step health \(/health answers HTTP 500\)"),
        start("health500", ready_timeout_s=1.0, steps=steps),
    ):
        pass
    assert steps == ["port"]


def test_first_request_is_refused(start: Start) -> None:
    with (
        pytest.raises(EngineError, match=r"HTTP 404 to a request of one token: The model `m` does not exist\."),
        start("chat404"),
    ):
        pass


def test_first_answer_has_another_shape(start: Start) -> None:
    with pytest.raises(EngineError, match="another shape"), start("chat-shape"):
        pass


def test_dies_over_the_first_request(start: Start) -> None:
    """The request would wait for a minute; the death is seen at once."""
    began = clock.now()
    with pytest.raises(EngineError, match="exit code 7: MemoryError"), start("chat-hangs-then-dies", ready_timeout_s=60.0):
        pass
    assert clock.since(began) < 20


def test_dies_later(start: Start) -> None:
    with pytest.raises(EngineError, match="exit code 5"), start("dies-later") as server:
        server.wait()


def test_a_deaf_server_is_killed(start: Start) -> None:
    with start("deaf", grace_s=0.3) as server:
        pass
    assert not running(server.pid)


def test_a_polite_server_is_not_waited_for(start: Start) -> None:
    with start(grace_s=60.0):
        began = clock.now()
    assert clock.since(began) < 20


def test_a_worker_that_left_its_family_is_found(start: Start, tmp_path: Path) -> None:
    """Double fork, session of its own, another name, deaf: only its environment tells whose it is."""
    file = tmp_path / "worker.pid"
    with start(f"detach={file}", grace_s=0.3) as server:
        worker = psutil.Process(int(written(file)))
        assert worker.cmdline()[0].startswith("VLLM::Worker_TP1")
        assert worker not in psutil.Process(server.pid).children(recursive=True)
        assert os.getsid(worker.pid) != os.getsid(server.pid)
    assert not running(worker.pid)


def test_a_worker_that_wiped_its_environment_is_remembered(start: Start, tmp_path: Path) -> None:
    """Seen while its parent lived; then the parent dies, and nothing ties the worker to us but memory."""
    file = tmp_path / "worker.pid"

    def lose_the_parent() -> None:
        with start(f"child={file}", grace_s=0.3) as server:
            written(file)
            clock.sleep(1.2)  # the family is looked at about once a second
            server.check()
            os.kill(server.pid, signal.SIGKILL)
            server.wait()

    with pytest.raises(EngineError, match=r"was killed \(signal SIGKILL\)"):
        lose_the_parent()
    assert not running(int(file.read_text()))


def test_stopped_when_the_block_raises(start: Start) -> None:
    with pytest.raises(ZeroDivisionError), start() as server:
        _ = 1 / 0
    assert not running(server.pid)


def test_stopped_on_ctrl_c_while_starting(start: Start, tmp_path: Path) -> None:
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), start("never-listens"):
        pass


def test_a_second_ctrl_c_cuts_the_grace_short(start: Start) -> None:
    began = clock.now()

    def interrupt_twice() -> None:
        with start("deaf", grace_s=60.0):
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert clock.since(began) < 30


def test_port_taken(start: Start, port: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(MachineError) as caught, start():
        pass
    assert f"port {port} is taken by" in caught.value.message
    assert f"(pid {os.getpid()})" in caught.value.message
    assert not (tmp_path / "engine.log").exists()


def test_no_such_program(tmp_path: Path, port: int) -> None:
    launch = Launch(executor="process", argv=("no-such-engine-anywhere", "serve"), env={})
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    served = serve(launch, llamacpp, url, "m", LocalHost(), log, lambda *_: None, environment=os.environ)
    with pytest.raises(MachineError, match="no-such-engine-anywhere: no such program"), served:
        pass


def test_the_server_gets_the_recipes_environment_and_little_else(start: Start, tmp_path: Path, port: int) -> None:
    file = tmp_path / "env.json"
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
os.environ.update(AWS_SECRET_ACCESS_KEY="hush", SGLANG_SIMULATE_ACC_LEN="3", HF_HOME="/hf", CUDA_VISIBLE_DEVICES="0")
from pathlib import Path
from harness.engines import llamacpp
from harness.hosts.local import LocalHost
from harness.launch import oom
from harness.launch.server import serve
from harness.schema.plan import Launch
argv = (sys.executable, {str(SCRIPT)!r}, "{port}", "environment={file}")
launch = Launch(executor="process", argv=argv, env={{"VLLM_X": "1"}})
log = Path({str(tmp_path / "log")!r})
with serve(launch, llamacpp, "http://127.0.0.1:{port}", "m", LocalHost(), log, lambda *_: None, environment=os.environ):
    pass
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    env = json.loads(file.read_text())
    assert env["VLLM_X"] == "1"
    assert env["HF_HOME"] == "/hf"
    assert env["CUDA_VISIBLE_DEVICES"] == "0"
    assert env["PATH"].endswith(os.environ["PATH"])
    assert not {"AWS_SECRET_ACCESS_KEY", "SGLANG_SIMULATE_ACC_LEN"} & set(env)
