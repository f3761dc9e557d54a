"""One HTTP/1.1 answer out of a byte stream (RFC 9112): head, then a body that is chunked, of known length, or ends with the connection."""

from __future__ import annotations

from array import array

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 4096

_HEAD, _CHUNK_SIZE, _CHUNK, _CHUNK_END, _TRAILER, _LENGTH, _TO_THE_END = range(7)


class BadHttp(Exception):
    """What came is not an HTTP answer, or is larger than we take."""


class Answer:
    """Fed with what arrives; keeps the body without its framing, in the pieces that each read brought, and when.

    `feed` is in the hot path: mostly one read is one whole chunk.
    """

    __slots__ = (
        "_buffer",
        "_left",
        "_mode",
        "done",
        "headers",
        "keep_alive",
        "pieces",
        "size",
        "stamps",
        "status",
        "t_head",
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.t_head: int | None = None
        self.keep_alive = True
        self.done = False
        self.pieces: list[bytes] = []
        self.size = 0
        self.stamps = array("q")
        self._mode = _HEAD
        self._left = 0  # bytes to come of the body, or of the current chunk
        self._buffer = b""  # a line that has not come whole

    def feed(self, data: bytes, stamp: int) -> bool:
        """Takes one read; True when the answer is complete. Raises `BadHttp`."""
        if self._mode == _CHUNK_SIZE and not self._buffer:
            at = data.find(b"\r\n", 1, 10)
            if at > 0 and data[0] != 48:  # a size that begins with 0 may be the last
                try:
                    size = int(data[:at], 16)
                except ValueError:
                    size = -1
                if size == len(data) - at - 4 and data[-2:] == b"\r\n" and self.size < MAX_BODY_BYTES:
                    self.pieces.append(data[at + 2 : -2])  # as `add` does, which costs a call
                    self.size += size
                    self.stamps.append(stamp)
                    return False
        return self._feed(data, stamp)

    def add(self, body: bytes, stamp: int) -> None:
        """Body bytes that came in one read. Raises `BadHttp`."""
        self.pieces.append(body)
        self.size += len(body)
        self.stamps.append(stamp)
        if self.size > MAX_BODY_BYTES:
            raise BadHttp(f"the answer is longer than {MAX_BODY_BYTES} bytes")

    def close(self) -> bool:
        """The connection has ended; True when that is how this answer ends."""
        self.done = self.done or self._mode == _TO_THE_END
        self.keep_alive = False
        return self.done

    def body(self) -> bytes:
        return b"".join(self.pieces)

    def _feed(self, data: bytes, stamp: int) -> bool:
        rest = self._head(data, stamp) if self._mode == _HEAD else data
        if self._mode >= _LENGTH:
            body, rest = (rest, b"") if self._mode == _TO_THE_END else (rest[: self._left], rest[self._left :])
            self._left -= len(body)
            self.done = self._mode == _LENGTH and self._left <= 0
        elif self._mode != _HEAD:
            body, rest = self._chunks(rest)
        else:
            return False
        if body:
            self.add(body, stamp)
        if self.done and rest:  # nobody asked for what follows
            self.keep_alive = False
        return self.done

    def _head(self, data: bytes, stamp: int) -> bytes:
        """Reads the head when it is whole; gives what follows it."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            self._buffer = self._buffer[end + 4 :]
            words = first.split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not (words[1].isdecimal() and len(words[1]) == 3):
                raise BadHttp(f"not an HTTP/1.1 answer: {first[:100]}")
            if words[1][0] == "1":  # 100 Continue: the real head follows
                continue
            self.status, self.t_head = int(words[1]), stamp
            self.headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.keep_alive = words[0] != "HTTP/1.0" and "close" not in self.headers.get("connection", "").lower()
            self._begin_body()
            rest, self._buffer = self._buffer, b""
            return rest
        if len(self._buffer) > MAX_HEAD_BYTES:
            raise BadHttp(f"headers of more than {MAX_HEAD_BYTES} bytes")
        return b""

    def _begin_body(self) -> None:
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._mode, self._left = _LENGTH, 0
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._mode = _CHUNK_SIZE
        elif length is None:
            self._mode, self.keep_alive = _TO_THE_END, False
        elif length.isascii() and length.isdecimal():
            self._mode, self._left = _LENGTH, int(length)
        else:
            raise BadHttp(f"content-length: {length[:50]}")

    def _chunks(self, data: bytes) -> tuple[bytes, bytes]:
        """(body bytes in `data`, what follows the answer's end)."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        found = []
        at, total = 0, len(data)
        while at < total and not self.done:
            if self._mode == _CHUNK:
                found.append(data[at : at + self._left])
                at += len(found[-1])
                self._left -= len(found[-1])
                self._mode = _CHUNK if self._left else _CHUNK_END
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._buffer, at = data[at:], total
                if len(self._buffer) > MAX_LINE_BYTES:
                    raise BadHttp(f"a line without end between chunks: {self._buffer[:50]!r}")
            else:
                self._line(data[at:end])
                at = end + 2
        return b"".join(found), data[at:]

    def _line(self, line: bytes) -> None:
        """A line between chunks or after the last."""
        if self._mode == _TRAILER:
            self.done = not line
        elif self._mode == _CHUNK_END:
            if line:
                raise BadHttp(f"a chunk is longer than it says, by {line[:50]!r}")
            self._mode = _CHUNK_SIZE
        else:
            digits = line.split(b";", 1)[0].strip()
            if not digits.isalnum() or len(digits) > 15:
                raise BadHttp(f"not a chunk size: {line[:50]!r}")
            try:
                self._left = int(digits, 16)
            except ValueError:
                raise BadHttp(f"not a chunk size: {line[:50]!r}") from None
            self._mode = _CHUNK if self._left else _TRAILER
