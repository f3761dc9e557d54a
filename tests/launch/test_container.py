"""What is said before a container starts. Docker's client is the real one; it looks its address up without asking anybody."""

from __future__ import annotations

import shutil

import pytest

from harness.errors import MachineError
from harness.hosts.base import Ran
from harness.hosts.local import LocalHost
from harness.launch import container
from harness.schema.plan import Image
from tests.doctor.patients import Elsewhere


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ghcr.io/a/b:1", "docker pull ghcr.io/a/b:1"),
        ("a/b@sha256:0123", "docker pull a/b@sha256:0123"),
        (
            "vllm-node",
            "its name is that of a local build: build it as the recipe's author did, or name another with --set container=…",
        ),
    ],
)
def test_an_image_that_is_not_here(name: str, hint: str) -> None:
    with pytest.raises(MachineError) as caught:
        container.check(None, name, "aarch64")
    assert (caught.value.message, caught.value.hint) == (f"the image {name} is not on this machine", hint)


def test_an_image_for_other_machines() -> None:
    here = Image(name="a/b", id="sha256:1", architecture="arm64")
    container.check(here, "a/b", "aarch64")
    container.check(Image(name="a/b", id="sha256:1"), "a/b", "aarch64")
    with pytest.raises(MachineError, match="the image a/b is for arm64, and this machine is amd64") as caught:
        container.check(here, "a/b", "x86_64")
    assert caught.value.hint.endswith("docker pull --platform linux/amd64 a/b")


def test_what_docker_does_not_say_is_no_missing_image() -> None:
    def asked(said: str) -> Image | None:
        return container.image(Elsewhere(commands={"docker image inspect": Ran(1, "[]\n", said)}), "a/b:1")

    assert asked("Error response from daemon: No such image: a/b:1\n") is None
    with pytest.raises(MachineError, match=r"a/b:1: dial unix /var/run/docker.sock: connection refused"):
        asked("Error response from daemon: dial unix /var/run/docker.sock: connection refused\n")


def test_a_rootless_docker_serves_nobody_here() -> None:
    """A server in it was never reached, and its whole time to become ready went by: seen with dockerd 20.10.24 below rootlesskit 1.1."""
    said = {"docker context inspect": Ran(0, "unix:///run/user/1000/docker.sock\n", "")}
    container.check_server(Elsewhere(commands=said | {"docker info": Ran(0, '["name=seccomp,profile=default"]\n', "")}))
    with pytest.raises(MachineError, match="Docker runs rootless here"):
        container.check_server(Elsewhere(commands=said | {"docker info": Ran(0, '["name=rootless"]\n', "")}))


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed (apt install docker.io)")
@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("ssh://me@192.0.2.1", True),
        ("tcp://192.0.2.1:2375", True),
        ("tcp://127.0.0.1:2375", False),
        ("unix:///run/user/1000/docker.sock", False),
    ],
)
def test_docker_of_another_machine(address: str, other: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    if not other:
        container.check_server(LocalHost())
        return
    with pytest.raises(MachineError, match=r"Docker is that of another machine here \(\w+://192.0.2.1\)"):
        container.check_server(LocalHost())
