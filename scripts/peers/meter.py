"""What a program costs: CPU time and memory of the whole tree of its processes, from outside.

CPU is what the kernel charged to the children that were waited for. Orphans come to us (PR_SET_CHILD_SUBREAPER), so nothing that the
program starts escapes. Memory is the largest sum of resident sets among samples, which counts pages that processes share several times.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from harness import clock

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SAMPLE_S = 0.25
_ORPHANS_S = 5.0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    t_start_ns: int
    wall_s: float
    cpu_s: float
    """User and system."""
    peak_mb: float
    code: int | None
    """None: it was ended, since it took longer than allowed."""


def measured(argv: Sequence[str], environment: Mapping[str, str], folder: Path, *, timeout_s: float, not_it: int) -> Cost:
    """Runs `argv` in `folder`, its output in `output.txt` there. `not_it` is a child of ours that does not belong to it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peak, over = [0], threading.Event()
    watch = threading.Thread(target=_watch, args=(peak, over, not_it))
    before = _children_cpu_s()
    with (folder / "output.txt").open("wb") as output:
        start = clock.now()
        child = subprocess.Popen(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        watch.start()
        code: int | None = None
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            wall = clock.since(start)
            if code is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            _end_orphans(not_it)
            over.set()
            watch.join()
    return Cost(t_start_ns=start, wall_s=wall, cpu_s=_children_cpu_s() - before, peak_mb=peak[0] / 1e6, code=code)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(peak: list[int], over: threading.Event, not_it: int) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # of this thread: looking must not slow what is looked at
    while not over.wait(_SAMPLE_S):
        peak[0] = max(peak[0], sum(map(_resident, _tree(not_it))))


def _tree(not_it: int) -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process.pid != not_it]


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _end_orphans(not_it: int) -> None:
    """Waits for what the program left behind, and ends what does not end by itself."""
    for process in psutil.wait_procs(_tree(not_it), timeout=_ORPHANS_S)[1]:
        with suppress(psutil.Error):
            process.kill()
            process.wait(_ORPHANS_S)
