"""The paced server itself: one epoll loop that reads requests, sends what is due on an absolute schedule, and logs what it did."""

from __future__ import annotations

import heapq
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import msgspec

from harness import clock
from harness.engines.paced import schedule, segments, text
from harness.engines.paced.behaviours import CONTEXT_TOKENS, Asked, Pace, Send, asked

SPIN_NS = 60_000  # a sleep ends up to this much late: the last bit of waiting is spent looking
GOLDEN = 0.6180339887498949
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")


class Truth(msgspec.Struct, kw_only=True):
    """What really happened to one request: the log's line."""

    t_received_ns: int
    """When the kernel had the last of it."""
    t_event_ns: int | None = None
    """Just before the first event was handed to the kernel, whatever it said."""
    t_first_ns: int | None = None
    """The same of the first token that the client can see: its text, or its id."""
    t_content_ns: int | None = None
    """The same of the first token that is text of the answer."""
    t_last_ns: int | None = None
    t_end_ns: int | None = None
    """The same of the answer's last byte. None: it was not answered whole."""
    tokens: int = 0
    first_tokens: int = 0
    """Tokens that had left with `t_first_ns`."""
    token_events: int = 0
    """Events that bore tokens, from `t_first_ns` on."""
    prompt_tokens: int = 0
    status: int = 200


class Connection:
    """`sends` are what is left of the answer on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = b""
        self.outbox = b""
        self.authorization: str | None = None
        self.chunked = True
        self.close_after = False
        self.truth: Truth | None = None
        self.sends: Iterator[Send] = iter(())


class Server:
    """One epoll loop: reads requests, and sends what is due."""

    def __init__(self, host: str, port: int, pace: Pace, log: TextIO | None, api_key: str | None = None) -> None:
        self.listener = socket.create_server((host, port), backlog=4096)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # its connections inherit it
        self.port: int = self.listener.getsockname()[1]
        self._pace, self._log, self._api_key = pace, log, api_key
        self._epoll = select.epoll()
        self._epoll.register(self.listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection, Send]] = []
        self._count = self._streams = 0
        self._totals = dict.fromkeys(("prompt", "generation", "finished", "cached", "drafts", "accepted", "ttft_count"), 0)
        self._ttft_sum_s = 0.0

    def run(self) -> None:
        while True:
            self._send_due()
            wait = (self._due[0][0] - clock.now() - SPIN_NS) / 1e9 if self._due else 1.0
            if wait > 0:
                select.select([self._epoll], [], [], wait)  # in microseconds, where epoll's own timeout counts milliseconds
            for fd, mask in self._epoll.poll(0):
                if fd == self.listener.fileno():
                    self._accept()
                elif fd in self._connections:
                    self._ready(self._connections[fd], mask)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _ready(self, connection: Connection, mask: int) -> None:
        try:
            if mask & select.EPOLLOUT:
                self._write(connection, b"")
            if mask & ~select.EPOLLOUT:
                data, ancillary, _, _ = connection.sock.recvmsg(1 << 18, socket.CMSG_SPACE(_STAMP.size))
                if not data:
                    self._drop(connection)
                    return
                connection.inbox += data
                self._request(connection, _received(ancillary))
        except OSError:
            self._drop(connection)

    def _request(self, connection: Connection, received_ns: int) -> None:
        """Answers a request that has come whole by now."""
        head, found, rest = connection.inbox.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        connection.inbox = rest[length:]
        connection.authorization = headers.get("authorization")
        method, path, _ = first.split(" ", 2)
        self._answer(connection, method, path.partition("?")[0], rest[:length], received_ns)

    def _answer(self, connection: Connection, method: str, path: str, data: bytes, received_ns: int) -> None:
        try:
            body = msgspec.json.decode(data) if data else {}
        except msgspec.DecodeError as error:
            self._refuse(connection, 400, str(error))
            return
        stranger = self._pace.stranger
        if stranger and not path.startswith("/v1/"):
            self._refuse(connection, 404, f"there is no {path}")
        elif path == "/health":
            self._reply(connection, 200, b"")
        elif path == "/v1/models":
            models = [
                {
                    "id": "paced",
                    "object": "model",
                    "owned_by": "somebody" if stranger else "paced",
                    "max_model_len": CONTEXT_TOKENS,
                }
            ]
            self._reply(connection, 200, msgspec.json.encode({"object": "list", "data": models}))
        elif path == "/metrics":
            page = text.metrics(self._totals, self._ttft_sum_s, self._pace.tokens_per_event)
            self._reply(connection, 200, page.encode(), "text/plain")
        elif path == "/tokenize":
            words = str(body.get("prompt", body.get("content", ""))).split()
            self._reply(connection, 200, msgspec.json.encode({"count": len(words), "tokens": list(range(len(words)))}))
        elif path in ("/v1/chat/completions", "/v1/completions") and method == "POST":
            self._complete(connection, path, body, received_ns)
        else:
            self._refuse(connection, 404, f"there is no {path}")

    def _complete(self, connection: Connection, path: str, body: Mapping[str, Any], received_ns: int) -> None:
        ask, behave = asked(path, body), self._pace.behave
        truth = Truth(t_received_ns=received_ns, prompt_tokens=ask.prompt_tokens)
        unknown = self._api_key is not None and connection.authorization != f"Bearer {self._api_key}"
        if unknown or "http" in behave:
            truth.status = 401 if unknown else behave["http"]
            self._write_log(truth)
            self._refuse(connection, truth.status, "the key is wrong" if unknown else "the paced server was told to fail")
            return
        if refused := [name for name in self._pace.refuses if name in body]:
            truth.status = 400
            self._write_log(truth)
            self._refuse(connection, 400, f"Unsupported parameter: '{refused[0]}' is not supported with this model.")
            return
        self._totals["prompt"] += ask.prompt_tokens
        self._totals["cached"] += behave.get("cached", 0)
        connection.truth = truth
        connection.chunked = False
        if not ask.stream:
            send = schedule.whole(ask, self._pace, received_ns)
            send.data = _head(200, "application/json", len(send.data)) + send.data
            connection.sends = iter((send,))
        else:
            self._stream(connection, ask, received_ns)
        self._schedule(connection)

    def _stream(self, connection: Connection, ask: Asked, received_ns: int) -> None:
        pace = self._next_pace()
        behave = pace.behave
        sends = schedule.answer(ask, pace, received_ns)
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        connection.chunked = behave.keys().isdisjoint(("unchunked", "content_length"))
        connection.close_after = "close" in behave or "unchunked" in behave
        if connection.chunked:
            head += "transfer-encoding: chunked\r\n"
        elif "content_length" in behave:
            head += f"content-length: {sum(len(send.data) for send in schedule.answer(ask, pace, received_ns))}\r\n"
        whole = f"{head}connection: close\r\n\r\n" if connection.close_after else f"{head}\r\n"
        if segments.ON_WIRE.isdisjoint(behave):
            self._write(connection, whole.encode())
        else:
            sends = segments.on_wire(sends, pace, whole.encode(), received_ns, chunked=connection.chunked)
            connection.chunked = False
        connection.sends = sends

    def _next_pace(self) -> Pace:
        """With jitter, of the streams so far each has another, and any few in a row are spread over its whole range."""
        self._streams += 1
        off = self._pace.jitter * (2 * (self._streams * GOLDEN % 1) - 1)
        return msgspec.structs.replace(self._pace, tpot_ns=round(self._pace.tpot_ns * (1 + off))) if off else self._pace

    def _schedule(self, connection: Connection) -> None:
        send = next(connection.sends, None)
        if send is not None:
            self._count += 1
            heapq.heappush(self._due, (send.due_ns, self._count, connection, send))

    def _send_due(self) -> None:
        now = clock.now()
        while self._due and self._due[0][0] <= now:
            _, _, connection, send = heapq.heappop(self._due)
            if connection.sock.fileno() < 0:  # it hung up
                continue
            try:
                self._send(connection, send)
            except OSError:
                self._drop(connection)
            else:
                self._schedule(connection)

    def _send(self, connection: Connection, send: Send) -> None:
        if send.broken:
            if send.broken == "reset":
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._drop(connection)
            return
        data = send.data
        if connection.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data and not send.end else segments.chunk(data, send.end)
        if send.event and connection.truth is not None:
            self._tell(connection.truth, send)
        if send.end:  # before the client can know it
            self._finish(connection)
        self._write(connection, data)
        if send.end and connection.close_after:
            self._drop(connection)

    def _tell(self, truth: Truth, send: Send) -> None:
        now = clock.now()
        if truth.t_event_ns is None:
            truth.t_event_ns = now
        if not send.tokens:
            return
        truth.t_last_ns = now
        truth.tokens += send.tokens
        if truth.t_first_ns is None and not send.hidden:
            truth.t_first_ns, truth.first_tokens = now, truth.tokens
        if truth.t_first_ns is not None:
            truth.token_events += send.bearing
        if send.content and truth.t_content_ns is None:
            truth.t_content_ns = now
        self._totals["generation"] += send.tokens
        steps = -(-send.tokens // self._pace.tokens_per_event)
        self._totals["drafts"] += steps
        self._totals["accepted"] += send.tokens - steps

    def _finish(self, connection: Connection) -> None:
        truth, connection.truth = connection.truth, None
        if truth is None:
            return
        truth.t_end_ns = clock.now()
        self._totals["finished"] += 1
        if truth.t_first_ns is not None:
            self._totals["ttft_count"] += 1
            self._ttft_sum_s += (truth.t_first_ns - truth.t_received_ns) / 1e9
        self._write_log(truth)

    def _write_log(self, truth: Truth) -> None:
        if self._log is not None:
            self._log.write(msgspec.json.encode(truth).decode() + "\n")
            self._log.flush()

    def _refuse(self, connection: Connection, status: int, why: str) -> None:
        self._reply(connection, status, msgspec.json.encode({"error": {"message": why, "code": status}}))

    def _reply(self, connection: Connection, status: int, body: bytes, kind: str = "application/json") -> None:
        self._write(connection, _head(status, kind, len(body)) + body)

    def _write(self, connection: Connection, data: bytes) -> None:
        """Sends now what the socket takes, the rest when it takes more."""
        waiting = bool(connection.outbox)
        connection.outbox += data
        if connection.outbox and not (waiting and data):
            try:
                connection.outbox = connection.outbox[connection.sock.send(connection.outbox) :]
            except BlockingIOError:
                pass
        if bool(connection.outbox) != waiting:
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if connection.outbox else 0))

    def _drop(self, connection: Connection) -> None:
        """The connection is over; an answer that was on it is logged as far as it came, and counts as finished nowhere."""
        if connection.truth is not None:
            self._write_log(connection.truth)
            connection.truth = None
        if connection.sock.fileno() >= 0:
            del self._connections[connection.sock.fileno()]
            connection.sock.close()


def _received(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The kernel's stamp on our clock; this instant where it gave none (the very first packets after it was asked to)."""
    if not ancillary:
        return clock.now()
    seconds, rest = _STAMP.unpack(ancillary[0][2])
    return int(seconds * 1_000_000_000 + rest - clock.realtime_offset())


def _head(status: int, kind: str, length: int) -> bytes:
    reason = "OK" if status == 200 else "Error"
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n".encode()
