"""HTTP/1.1 answers: any way of cutting the bytes gives the same body, and what is not HTTP is said to be so."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load import wire
from harness.load.wire import Answer, BadHttp

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
bodies = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6)


def chunked(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + framed + b"0\r\n" + trailer + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def feed(reads: list[bytes]) -> Answer:
    """Read i has stamp i; the end must be seen with the last read, not before."""
    answer = Answer()
    for stamp, data in enumerate(reads):
        assert answer.feed(data, stamp) == (stamp == len(reads) - 1)
    return answer


@given(
    bodies, st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from([b"", b";a=b"]), st.sampled_from([b"", b"x: y\r\n"])
)
def test_chunks_cut_anywhere(pieces: list[bytes], places: list[int], extension: bytes, trailer: bytes) -> None:
    answer = feed(cut(chunked(pieces, extension, trailer), places))
    assert answer.body() == b"".join(pieces)
    assert answer.size == len(answer.body())
    assert answer.keep_alive


@given(bodies, st.lists(st.integers(0, 10_000), max_size=12))
def test_each_read_is_known_by_where_it_ended(pieces: list[bytes], places: list[int]) -> None:
    """Replays the reads: after each, exactly that much of the body was there, at that stamp."""
    reads = cut(chunked(pieces), places)
    whole = feed(reads)
    told = dict(zip(whole.stamps, accumulate(map(len, whole.pieces)), strict=True))
    partial, size = Answer(), 0
    for stamp, data in enumerate(reads):
        partial.feed(data, stamp)
        assert told.get(stamp) == (partial.size if partial.size != size else None)
        size = partial.size


@given(st.binary(max_size=60), st.lists(st.integers(0, 10_000), max_size=6))
def test_a_known_length_ends_the_answer(body: bytes, places: list[int]) -> None:
    answer = feed(cut(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body, places))
    assert answer.body() == body
    assert answer.keep_alive


def test_without_either_the_connection_ends_the_answer() -> None:
    answer = Answer()
    assert not answer.feed(HEAD + b"\r\nabc", 1)
    assert not answer.feed(b"def", 2)
    assert not answer.keep_alive
    assert answer.close()
    assert answer.body() == b"abcdef"


@pytest.mark.parametrize("head", [b"transfer-encoding: chunked\r\n\r\n3\r\nab", b"content-length: 5\r\n\r\nab", b""])
def test_an_end_of_the_connection_elsewhere_is_no_end(head: bytes) -> None:
    answer = Answer()
    answer.feed(HEAD + head, 1)
    assert not answer.close()


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", True),
    ],
)
def test_whether_the_connection_can_be_used_again(head: bytes, kept: bool) -> None:
    answer = Answer()
    assert answer.feed(head, 1)
    assert answer.keep_alive == kept


def test_an_interim_answer_is_passed_over() -> None:
    answer = Answer()
    assert not answer.feed(b"HTTP/1.1 100 Continue\r\n\r\n", 1)
    assert answer.feed(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\nno", 2)
    assert (answer.status, answer.t_head, answer.body()) == (429, 2, b"no")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"content-length: -3\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n-5\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1" * (wire.MAX_LINE_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + b"x" * (wire.MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_not_http_is_said_to_be_so(data: bytes) -> None:
    with pytest.raises(BadHttp):
        Answer().feed(data, 1)


def test_an_answer_without_end_is_given_up() -> None:
    answer = Answer()
    answer.feed(HEAD + b"\r\n", 1)
    piece = bytes(wire.MAX_BODY_BYTES // 4)
    for stamp in range(4):
        answer.feed(piece, stamp)
    with pytest.raises(BadHttp, match="longer"):
        answer.feed(b"x", 4)
