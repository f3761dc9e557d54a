"""Memory that comes back after a stop, and the page cache, which is dropped only with leave."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness import clock
from harness.errors import MachineError
from harness.hosts.local import LocalHost
from harness.launch.memory import drop_caches, memory_back
from tests.launch.hog import MIB, available, hog


def test_memory_that_comes_back() -> None:
    with hog(2048 * MIB) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        before = available() + 1536 * MIB  # not as it was before: half of the rest is left to other programs, either way
        release = threading.Timer(0.6, holder.kill)
        release.start()
        back = memory_back(before, available, limit_s=30.0, slack_bytes=768 * MIB)
        release.join()
    assert back.took_s is not None
    assert back.took_s > 0.3, "it was held for a while"
    assert back.missing_bytes is not None
    assert back.missing_bytes <= 768 * MIB


def test_memory_that_stays_away() -> None:
    began = clock.now()
    back = memory_back(100 << 30, lambda: 60 << 30, limit_s=0.5)
    assert (back.took_s, back.missing_bytes) == (None, 40 << 30)
    assert clock.since(began) >= 0.5


@pytest.mark.parametrize(
    ("before", "free", "in_time"),
    [
        (100 << 30, 98 << 30, True),
        (100 << 30, (98 << 30) - 1, False),
        (200 << 30, 196 << 30, True),
        (200 << 30, (196 << 30) - 1, False),
        (10 << 30, 12 << 30, True),
    ],
)
def test_the_slack_is_2_gib_or_2_percent(before: int, free: int, in_time: bool) -> None:
    back = memory_back(before, lambda: free, limit_s=0.0)
    assert (back.took_s is not None) == in_time
    assert back.missing_bytes == max(0, before - free)


def test_a_machine_that_does_not_tell_what_is_free() -> None:
    back = memory_back(1 << 30, lambda: None, limit_s=0.1)
    assert (back.took_s, back.missing_bytes) == (None, None)


DROP = "sysctl -w vm.drop_caches=3"
LINE = r"bob ALL=(root) NOPASSWD: /usr/sbin/sysctl -w vm.drop_caches\=3"


def drop(folder: Path, monkeypatch: pytest.MonkeyPatch, user: str = "bob", **programs: str) -> list[str]:
    """Drops the caches on a machine whose programs are these scripts, and gives how they were called."""
    for name, does in ({"sync": "", "id": f"echo {user}"} | programs).items():
        note = "" if name == "id" else f'echo "{name} $*" >> {folder}/calls\n'
        (folder / name).write_text(f"#!/bin/sh\n{note}{does}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    drop_caches(LocalHost())
    return [line.rstrip() for line in (folder / "calls").read_text().splitlines()]


def test_through_sudo_that_asks_for_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drop(tmp_path, monkeypatch, sudo="") == ["sync", f"sudo -n {DROP}"]


def test_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drop(tmp_path, monkeypatch, user="root", sysctl="", sudo="exit 1") == ["sync", DROP]


@pytest.mark.parametrize(
    "said", ["sudo: a password is required", "Sorry, user bob is not allowed to execute '/usr/sbin/sysctl' as root on spark."]
)
def test_sudo_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    with pytest.raises(MachineError) as caught:
        drop(tmp_path, monkeypatch, sudo=f'echo "{said}" >&2; exit 1')
    assert said in caught.value.message
    assert caught.value.hint.endswith(LINE)
    assert "\n" not in caught.value.message + caught.value.hint


def test_there_is_no_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="sudo: No such file") as caught:
        drop(tmp_path, monkeypatch)
    assert caught.value.hint.endswith(LINE)


@pytest.mark.parametrize("user", ["bob", "root"])
def test_the_kernel_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    refusal = "echo 'sysctl: permission denied on key \"vm.drop_caches\"' >&2; exit 1"
    with pytest.raises(MachineError, match="permission denied") as caught:
        drop(tmp_path, monkeypatch, user=user, sudo=refusal, sysctl=refusal)
    assert "container" in caught.value.hint
    assert "NOPASSWD" not in caught.value.hint


def test_a_disk_that_does_not_take_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="I/O error"):
        drop(tmp_path, monkeypatch, sync="echo 'sync: I/O error' >&2; exit 1", sudo="")
    assert "sudo" not in (tmp_path / "calls").read_text()
