"""Server-sent events out of a body that came in segments: each event with the stamp of the segment that completed it.

WHATWG HTML 9.2: lines end in LF, CRLF or CR; an empty line ends an event; lines beginning with a colon are comments.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE = re.compile(rb"\r\n|\n|\r")


def events(body: bytes, ends: Sequence[int], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(stamp, data) of each event that has data.

    `ends[i]` is how much of `body` had come with segment i, received at `stamps[i]`. What follows the last empty line counts as an
    event too: some servers close without one.
    """
    start = 0
    while start < len(body):
        found = _END.search(body, start)
        end = found.end() if found else len(body)
        data = _data(body[start : found.start() if found else end])
        if data is not None:
            yield stamps[bisect_left(ends, end)], data
        start = end


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:  # nearly all of them
        return block[6:]
    values = []
    for line in _LINE.split(block):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None
