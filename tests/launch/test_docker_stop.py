"""A container outlives its `docker run`: with a `docker` that is a script and notes how it was called, `rm -f` must follow; or `kill`,
where memory runs short."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness import clock
from harness.engines import llamacpp
from harness.errors import EngineError
from harness.hosts.base import Process
from harness.hosts.local import LocalHost
from harness.launch.processes import Family
from harness.launch.server import free_port, serve
from harness.launch.watchdog import kill_at_once
from harness.schema.plan import Launch, Mount

SCRIPT = Path(__file__).parent / "scripted.py"
HOST = LocalHost()
LIMIT_S = 30.0


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


def written(path: Path) -> str:
    began = clock.now()
    while not path.exists() or not path.read_text():
        assert clock.since(began) < LIMIT_S
        clock.sleep(0.02)
    return path.read_text()


DOCKER = """#!/bin/sh
echo "$@" >> {folder}/calls
case "$1" in
run) (setsid env -i sleep 600 & echo $! > {folder}/pid); exec sleep 600 ;;
kill) {kill} ;;
esac
"""


def in_container(folder: Path, kill: str) -> tuple[Launch, Family, Process]:
    """A `docker` that is a script: what it runs is as little its child as a container is Docker's client's."""
    program = folder / "docker"
    program.write_text(DOCKER.format(folder=folder, kill=kill))
    program.chmod(0o755)
    launch = Launch(executor="docker", argv=(str(program), "run", "--name", "harness-x"), env={}, container_name="harness-x")
    mark = f"HARNESS_RUN={folder.name}"
    family = Family(HOST, mark)
    env = {"PATH": os.environ["PATH"], "HARNESS_RUN": folder.name}
    family.root = HOST.spawn(launch.argv, env=env, cwd=None, log=str(folder / "log"))
    pid = int(written(folder / "pid"))
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    inside = Process(pid, started, "sleep")
    began = clock.now()
    while pid in {
        process.pid for process in HOST.family(family.root, mark)
    }:  # until its shell has ended, and its environment is gone
        assert clock.since(began) < LIMIT_S
        clock.sleep(0.01)
    return launch, family, inside


def test_a_container_is_killed(tmp_path: Path) -> None:
    launch, family, inside = in_container(tmp_path, f"kill -9 $(cat {tmp_path}/pid)")
    assert kill_at_once(launch, HOST, family) == []
    assert (tmp_path / "calls").read_text().splitlines()[1:] == ["kill harness-x"]
    began = clock.now()
    while HOST.alive(inside):
        assert clock.since(began) < LIMIT_S
        clock.sleep(0.01)
    assert family.living() == []


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ("Error response from daemon: No such container: harness-x", []),
        ("Error response from daemon: container abc is not running", []),
        ("Cannot connect to the Docker daemon", ["docker kill harness-x: Cannot connect to the Docker daemon"]),
    ],
)
def test_a_container_that_docker_does_not_kill(tmp_path: Path, said: str, problems: list[str]) -> None:
    launch, family, inside = in_container(tmp_path, f"echo '{said}' >&2; exit 1")
    try:
        assert kill_at_once(launch, HOST, family) == problems
        assert family.living() == []
    finally:
        HOST.signal(inside, 9)
