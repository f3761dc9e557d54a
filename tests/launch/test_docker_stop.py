"""A container outlives its `docker run`: with a `docker` that is a script and notes how it was called, `rm -f` must follow."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from harness import clock, http
from harness.engines import llamacpp
from harness.errors import EngineError
from harness.hosts import owner
from harness.hosts.local import LocalHost
from harness.launch.server import free_port, serve
from harness.schema.plan import Launch, Mount

SCRIPT = Path(__file__).parent / "scripted.py"


def docker(tmp_path: Path, rm: str) -> Path:
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$1" in\nrun) shift 5; exec "$@" ;;\nrm) {rm} ;;\nesac\n'
    )
    program.chmod(0o755)
    return program


def run(tmp_path: Path, rm: str) -> list[str]:
    port = free_port()
    argv = (str(docker(tmp_path, rm)), "run", "--name", "harness-x", sys.executable, str(SCRIPT), str(port))
    launch = Launch(
        executor="docker",
        argv=argv,
        env={},
        container_name="harness-x",
        mounts=(Mount(str(tmp_path / "cache" / "vllm"), "/c"),),
    )
    with serve(
        launch,
        llamacpp,
        f"http://127.0.0.1:{port}",
        "m",
        LocalHost(),
        tmp_path / "log",
        lambda *_: None,
        environment=os.environ,
    ):
        pass
    return (tmp_path / "calls").read_text().splitlines()


def test_the_container_is_removed(tmp_path: Path) -> None:
    """By a name that is its own, and no name that the recipe gave."""
    calls = run(tmp_path, "exit 0")
    assert [call.split()[0] for call in calls] == ["run", "rm"]
    name = calls[1].removeprefix("rm -f -v ")
    assert re.fullmatch(r"harness-x-[0-9a-f]{8}", name)
    assert calls[0].startswith(f"run --name {name} --label spark-harness.owner={owner.me()} ")
    assert (tmp_path / "cache" / "vllm").is_dir()  # else Docker makes it, as root's


def test_a_client_that_hears_late_that_its_server_died(tmp_path: Path) -> None:
    """Requests fail before `docker run` has ended: only then is it known why."""
    port = free_port()
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\ncase "$1" in\nrun) shift 5; "$@"; code=$?; sleep 1; exit $code ;;\n*) exit 1 ;;\nesac\n')
    program.chmod(0o755)
    argv = (str(program), "run", "--name", "harness-x", sys.executable, str(SCRIPT), str(port), "dies-later")
    launch = Launch(executor="docker", argv=argv, env={}, container_name="harness-x")
    url = f"http://127.0.0.1:{port}"

    def measure() -> None:
        with serve(
            launch, llamacpp, url, "m", LocalHost(), tmp_path / "log", lambda *_: None, environment=os.environ
        ) as server:
            while http.fetch(f"{url}/health").ok:
                clock.sleep(0.02)
            server.check()
            server.check_failed()

    with pytest.raises(EngineError, match="llamacpp ended with exit code 5"):
        measure()


def test_a_container_that_stays_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"could not be stopped: docker rm -f harness-x-[0-9a-f]{8}: no way"):
        run(tmp_path, "echo 'no way' >&2; exit 1")
