"""Whom the kernel and its deputies end when memory runs out: rather the engine, which took it, than the harness, which can tell of it.

The kernel needs to be told. It counts what a process holds by itself, and what CUDA allocates in a GB10's shared memory is not in that
count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from harness.comm import DRIVER, HARNESS
from harness.hosts.base import Host, Process

PYTHON = ("python3", "python")
OURS_ADJ, ENGINE_ADJ = -500, 500
"""In thousandths of the machine's memory, added to what a process holds (proc(5), oom_score_adj). Children inherit it."""
RUN_LIMIT_S = 10.0

_RAISE = f'for pid; do {{ echo {ENGINE_ADJ} > "/proc/$pid/oom_score_adj"; }} 2> /dev/null || echo "$pid"; done'


def make_poor_victim() -> bool:
    """Makes the kernel spare this process and its children from now on. False where that is not allowed: it takes a privilege."""
    file = Path("/proc/self/oom_score_adj")
    try:
        if int(file.read_text()) > OURS_ADJ:
            file.write_text(str(OURS_ADJ))
    except OSError:
        return False
    return True


def make_likely_victim(host: Host, processes: Sequence[Process]) -> list[Process]:
    """Makes the kernel choose these first; no privilege is needed for one's own. Gives those of others, which stayed as they were."""
    scores = {process.pid: host.read(f"/proc/{process.pid}/oom_score_adj") for process in processes}
    low = [pid for pid, score in scores.items() if score is not None and int(score) < ENGINE_ADJ]
    if not low:
        return []
    done = host.run(["sh", "-c", _RAISE, "sh", *map(str, low)], timeout_s=RUN_LIMIT_S)
    refused = set(done.out.split())
    return [process for process in processes if str(process.pid) in refused and host.alive(process)]


def earlyoom_warning(host: Host) -> tuple[str, str] | None:
    """What to say of an earlyoom on this machine that would rather end the harness, or any Python program, than others; and what to do."""
    for path in host.glob("/proc/[0-9]*/cmdline"):
        command = (host.read(path) or b"").decode("utf-8", "replace").removesuffix("\0").split("\0")
        if names := preferred(command):
            return (
                f"earlyoom (pid {PurePosixPath(path).parent.name}) rather kills {', '.join(names)} than other programs when memory is "
                f"short (--prefer {_option(command, '--prefer')})",
                "take these names out of EARLYOOM_ARGS in /etc/default/earlyoom",
            )
    return None


def preferred(command: Sequence[str], names: Sequence[str] = (HARNESS, DRIVER, *PYTHON)) -> tuple[str, ...]:
    """Which of these process names an earlyoom that was started so prefers to kill; none if it is another program.

    As in earlyoom(1): extended regular expressions, searched for in the name; `--avoid` takes back what `--prefer` gave, and
    `--ignore` rules a process out. A low oom_score_adj does not help those that it prefers.
    """
    if PurePosixPath(command[0]).name != "earlyoom":
        return ()
    prefer, avoid, ignore = (_option(command, option) for option in ("--prefer", "--avoid", "--ignore"))
    return tuple(
        name
        for name in names
        if _matches(prefer, name, unreadable=True)
        and not _matches(avoid, name, unreadable=False)
        and not _matches(ignore, name, unreadable=False)
    )


def _option(command: Sequence[str], name: str) -> str | None:
    """The value that counts, which is the last one's."""
    value = None
    for word, following in zip(command, (*command[1:], None), strict=True):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    return value


def _matches(expression: str | None, name: str, *, unreadable: bool) -> bool:
    """`unreadable`: what is assumed where Python does not read an expression that earlyoom does."""
    if expression is None:
        return False
    try:
        return re.search(expression, name) is not None
    except re.error:
        return unreadable
