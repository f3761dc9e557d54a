"""The machine's memory before a start and after a stop."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from harness import clock
from harness.errors import MachineError
from harness.hosts.base import Host

POLL_S = 0.25
RETURN_LIMIT_S = 90.0
SLACK_BYTES, SLACK_SHARE = 2 << 30, 0.02
SYNC_LIMIT_S = 120.0
DROP_LIMIT_S = 60.0
DROP = ("sysctl", "-w", "vm.drop_caches=3")
SUDOERS = r"{user} ALL=(root) NOPASSWD: /usr/sbin/sysctl -w vm.drop_caches\=3"
"""sudoers(5) wants the equals sign of an argument escaped; newer versions read it plain, too."""


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """How memory came back after a server had stopped."""

    took_s: float | None
    """None: it was not back when the limit was over."""
    missing_bytes: int | None
    """Of what had been free before, at the last look; None where that could not be read."""


def memory_back(
    before_bytes: int, available: Callable[[], int | None], limit_s: float = RETURN_LIMIT_S, slack_bytes: int | None = None
) -> Back:
    """Waits until as much is free as before the start, but for a slack: other programs live on meanwhile, and page cache that is in use
    is not free. On GB10 this takes 60 s and more at times, and what a failed CUDA process held can stay away until a reboot.
    """
    if slack_bytes is None:
        slack_bytes = max(SLACK_BYTES, round(SLACK_SHARE * before_bytes))
    start = clock.now()
    while True:
        free = available()
        missing = None if free is None else max(0, before_bytes - free)
        waited_s = clock.since(start)
        if missing is not None and missing <= slack_bytes:
            return Back(took_s=waited_s, missing_bytes=missing)
        if waited_s >= limit_s:
            return Back(took_s=None, missing_bytes=missing)
        clock.sleep(min(POLL_S, limit_s - waited_s))


def drop_caches(host: Host) -> None:
    """Makes the kernel forget cached files, which on a GB10 take from what the GPU can have. Only for somebody who asked for it: it
    slows every program down that reads files.

    Raises `MachineError` where this user may not.
    """
    flushed = host.run(["sync"], timeout_s=SYNC_LIMIT_S)  # what is not written yet cannot be dropped
    if flushed.code != 0:
        raise _not_dropped(flushed.err, "wait until the disk is idle, or leave the cache as it is")
    user = host.run(["id", "-un"], timeout_s=10.0).out.strip()
    done = host.run([*(() if user == "root" else ("sudo", "-n")), *DROP], timeout_s=DROP_LIMIT_S)
    if done.code == 0:
        return
    if user == "root" or done.err.startswith("sysctl:"):
        raise _not_dropped(done.err, "the kernel refuses it, as in a container: run this on the machine itself")
    line = SUDOERS.format(user=user)
    raise _not_dropped(done.err, f"allow just this: `sudo visudo -f /etc/sudoers.d/harness-drop-caches`, with the line: {line}")


def _not_dropped(said: str, hint: str) -> MachineError:
    return MachineError(f"the page cache was not dropped: {' '.join(said.split()) or 'no reason was given'}", hint)
