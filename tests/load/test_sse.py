"""Server-sent events: any framing and any cut give the same events, each with the stamp of the segment that completed it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load import sse

texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(str.encode)
event = st.lists(texts, min_size=1, max_size=3)
newlines = st.sampled_from([b"\n", b"\r\n", b"\r"])
noise = st.sampled_from([[], [b": keep-alive"], [b"event: message"], [b"id: 7", b"retry: 10"]])


@given(st.lists(st.tuples(event, noise, st.booleans()), max_size=6), newlines, st.lists(st.integers(0, 10_000), max_size=10))
def test_any_framing_any_cut(written: list[tuple[list[bytes], list[bytes], bool]], newline: bytes, places: list[int]) -> None:
    body, finished = b"", []
    for lines, before, space in written:
        fields = [*before, *(b"data:" + (b" " if space or line.startswith(b" ") else b"") + line for line in lines)]
        body += b"".join(field + newline for field in fields) + newline
        finished.append(len(body))
    edges = sorted({len(body), *(place % max(1, len(body)) for place in places)} - {0})
    stamps = range(100, 100 + len(edges))
    pieces = [body[start:end] for start, end in pairwise([0, *edges])]
    found = list(sse.events(pieces, stamps))
    assert [data for _, data in found] == [b"\n".join(lines) for lines, _, _ in written]
    completing = [next(stamp for stamp, edge in zip(stamps, edges, strict=True) if edge >= end) for end in finished]
    assert [stamp for stamp, _ in found] == completing
    assert not body or sse.ends_whole(body)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"data: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b": hello\n\n: again\n\n", []),
        (b"data\n\n", [b""]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\r\n\r\n", [b"a"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data: last", [b"last"]),
        (b"data: last\n", [b"last"]),
        (b"event: error\ndata: x\n\n", [b"x"]),
        (b"", []),
    ],
)
def test_odd_ones(body: bytes, data: list[bytes]) -> None:
    assert [found for _, found in sse.events([body], [1])] == data


def test_several_events_in_one_segment_and_one_event_over_several() -> None:
    segments = [b"data: 1\n\ndata: 2\n\nda", b"ta: 3\xc3", b"\xb6", b"\n", b"\n", b"data: 4\n\n"]
    assert list(sse.events(segments, [10, 20, 30, 40, 50, 60])) == [
        (10, b"1"),
        (10, b"2"),
        (50, "3ö".encode()),
        (60, b"4"),
    ]
    assert sse.ends_whole(b"".join(segments))
    assert not sse.ends_whole(b"".join(segments[:4]))
