"""How the paced server's events are joined and cut into segments, above HTTP's framing and below it. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

import msgspec

from harness.engines.paced.behaviours import MS, Pace, Send

ON_WIRE = frozenset(("torn", "drip", "late_head"))
"""Behaviours that need the bytes as they go over the wire."""
APART_NS = MS // 10
"""Between segments that would otherwise leave together."""


def chunk(data: bytes, end: bool) -> bytes:
    """As HTTP/1.1 frames it."""
    framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return framed + b"0\r\n\r\n" if end else framed


def merged(sends: Iterable[Send], number: int) -> Iterator[Send]:
    """Groups of them in one segment, at the last one's time."""
    sends = iter(sends)
    while group := list(islice(sends, number)):
        bearing = [send for send in group if send.tokens]
        yield msgspec.structs.replace(
            group[-1],
            data=b"".join(send.data for send in group),
            tokens=sum(send.tokens for send in bearing),
            bearing=len(bearing),
            content=any(send.content for send in group),
            hidden=all(send.hidden for send in bearing),
            event=any(send.event for send in group),
        )


def split(sends: Iterable[Send]) -> Iterator[Send]:
    """Each in two segments, the second one at its time."""
    for send in sends:
        at = send.data.find("ö".encode()) + 1 or len(send.data) // 2
        if at:
            yield Send(send.due_ns - MS // 2, send.data[:at], event=False)
        yield msgspec.structs.replace(send, data=send.data[at:])


def on_wire(sends: Iterable[Send], pace: Pace, head: bytes, received_ns: int, *, chunked: bool) -> Iterator[Send]:
    """Head and body as they go over the wire, cut there."""
    if "late_head" not in pace.behave:
        yield Send(received_ns, head, event=False)
        head = b""
    if "drip" in pace.behave:
        span_ns = min(pace.ttft_ns, pace.tpot_ns * pace.tokens_per_event) // 2
        size = pace.behave["drip"]
    draw = random.Random(pace.behave.get("torn"))
    for send in sends:
        data = head + (chunk(send.data, send.end) if chunked else send.data)
        head = b""
        if "drip" in pace.behave:
            yield from _pieces(send, data, list(range(size, len(data), size)), span_ns)
        elif "torn" in pace.behave:
            places = draw.sample(range(1, len(data)), draw.randint(1, 4)) if len(data) > 5 else []
            yield from _pieces(send, data, sorted(places), APART_NS * len(places))
        else:
            yield msgspec.structs.replace(send, data=data)


def _pieces(send: Send, data: bytes, places: list[int], span_ns: int) -> Iterator[Send]:
    """Evenly over the time before it is due; the last one then."""
    edges = [0, *places, len(data)]
    early_ns = span_ns // max(1, len(places))
    for left, (start, end) in zip(range(len(places), 0, -1), pairwise(edges), strict=False):
        yield Send(send.due_ns - left * early_ns, data[start:end], event=False)
    yield msgspec.structs.replace(send, data=data[edges[-2] :])
