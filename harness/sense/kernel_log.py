"""What the kernel's log says against a run: memory that ran out, a GPU in trouble, a shutdown for heat.

A GB10 that runs out of memory hangs without a kill by the kernel and without an error of CUDA: lines with NV_ERR_NO_MEMORY are all there is
(NVIDIA/open-gpu-kernel-modules#1358). Xids: NVIDIA's "Xid Errors". So a log that may not be read is told apart from a clean one.
"""

from __future__ import annotations

import re
from datetime import datetime

from harness.hosts.base import Host
from harness.schema.sensors import HOST, Absent

LIMIT_S = 20.0
KINDS = {
    "no_memory": re.compile(r"NV_ERR_NO_MEMORY"),
    "xid": re.compile(r"NVRM: Xid"),
    "oom_kill": re.compile(r"out of memory:|oom-kill", re.IGNORECASE),
    "gpu_driver": re.compile(r"NVRM: .*(error|fail|cannot|timeout|timed out|halted)", re.IGNORECASE),
    "thermal_shutdown": re.compile(r"critical temperature reached|HARDWARE PROTECTION shutdown"),
}
"""The first that fits says what kind of trouble a line is."""
HIDDEN = ("No journal files were", "not seeing messages")
"""What journalctl says where it shows nothing, or only a user's own: with `-q` that would look like a clean log."""


def kind(line: str) -> str | None:
    """Of trouble, as in `KINDS`; None: the line is none."""
    return next((name for name, pattern in KINDS.items() if pattern.search(line)), None)


def trouble(host: Host, since_wall: str) -> tuple[list[str], Absent | None]:
    """Lines since an instant (RFC 3339), from the journal, else from the kernel's own buffer, whose stamps are off by what the machine
    slept."""
    since = datetime.fromisoformat(since_wall).astimezone()
    since_argument = f"@{since.timestamp():.6f}"  # older ones do not read RFC 3339
    journal = host.run(["journalctl", "-k", "--since", since_argument, "-o", "short-iso", "--no-pager"], timeout_s=LIMIT_S)
    if journal.code == 0 and not any(said in journal.err for said in HIDDEN):
        return [line for line in journal.out.splitlines() if kind(line)], None
    ring = host.run(["env", "LC_ALL=C", "dmesg", "--time-format", "iso"], timeout_s=LIMIT_S)
    if ring.code == 0:
        return [line for line in ring.out.splitlines() if kind(line) and _is_since(line, since)], None
    if "not permitted" in ring.err or "permission" in journal.err or HIDDEN[1] in journal.err:
        text = "the kernel's log may not be read by this user: `sudo usermod -aG systemd-journal $USER`, then log in again"
        return [], Absent(source="kernel_log", scope=HOST, code="no_permission", text=text)
    said = " ".join(f"{journal.err} {ring.err}".split())
    return [], Absent(source="kernel_log", scope=HOST, code="unreadable", text=f"the kernel's log cannot be read: {said}")


def _is_since(line: str, since: datetime) -> bool:
    try:
        return datetime.fromisoformat(line.partition(" ")[0]) >= since
    except ValueError:
        return False
