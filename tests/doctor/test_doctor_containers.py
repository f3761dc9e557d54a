from __future__ import annotations

from pathlib import Path

import pytest

from harness.doctor import containers
from harness.hosts.base import Ran
from harness.schema.doctor import Check
from tests.doctor.patients import IN_DOCKER, PACED, by_name, machine, patient

HERE = {"sh -c command -v docker": Ran(0, "/usr/bin/docker\n", "")}
NOBODY = '{"ServerVersion":"","Runtimes":null,"ClientInfo":{"Version":"28.2.2"}}'
CLOSED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


def look(
    folder: Path,
    info: Ran,
    recipe: str | None = IN_DOCKER,
    files: dict[str, str] | None = None,
    hook: Ran | None = None,
    image: Ran | None = None,
) -> dict[str, Check]:
    commands = HERE | {"docker info": info, "docker image inspect": image or Ran(0, f'{{"Id":"sha256:{"a" * 64}"}}', "")}
    if hook is not None:
        commands["sh -c command -v nvidia-container-runtime-hook"] = hook
    return by_name(containers.look(patient(folder, recipe, commands=commands, files=files)))


@pytest.mark.parametrize(
    ("said", "word", "advice"),
    [
        (Ran(1, NOBODY, f"{CLOSED}\n"), "let this user in", "usermod -aG docker"),
        (Ran(1, NOBODY, f"{DOWN}\n"), "no server answers", "systemctl start docker"),
        (Ran(None, "", "docker did not end within 2 s"), "did not end within 2 s", "systemctl status docker"),
        (Ran(0, "not json", ""), "no server answers", "systemctl"),
    ],
)
def test_each_way_of_not_answering_has_its_advice(tmp_path: Path, said: Ran, word: str, advice: str) -> None:
    found = look(tmp_path, said)
    assert list(found) == ["docker"]
    assert (found["docker"].status, word in found["docker"].text, advice in found["docker"].advice) == ("fail", True, True)
    assert look(tmp_path, said, None)["docker"].status == "warn"
    assert look(tmp_path, said, PACED)["docker"].status == "skip"


@pytest.mark.parametrize(("recipe", "status"), [(IN_DOCKER, "fail"), (None, "warn"), (PACED, "skip")])
def test_a_rootless_docker_has_a_network_of_its_own(tmp_path: Path, recipe: str | None, status: str) -> None:
    """What a rootless dockerd 20.10.24 said."""
    info = Ran(0, '{"ServerVersion":"20.10.24","SecurityOptions":["name=seccomp,profile=default","name=rootless"]}', "")
    found = look(tmp_path, info, recipe)["docker"]
    assert (found.status, "Docker runs rootless here" in found.text) == (status, True)


def test_not_installed(tmp_path: Path) -> None:
    found = by_name(containers.look(patient(tmp_path, IN_DOCKER)))
    assert (found["docker"].status, found["docker"].text) == ("fail", "it is not installed")


@pytest.mark.parametrize(
    ("info", "files", "hook", "status"),
    [
        ('{"ServerVersion":"29.2.1","Runtimes":{"runc":{},"nvidia":{"path":"x"}}}', {}, None, "pass"),
        (
            '{"ServerVersion":"29.2.1","Runtimes":{"runc":{}},"DiscoveredDevices":[{"Source":"cdi","ID":"nvidia.com/gpu=0"}]}',
            {},
            None,
            "pass",
        ),
        ('{"ServerVersion":"24.0","Runtimes":{"runc":{}}}', {}, Ran(0, "/usr/bin/x\n", ""), "pass"),
        ('{"ServerVersion":"24.0","Runtimes":{"runc":{}}}', {"/etc/cdi/nvidia.yaml": "kind: nvidia.com/gpu"}, None, "pass"),
        ('{"ServerVersion":"29.2.1","Runtimes":{"runc":{}},"DiscoveredDevices":null}', {}, None, "fail"),
    ],
)
def test_ways_to_hand_out_the_gpu(tmp_path: Path, info: str, files: dict[str, str], hook: Ran | None, status: str) -> None:
    found = look(tmp_path, Ran(0, info, ""), files=files, hook=hook)
    assert found["nvidia runtime"].status == status
    assert found["docker"].status == "pass"


def test_without_a_gpu_no_runtime_is_missed(tmp_path: Path) -> None:
    commands = HERE | {"docker info": Ran(0, '{"ServerVersion":"29.2.1"}', "")}
    found = by_name(containers.look(patient(tmp_path, None, commands=commands, of=machine(()))))
    assert found["nvidia runtime"].status == "skip"


def test_an_image_that_is_not_here_or_for_other_machines(tmp_path: Path) -> None:
    info = Ran(0, '{"ServerVersion":"29.2.1","Runtimes":{"nvidia":{}}}', "")
    assert look(tmp_path, info)["image"].text == "org/image:2026-01-01 is here: sha256:aaaaaaaaaaaa"
    missing = look(tmp_path, info, image=Ran(1, "\n", "Error response from daemon: No such image: x"))["image"]
    assert (missing.status, missing.advice) == ("fail", "docker pull org/image:2026-01-01")
    other = look(tmp_path, info, image=Ran(0, '{"Id":"sha256:aa","Architecture":"amd64"}', ""))["image"]
    assert (other.status, "is for amd64, and this machine is arm64" in other.text) == ("fail", True)
    assert "image" not in look(tmp_path, info, PACED)
