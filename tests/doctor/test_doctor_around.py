from __future__ import annotations

from pathlib import Path

import pytest

from harness.doctor import around
from harness.hosts.base import Ran
from tests.doctor.patients import IN_DOCKER, by_name, patient

TWO_NODES = IN_DOCKER.replace("max_nodes: 1", "min_nodes: 2")


def links(*speeds: int) -> dict[str, str]:
    """Those below 0 are down; -1 is what most drivers say then."""
    files = {
        "/sys/class/net/lo/operstate": "unknown\n",
        "/sys/class/net/eth0/operstate": "up\n",
        "/sys/class/net/eth0/speed": "10000\n",
    }
    for number, speed in enumerate(speeds):
        files[f"/sys/class/net/fast{number}/operstate"] = "up\n" if speed > 0 else "down\n"
        files[f"/sys/class/net/fast{number}/speed"] = f"{abs(speed) if speed < -1 else speed}\n"
    return files


@pytest.mark.parametrize(
    ("recipe", "speeds", "status"),
    [
        (None, (), "skip"),
        (None, (200_000,), "pass"),
        (TWO_NODES, (), "fail"),
        (TWO_NODES, (-1, -1), "fail"),
        (TWO_NODES, (-200_000, 10_000), "fail"),
        (TWO_NODES, (200_000, -1), "warn"),
        (TWO_NODES, (100_000, 200_000), "pass"),
    ],
)
def test_links(tmp_path: Path, recipe: str | None, speeds: tuple[int, ...], status: str) -> None:
    found = by_name(around.look(patient(tmp_path, recipe, files=links(*speeds))))["network"]
    assert found.status == status
    assert "eth0" not in found.text


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (Ran(0, "NTPSynchronized=yes\n", ""), "pass"),
        (Ran(0, "NTPSynchronized=no\n", ""), "warn"),
        (Ran(1, "", "System has not been booted with systemd"), "skip"),
    ],
)
def test_time(tmp_path: Path, said: Ran, status: str) -> None:
    assert by_name(around.look(patient(tmp_path, commands={"timedatectl": said})))["time"].status == status


def test_earlyoom(tmp_path: Path) -> None:
    sound = {"/proc/77/cmdline": "earlyoom\0-m\x002\0--prefer\0(vllm|sglang)\0"}
    assert by_name(around.look(patient(tmp_path, files=sound)))["earlyoom"].status == "pass"
    biased = {"/proc/77/cmdline": "earlyoom\0-m\x002\0--prefer\0(vllm|python3)\0"}
    found = by_name(around.look(patient(tmp_path, files=biased)))["earlyoom"]
    assert (found.status, "pid 77" in found.text, "EARLYOOM_ARGS" in found.advice) == ("warn", True, True)
