"""One HTTP/1.1 answer out of a byte stream (RFC 9112): head, then a body that is chunked, of known length, or ends with the connection."""

from __future__ import annotations

from array import array

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024


class BadHttp(Exception):
    """What came is not an HTTP answer, or is larger than we take."""


class Answer:
    """Fed with what arrives; keeps the body without its framing, and for each read how much of it had come, and when.

    `feed` is the hot path: one read is one call, usually one chunk.
    """

    __slots__ = (
        "_buffer",
        "_left",
        "_mode",
        "body",
        "done",
        "ends",
        "headers",
        "keep_alive",
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
        self.body: list[bytes] = []
        self.size = 0
        self.ends = array("Q")
        self.stamps = array("q")
        self._mode = "head"
        self._left = 0
        self._buffer = b""

    def feed(self, data: bytes, stamp: int) -> bool:
        """Takes one read; True when the answer is complete. Raises `BadHttp`."""
        if self._mode == "head":
            data = self._head(data, stamp)
            if not data and not self.done:
                return False
        before = self.size
        if self._mode == "chunked":
            self._chunks(data)
        elif self._mode == "length":
            self._take(data[: self._left])
            self._left -= self.size - before
            self.done = self._left == 0
        elif self._mode == "close":
            self._take(data)
        if self.size != before:
            self.ends.append(self.size)
            self.stamps.append(stamp)
            if self.size > MAX_BODY_BYTES:
                raise BadHttp(f"the answer is longer than {MAX_BODY_BYTES} bytes")
        return self.done

    def close(self) -> bool:
        """The connection has ended; True when that is how this answer ends."""
        self.done = self.done or self._mode == "close"
        self.keep_alive = False
        return self.done

    def joined(self) -> bytes:
        return b"".join(self.body)

    def _take(self, data: bytes) -> None:
        if data:
            self.body.append(data)
            self.size += len(data)

    def _head(self, data: bytes, stamp: int) -> bytes:
        """Reads the head when it is whole; gives what follows it."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadHttp(f"headers of more than {MAX_HEAD_BYTES} bytes")
            return b""
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        rest, self._buffer = self._buffer[end + 4 :], b""
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise BadHttp(f"not an HTTP/1.1 answer: {first[:100]}")
        status = int(words[1])
        if 100 <= status < 200:  # 100 Continue: the real head follows
            return self._head(rest, stamp)
        self.status, self.t_head = status, stamp
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.keep_alive = words[0] != "HTTP/1.0" and "close" not in self.headers.get("connection", "").lower()
        self._begin_body()
        return rest

    def _begin_body(self) -> None:
        length = self.headers.get("content-length")
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._mode = "chunked"
        elif length is not None:
            if not length.isdigit():
                raise BadHttp(f"content-length {length[:50]}")
            self._mode, self._left = "length", int(length)
            self.done = self._left == 0
        else:
            self._mode, self.keep_alive = "close", False

    def _chunks(self, data: bytes) -> None:
        """`_left` bytes of the current chunk and its line end are to come; 0: a size line is next; -1: the trailer."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        at, total = 0, len(data)
        while at < total:
            if self._left > 2:
                body_end = min(at + self._left - 2, total)
                self._take(data[at:body_end])
                self._left -= body_end - at
                at = body_end
            elif self._left > 0:
                skip = min(self._left, total - at)
                self._left -= skip
                at += skip
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._buffer = data[at:]
                    if len(self._buffer) > MAX_HEAD_BYTES:
                        raise BadHttp("a chunk's size line has no end")
                    return
                line, at = data[at:line_end], line_end + 2
                if self._left < 0:
                    if not line:  # the end of the trailer
                        self.done = True
                        return
                    continue
                try:
                    size = int(line.split(b";", 1)[0], 16)
                except ValueError:
                    raise BadHttp(f"not a chunk size: {line[:50]!r}") from None
                self._left = size + 2 if size else -1
