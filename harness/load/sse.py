"""Server-sent events out of a body that came in segments: each event with the stamp of the segment that completed it.

WHATWG HTML 9.2: lines end in LF, CRLF or CR; an empty line ends an event; lines beginning with a colon are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

_END = re.compile(rb"\n\n|\r\n\r\n|\n\r\n|\r\n\n|\r\r(?!\n)|\n\r(?!\n)|\r\n\r(?!\n)|\r\r\n")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


def events(pieces: Sequence[bytes], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(stamp, data) of each event that has data.

    `pieces[i]` is what came of the body at `stamps[i]`. What follows the last empty line counts as an event too, since some servers
    close without one; `ends_whole` tells.
    """
    for number, piece in enumerate(pieces):
        if piece[:6] == b"data: " and piece.find(b"\n") == len(piece) - 2 and piece.find(b"\r") < 0 and piece[-1:] == b"\n":
            yield stamps[number], piece[6:-2]  # one event, as nearly everywhere
        elif piece[-2:] == b"\n\n" and b"\r" not in piece and not piece.startswith(_BOM):
            for block in piece.split(b"\n\n"):
                if (data := _data(block)) is not None:
                    yield stamps[number], data
        else:
            yield from _cut(pieces[number:], stamps[number:])
            return


def ends_whole(body: bytes) -> bool:
    """Whether the last event is ended by an empty line."""
    return body.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


def _cut(pieces: Sequence[bytes], stamps: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The general case: an event may end anywhere."""
    body, ends = b"".join(pieces), list(accumulate(map(len, pieces)))
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
