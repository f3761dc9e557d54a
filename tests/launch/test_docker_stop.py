"""A container outlives its `docker run`: with a `docker` that is a script and notes how it was called, `rm -f` must follow; or `kill`,
where memory runs short."""

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
from harness.hosts.base import Process
from harness.hosts.local import LocalHost
from harness.launch.container import Container
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
            server.explain()

    with pytest.raises(EngineError, match="llamacpp ended with exit code 5"):
        measure()


def test_a_container_that_stays_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"could not be stopped: docker rm -f harness-x-[0-9a-f]{8}: no way"):
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


def in_container(folder: Path, kill: str) -> tuple[Container, Family, Process]:
    """A `docker` that is a script: what it runs is as little its child as a container is Docker's client's."""
    program = folder / "docker"
    program.write_text(DOCKER.format(folder=folder, kill=kill))
    program.chmod(0o755)
    launch = Launch(executor="docker", argv=(str(program), "run", "--name", "harness-x"), env={}, container_name="harness-x")
    container = Container(launch, HOST, "0123456789")
    mark = f"HARNESS_RUN={folder.name}"
    family = Family(HOST, mark)
    env = {"PATH": os.environ["PATH"], "HARNESS_RUN": folder.name}
    family.root = HOST.spawn(container.argv, env=env, cwd=None, log=str(folder / "log"))
    pid = int(written(folder / "pid"))
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    inside = Process(pid, started, "sleep")
    began = clock.now()
    while pid in {
        process.pid for process in HOST.family(family.root, mark)
    }:  # until its shell has ended, and its environment is gone
        assert clock.since(began) < LIMIT_S
        clock.sleep(0.01)
    return container, family, inside


def test_a_container_is_killed(tmp_path: Path) -> None:
    container, family, inside = in_container(tmp_path, f"kill -9 $(cat {tmp_path}/pid)")
    assert kill_at_once(container, family) == []
    assert (tmp_path / "calls").read_text().splitlines()[1:] == ["kill harness-x-01234567"]
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
        ("Cannot connect to the Docker daemon", ["docker kill harness-x-01234567: Cannot connect to the Docker daemon"]),
    ],
)
def test_a_container_that_docker_does_not_kill(tmp_path: Path, said: str, problems: list[str]) -> None:
    container, family, inside = in_container(tmp_path, f"echo '{said}' >&2; exit 1")
    try:
        assert kill_at_once(container, family) == problems
        assert family.living() == []
    finally:
        HOST.signal(inside, 9)
