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
from harness.engines import pacing
from harness.engines.pacing import Pace, Send

CONTEXT_TOKENS = 131_072
SPIN_NS = 60_000  # a sleep ends up to this much late: the last bit of waiting is spent looking
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")


class Truth(msgspec.Struct, kw_only=True):
    """What really happened to one request: the log's line."""

    t_received_ns: int
    """When the kernel had the last of it."""
    t_first_ns: int | None = None
    """Just before the first token was handed to the kernel."""
    t_content_ns: int | None = None
    """The same of the first token that is not reasoning."""
    t_last_ns: int | None = None
    tokens: int = 0
    first_tokens: int = 0
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
        self._count = 0
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
        if path == "/health":
            self._reply(connection, 200, b"")
        elif path == "/v1/models":
            models = [{"id": "paced", "object": "model", "owned_by": "paced", "max_model_len": CONTEXT_TOKENS}]
            self._reply(connection, 200, msgspec.json.encode({"object": "list", "data": models}))
        elif path == "/metrics":
            self._reply(connection, 200, self._metrics().encode(), "text/plain")
        elif path == "/tokenize":
            words = str(body.get("prompt", body.get("content", ""))).split()
            self._reply(connection, 200, msgspec.json.encode({"count": len(words), "tokens": list(range(len(words)))}))
        elif path in ("/v1/chat/completions", "/v1/completions") and method == "POST":
            self._complete(connection, path, body, received_ns)
        else:
            self._refuse(connection, 404, f"there is no {path}")

    def _complete(self, connection: Connection, path: str, body: Mapping[str, Any], received_ns: int) -> None:
        ask, behave = pacing.asked(path, body), self._pace.behave
        truth = Truth(t_received_ns=received_ns, prompt_tokens=ask.prompt_tokens)
        unknown = self._api_key is not None and connection.authorization != f"Bearer {self._api_key}"
        if unknown or "http" in behave:
            truth.status = 401 if unknown else behave["http"]
            self._write_log(truth)
            self._refuse(connection, truth.status, "the key is wrong" if unknown else "the paced server was told to fail")
            return
        self._totals["prompt"] += ask.prompt_tokens
        self._totals["cached"] += behave.get("cached", 0)
        connection.truth = truth
        connection.chunked = False
        if not ask.stream:
            send = pacing.whole(ask, self._pace, received_ns)
            send.data = _head(200, "application/json", len(send.data)) + send.data
            connection.sends = iter((send,))
        else:
            connection.chunked = "unchunked" not in behave
            connection.close_after = "close" in behave or not connection.chunked
            head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            head += "transfer-encoding: chunked\r\n" if connection.chunked else ""
            head += "connection: close\r\n" if connection.close_after else ""
            self._write(connection, f"{head}\r\n".encode())
            connection.sends = pacing.answer(ask, self._pace, received_ns)
        self._schedule(connection)

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
        if send.reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._drop(connection)
            return
        data = send.data
        if connection.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data += b"0\r\n\r\n" if send.end else b""
        if send.tokens and connection.truth is not None:
            self._tell(connection.truth, send)
        if send.end:  # before the client can know it
            self._finish(connection)
        self._write(connection, data)
        if send.end and connection.close_after:
            self._drop(connection)

    def _tell(self, truth: Truth, send: Send) -> None:
        truth.t_last_ns = clock.now()
        if truth.t_first_ns is None:
            truth.t_first_ns, truth.first_tokens = truth.t_last_ns, send.tokens
        if truth.t_content_ns is None and truth.tokens >= self._pace.behave.get("reasoning", 0):
            truth.t_content_ns = truth.t_last_ns
        truth.tokens += send.tokens
        self._totals["generation"] += send.tokens
        steps = -(-send.tokens // self._pace.tokens_per_event)
        self._totals["drafts"] += steps
        self._totals["accepted"] += send.tokens - steps

    def _finish(self, connection: Connection) -> None:
        truth, connection.truth = connection.truth, None
        if truth is None:
            return
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

    def _metrics(self) -> str:
        total = self._totals
        rows = {
            "vllm:prompt_tokens_total": total["prompt"],
            "vllm:generation_tokens_total": total["generation"],
            "vllm:request_success_total": total["finished"],
            "vllm:prefix_cache_queries_total": total["prompt"],
            "vllm:prefix_cache_hits_total": total["cached"],
            "vllm:prompt_tokens_cached_total": total["cached"],
        }
        if self._pace.tokens_per_event > 1:
            rows["vllm:spec_decode_num_drafts_total"] = total["drafts"]
            rows["vllm:spec_decode_num_draft_tokens_total"] = total["drafts"] * (self._pace.tokens_per_event - 1)
            rows["vllm:spec_decode_num_accepted_tokens_total"] = total["accepted"]
        page = "".join(f"# TYPE {name.removesuffix('_total')} counter\n{name} {value}\n" for name, value in rows.items())
        ttft, count = "vllm:time_to_first_token_seconds", total["ttft_count"]
        return page + (
            f'# TYPE {ttft} histogram\n{ttft}_bucket{{le="+Inf"}} {count}\n{ttft}_count {count}\n{ttft}_sum {self._ttft_sum_s}\n'
        )


def _received(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The kernel's stamp on our clock; this instant where it gave none (the very first packets after it was asked to)."""
    if not ancillary:
        return clock.now()
    seconds, rest = _STAMP.unpack(ancillary[0][2])
    return int(seconds * 1_000_000_000 + rest - clock.realtime_offset())


def _head(status: int, kind: str, length: int) -> bytes:
    reason = "OK" if status == 200 else "Error"
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n".encode()
