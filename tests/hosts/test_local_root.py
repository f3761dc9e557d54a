"""The machine's own files read below another root, as in a container that was given the host's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.hosts.local import LocalHost
from harness.probe import probe


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With brackets in its name, which a pattern must not take for its own."""
    root = tmp_path / "host[1]"
    for path, text in {
        "proc/sys/kernel/osrelease": "6.17.0-1032-nvidia\n",
        "proc/1/cmdline": "moved",
        "proc/self/cmdline": "moved",
        "sys/class/net/eth7/operstate": "up\n",
        "sys/class/net/eth8/operstate": "down\n",
        "etc/os-release": 'PRETTY_NAME="Moved 1.0"\n',
        "home/file": "moved",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_files_of_the_machine_are_read_below_its_root(root: Path) -> None:
    host = LocalHost(root)
    assert host.read("/proc/sys/kernel/osrelease") == b"6.17.0-1032-nvidia\n"
    assert host.read("/etc/os-release", limit=6) == b"PRETTY"


def test_found_paths_can_be_read(root: Path) -> None:
    host = LocalHost(root)
    found = host.glob("/sys/class/net/*/operstate")
    assert found == ("/sys/class/net/eth7/operstate", "/sys/class/net/eth8/operstate")
    assert [host.read(path) for path in found] == [b"up\n", b"down\n"]


def test_processes_and_what_is_no_file_of_the_kernel_stay(root: Path) -> None:
    host = LocalHost(root)
    assert b"moved" not in (host.read("/proc/self/cmdline") or b"")
    assert host.read("/proc/1/cmdline") != b"moved"
    assert f"/proc/{os.getpid()}/cmdline" in host.glob("/proc/[0-9]*/cmdline")
    assert f"/proc/{os.getpid()}" in host.glob("/proc/[1-9]*")
    assert host.read("/home/file") is None
    assert host.read(str(root / "home/file")) == b"moved"


def test_what_is_not_below_the_root_is_read_in_its_usual_place(root: Path) -> None:
    assert LocalHost(root).read("/proc/meminfo") is not None
    assert LocalHost(root).glob("/sys/devices/system/cpu/cpu0") == LocalHost().glob("/sys/devices/system/cpu/cpu0")


def test_the_usual_root_is_no_other(root: Path) -> None:
    assert LocalHost(Path("/")).read("/proc/sys/kernel/osrelease") == f"{os.uname().release}\n".encode()


def test_a_probe_tells_of_that_machine(root: Path, tmp_path: Path) -> None:
    found = probe(LocalHost(root), engines_home=tmp_path, env={"PATH": "", "HOME": "/home/somebody"})
    assert (found.kernel, found.os) == ("6.17.0-1032-nvidia", "Moved 1.0")
