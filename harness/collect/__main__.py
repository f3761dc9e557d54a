"""The process that opens what others sent: a task on standard input, its answer in `answer.json`. Bounds come first, libraries later."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import msgspec

from harness.collect.child import ANSWER
from harness.schema.collect import Bounds, Examine, Task
from harness.typed import decoded

FILES = 512
"""That may be open at once."""


def main() -> None:
    task = decoded(sys.stdin.buffer.read(), Task).task
    _bind(task.bounds)
    if isinstance(task, Examine):
        from harness.collect.examine import examine

        answer: object = examine(Path(), task.identity)
    else:
        from harness.collect.pages import build

        os.nice(10)
        answer = build(task)
    Path(ANSWER).write_bytes(msgspec.json.encode(answer))


def _bind(bounds: Bounds) -> None:
    for what, most in (
        (resource.RLIMIT_AS, bounds.memory_bytes),
        (resource.RLIMIT_CPU, bounds.cpu_s),
        (resource.RLIMIT_FSIZE, bounds.file_bytes),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
