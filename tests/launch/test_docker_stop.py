"""A container outlives its `docker run`: with a `docker` that is a script and notes how it was called, `rm -f` must follow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.engines import llamacpp
from harness.errors import EngineError
from harness.hosts.local import LocalHost
from harness.launch.server import free_port, serve
from harness.schema.plan import Launch, Mount

SCRIPT = Path(__file__).parent / "scripted.py"


def docker(tmp_path: Path, rm: str) -> Path:
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$1" in\nrun) shift 4; exec "$@" ;;\nrm) {rm} ;;\nesac\n'
    )
    program.chmod(0o755)
    return program


def run(tmp_path: Path, rm: str) -> list[str]:
    port = free_port()
    argv = (str(docker(tmp_path, rm)), "run", "--rm", "--name", "harness-x", sys.executable, str(SCRIPT), str(port))
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


@pytest.mark.parametrize("rm", ["exit 0", "echo 'Error: No such container: harness-x' >&2; exit 1"])
def test_the_container_is_removed(tmp_path: Path, rm: str) -> None:
    calls = run(tmp_path, rm)
    assert [call.split()[0] for call in calls] == ["run", "rm"]
    assert calls[1] == "rm -f harness-x"
    assert (tmp_path / "cache" / "vllm").is_dir()  # else Docker makes it, as root's


def test_a_container_that_stays_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="could not be stopped: docker rm -f harness-x: no way"):
        run(tmp_path, "echo 'no way' >&2; exit 1")
