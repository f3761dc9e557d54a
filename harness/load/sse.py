"""Server-sent events out of a body that came in segments: each event with the stamp of the segment that completed it.

WHATWG HTML 9.2: lines end in LF, CRLF or CR; an empty line ends an event; lines beginning with a colon are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_END = re.compile(rb"\n\n|\r\n\r\n|\n\r\n|\r\n\n|\r\r(?!\n)|\n\r(?!\n)|\r\n\r(?!\n)|\r\r\n")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


def events(body: bytes, ends: Sequence[int], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(stamp, data) of each event that has data.

    `ends[i]` is how much of `body` had come with segment i, received at `stamps[i]`. What follows the last empty line counts as an
    event too, since some servers close without one; `ends_whole` tells.
    """
    return _events(body, ends, stamps) if b"\r" in body else _plain_events(body, ends, stamps)


def ends_whole(body: bytes) -> bool:
    """Whether the last event is ended by an empty line."""
    return body.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


def _plain_events(body: bytes, ends: Sequence[int], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Where lines end in LF, as nearly everywhere: several times faster than the general case."""
    segment, size = 0, len(body)
    end = len(_BOM) if body.startswith(_BOM) else 0
    for block in body[end:].split(b"\n\n"):
        end += len(block) + 2
        data = block[6:] if block[:6] == b"data: " and b"\n" not in block else _data(block)
        if data is not None:
            while ends[segment] < end < size:
                segment += 1
            yield stamps[segment if end < size else -1], data


def _events(body: bytes, ends: Sequence[int], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    segment = 0
    start = len(_BOM) if body.startswith(_BOM) else 0
    while start < len(body):
        found = _END.search(body, start)
        end = found.end() if found else len(body)
        data = _data(body[start : found.start() if found else end])
        if data is not None:
            while ends[segment] < end:
                segment += 1
            yield stamps[segment], data
        start = end


def _data(block: bytes) -> bytes | None:
    values = []
    for line in _LINE.split(block):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None
