"""Reading a server's log while it is being written: any bytes, any length, progress bars and colours."""

from __future__ import annotations

import re
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[@-Z\\-_]")
LONGEST = 4000
HEAD_BYTES = 4 << 20
TAIL_BYTES = 256 << 10


def clean(raw: bytes) -> str:
    """One line as a terminal would show it in the end: what a carriage return overwrote is gone, and so are colours."""
    text = ANSI.sub("", raw.decode("utf-8", "replace"))
    shown = [part for part in text.split("\r") if part.strip()]
    line = "".join(c for c in (shown[-1] if shown else "") if c.isprintable() or c == "\t").rstrip()
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def head(path: Path, limit: int = HEAD_BYTES) -> tuple[str, ...]:
    """The log's first lines: where a failed start gives its reason. A log that is not there has none."""
    return tuple(clean(line) for line in _read(path, 0, limit).split(b"\n"))


def tail(path: Path, count: int = 20) -> tuple[str, ...]:
    """The last `count` lines that are not blank, the one still being written included."""
    size = path.stat().st_size if path.exists() else 0
    data = _read(path, max(0, size - TAIL_BYTES), TAIL_BYTES)
    lines = [line for raw in data.split(b"\n") if (line := clean(raw))]
    return tuple(lines[-count:])


def last(path: Path) -> str:
    """The last line that is not blank, for an error message."""
    lines = tail(path, 1)
    return lines[0] if lines else "(none)"


def _read(path: Path, start: int, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(limit)
    except FileNotFoundError:
        return b""
