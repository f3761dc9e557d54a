"""Lines of the kernel's log. The programs that give it are scripts here, found as the real ones are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.hosts.local import LocalHost
from harness.sense.kernel_log import kind, trouble

LINES = [
    (
        "no_memory",
        "NVRM: nvCheckOkFailedNoLog: Check failed: Out of memory [NV_ERR_NO_MEMORY] (0x00000051) returned from "
        "_memdescAllocInternal(pMemDesc) @ mem_desc.c:1359",
    ),
    ("xid", "NVRM: Xid (PCI:000f:01:00): 79, pid=2143, name=python3, GPU has fallen off the bus."),
    ("xid", "NVRM: Xid (PCI:000f:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"),
    ("oom_kill", "Out of memory: Killed process 4711 (python3) total-vm:98312344kB, anon-rss:61231232kB"),
    ("oom_kill", "Memory cgroup out of memory: Killed process 4711 (python3) total-vm:98312344kB"),
    ("oom_kill", "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task=python3"),
    ("oom_kill", "python3 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0"),
    ("gpu_driver", "NVRM: GPU 000f:01:00.0: RmInitAdapter failed! (0x62:0x51:1941)"),
    ("gpu_driver", "NVRM: sysmemConstruct_IMPL: *** Cannot allocate sysmem through fb heap"),
    ("gpu_driver", "NVRM: GPU0 _kgspRpcGspEventPmuHalted: Received signal from GSP that PMU has halted."),
    ("thermal_shutdown", "thermal thermal_zone0: acpitz: critical temperature reached, shutting down"),
    ("thermal_shutdown", "reboot: HARDWARE PROTECTION shutdown (Temperature too high)"),
    (None, "NVRM: loading NVIDIA UNIX Open Kernel Module for aarch64  580.173.02  Release Build"),
    (None, "NVRM: testIfDsmSubFunctionEnabled: GPS ACPI DSM called before _acpiDsmSupportedFuncCacheInit subfunction = 11."),
    (None, "NVRM: GPU at PCI:000f:01:00: GPU-b850f46d-d5ea-c752-ddf3-c4453e44d3f7"),
    (None, "mlx5_core 0000:01:00.0: Port module event: module 0, Cable plugged"),
    (None, "systemd[1]: Reached target sound.target - Sound Card."),
    (None, "usb 1-1: device descriptor read/64, error -71"),
]
BAD = [line for code, line in LINES if code]
NO_JOURNAL = "echo 'No journal files were found.' >&2"
NOT_OURS = "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2; echo '-- No entries --'"
DENIED = "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1"
RING_DENIED = "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, which are looked for nowhere else but for what scripts need."""
    for name in ("env", "sh"):
        found = next(path for path in (Path("/usr/bin") / name, Path("/bin") / name) if path.exists())
        (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.asked\n{script}\n')
    (folder / name).chmod(0o755)


def says(folder: Path, stamp: str) -> str:
    lines = folder / "lines"
    lines.write_text("".join(f"{stamp} {line}\n" for _, line in LINES))
    return f'while IFS= read -r line; do echo "$line"; done < {lines}'


@pytest.mark.parametrize(("code", "line"), LINES)
def test_what_matters(code: str | None, line: str) -> None:
    assert kind(line) == code
    assert kind(f"2026-11-23T10:00:00+0000 spark kernel: {line}") == code


def test_the_journal_is_asked_from_the_instant_on(machine: Path) -> None:
    program(machine, "journalctl", says(machine, "2026-11-23T10:00:00+0000 spark kernel:"))
    program(machine, "dmesg", RING_DENIED)
    found, absent = trouble(LocalHost(), "2026-11-23T09:59:00.5+00:00")
    assert (absent, [line.partition("kernel: ")[2] for line in found]) == (None, BAD)
    assert (machine / "journalctl.asked").read_text() == "-k --since @1795427940.500000 -o short-iso --no-pager\n"
    assert not (machine / "dmesg.asked").exists()


def test_a_clean_journal(machine: Path) -> None:
    program(machine, "journalctl", "echo '-- No entries --'")
    assert trouble(LocalHost(), "2026-11-23T09:59:00Z") == ([], None)


@pytest.mark.parametrize("journal", [None, NO_JOURNAL, NOT_OURS, DENIED])
def test_else_the_kernels_own_buffer(machine: Path, journal: str | None) -> None:
    if journal:
        program(machine, "journalctl", journal)
    program(machine, "dmesg", says(machine, "2026-11-23T10:00:00,123456+00:00"))
    found, absent = trouble(LocalHost(), "2026-11-23T11:00:00.100000+01:00")
    assert (absent, [line.partition(" ")[2] for line in found]) == (None, BAD)
    assert trouble(LocalHost(), "2026-11-23T10:00:01Z") == ([], None), "all that was before"


@pytest.mark.parametrize("journal", [None, NO_JOURNAL, NOT_OURS, DENIED])
def test_both_forbidden_is_not_a_clean_log(machine: Path, journal: str | None) -> None:
    if journal:
        program(machine, "journalctl", journal)
    program(machine, "dmesg", RING_DENIED)
    found, absent = trouble(LocalHost(), "2026-11-23T09:00:00Z")
    assert found == []
    assert absent is not None
    assert (absent.source, absent.scope, absent.code) == ("kernel_log", "host", "no_permission")
    assert "systemd-journal" in absent.text


@pytest.mark.parametrize("journal", [NOT_OURS, DENIED])
def test_the_journal_forbidden_and_nothing_else(machine: Path, journal: str) -> None:
    program(machine, "journalctl", journal)
    found, absent = trouble(LocalHost(), "2026-11-23T09:00:00Z")
    assert (found, absent and absent.code) == ([], "no_permission")


def test_neither_is_there(machine: Path) -> None:
    found, absent = trouble(LocalHost(), "2026-11-23T09:00:00Z")
    assert found == []
    assert absent is not None
    assert absent.code == "unreadable"
    assert "journalctl" in absent.text


def test_this_machine() -> None:
    """Whatever it answers: lines of trouble, or why there are none to be had."""
    found, absent = trouble(LocalHost(), "2026-01-01T00:00:00Z")
    assert all(kind(line) for line in found)
    assert absent is None or (absent.code in ("no_permission", "unreadable") and not found)
    print(f"{len(found)} lines, {absent}", file=sys.stderr)
