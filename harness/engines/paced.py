"""Our own server of exactly known speed: the truth that the harness is tested and calibrated against.

`python -m harness.engines.paced --ttft-ms 50 --tpot-ms 10` speaks the OpenAI streaming API as vLLM does. Token event j of a request goes
out at received + ttft + j·k·tpot, on an absolute schedule, and `--log` gets one line per request with what really happened, on
CLOCK_MONOTONIC. A token is a word; the chat template adds `TEMPLATE_TOKENS`. `--behave` makes it misbehave, see `BEHAVIOURS`.
"""

from __future__ import annotations

import argparse
import heapq
import select
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from harness import clock
from harness.engines import vllm
from harness.engines.base import Diagnosis, ServerFacts

NAME = "paced"
HEALTH = "/health"
METRICS: str | None = "/metrics"
request_fields = vllm.request_fields
tokenize_request = vllm.tokenize_request
tokenize_count = vllm.tokenize_count
counters = vllm.counters

TEMPLATE_TOKENS = 4
CONTEXT_TOKENS = 131_072
SPIN_NS = 1_500_000  # epoll's timeout counts milliseconds: nearer than this we look again and again instead

BEHAVIOURS = {
    "early_role": "a role event MS after the request, before any token (early_role:20)",
    "reasoning": "the first N tokens are reasoning (reasoning:30)",
    "merge": "N events leave in one segment (merge:3)",
    "split": "each event leaves in two segments, cut inside a character",
    "crlf": "lines end in CRLF",
    "comments": "a comment stands before each event",
    "close": "the connection is closed after each answer",
    "unchunked": "no chunks: the body ends with the connection",
    "no_usage": "usage is never sent",
    "no_ids": "token_ids are never sent",
    "no_done": "[DONE] is never sent",
    "stop_early": "the model stops after N tokens (stop_early:4)",
    "stall": "nothing for MS after the fourth token event (stall:2000)",
    "error": "an error event after N tokens (error:8)",
    "reset": "the connection is reset after N tokens (reset:8)",
    "cached": "N prompt tokens are said to come from the cache (cached:64)",
    "http": "every completion answers this status (http:500)",
}


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    return ServerFacts(version="1", context_limit=CONTEXT_TOKENS)


def context_limit(argv: Sequence[str]) -> int | None:
    return CONTEXT_TOKENS


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return False


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return vllm.diagnose(log)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast, and how badly."""

    ttft_ns: int
    tpot_ns: int
    tokens_per_event: int
    behave: dict[str, int]


class Send(msgspec.Struct, kw_only=True):
    """Something that leaves at `due_ns`; `tokens` are known to the client with it. `end` closes the answer, `reset` the connection."""

    due_ns: int
    data: bytes
    tokens: int = 0
    end: bool = False
    reset: bool = False


class Asked(msgspec.Struct, kw_only=True):
    """A completion request."""

    chat: bool
    model: str
    stream: bool
    tokens: int
    prompt_tokens: int
    ids: bool
    continuous: bool


def asked(path: str, body: dict[str, Any]) -> Asked:
    chat = path.endswith("/chat/completions")
    said = " ".join(str(m.get("content", "")) for m in body.get("messages", [])) if chat else str(body.get("prompt", ""))
    options = body.get("stream_options") or {}
    return Asked(
        chat=chat,
        model=str(body.get("model", "paced")),
        stream=bool(body.get("stream")),
        tokens=int(body.get("max_completion_tokens") or body.get("max_tokens") or 16),
        prompt_tokens=len(said.split()) + (TEMPLATE_TOKENS if chat else 0),
        ids=bool(body.get("return_token_ids")),
        continuous=bool(options.get("continuous_usage_stats")),
    )


def script(ask: Asked, pace: Pace, received_ns: int) -> list[Send]:
    """The whole answer as (when, what) before HTTP framing: events first, then how they are cut into segments."""
    behave, k = pace.behave, pace.tokens_per_event
    total = min(ask.tokens, behave.get("stop_early", ask.tokens))
    first = received_ns + pace.ttft_ns
    role = Send(due_ns=first, data=_event(ask, pace, {"role": "assistant", "content": ""}, 0, None, 0), tokens=0)
    sends = [role] if ask.chat else []
    if "early_role" in behave:
        role.due_ns = received_ns + behave["early_role"] * 1_000_000
    due, done = first, 0
    while done < total:
        step = min(k, total - done)
        if behave.get("reasoning", 0) > done:
            step = min(step, behave["reasoning"] - done)
        if "stall" in behave and done == 4 * k:
            due += behave["stall"] * 1_000_000
        text = "".join(f" wörd{n}" for n in range(done, done + step))
        kind = "reasoning_content" if done < behave.get("reasoning", 0) else "content"
        done += step
        finish = None if done < total else "length" if total == ask.tokens else "stop"
        sends.append(Send(due_ns=due, data=_event(ask, pace, {kind: text}, step, finish, done), tokens=step))
        due += k * pace.tpot_ns
        for name in ("error", "reset"):
            if name in behave and done >= behave[name]:
                return [*_segments(sends, behave), _broken(name, sends[-1].due_ns)]
    last = sends[-1].due_ns
    if "no_usage" not in behave:
        sends.append(Send(due_ns=last, data=_usage_event(ask, pace, total)))
    if "no_done" not in behave:
        sends.append(Send(due_ns=last, data=_lines("[DONE]", behave)))
    return [*_segments(sends, behave), Send(due_ns=last, data=b"", end=True)]


def _broken(how: str, due_ns: int) -> Send:
    if how == "reset":
        return Send(due_ns=due_ns + 1_000_000, data=b"", reset=True)  # after what was sent has been read
    return Send(
        due_ns=due_ns, data=b'data: {"error": {"message": "the paced server was told to fail", "code": 500}}\n\n', end=True
    )


def _event(ask: Asked, pace: Pace, delta: dict[str, str], step: int, finish: str | None, so_far: int) -> bytes:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if ask.chat:
        choice["delta"] = delta
    else:
        choice["text"] = delta.get("content", "")
    if ask.ids and step and "no_ids" not in pace.behave:
        choice["token_ids"] = list(range(so_far - step, so_far))
    chunk: dict[str, Any] = {"id": "paced", "object": "chat.completion.chunk", "model": ask.model, "choices": [choice]}
    if ask.continuous and "no_usage" not in pace.behave:
        chunk["usage"] = {"prompt_tokens": ask.prompt_tokens, "completion_tokens": so_far}
    return _lines(msgspec.json.encode(chunk).decode(), pace.behave)


def _usage_event(ask: Asked, pace: Pace, total: int) -> bytes:
    return _lines(
        msgspec.json.encode({"choices": [], "model": ask.model, "usage": _usage(ask, pace, total)}).decode(), pace.behave
    )


def _usage(ask: Asked, pace: Pace, total: int) -> dict[str, Any]:
    cached = {"cached_tokens": pace.behave.get("cached", 0)}
    return {"prompt_tokens": ask.prompt_tokens, "completion_tokens": total, "prompt_tokens_details": cached}


def _lines(data: str, behave: Mapping[str, int]) -> bytes:
    text = (": keep-alive\n\n" if "comments" in behave else "") + f"data: {data}\n\n"
    return text.replace("\n", "\r\n").encode() if "crlf" in behave else text.encode()


def _segments(sends: list[Send], behave: Mapping[str, int]) -> list[Send]:
    """The same bytes in other segments: several events in one, or one event over two."""
    if (n := behave.get("merge", 0)) > 1:
        groups = [sends[at : at + n] for at in range(0, len(sends), n)]
        return [Send(due_ns=g[-1].due_ns, data=b"".join(s.data for s in g), tokens=sum(s.tokens for s in g)) for g in groups]
    if "split" in behave:
        cut = []
        for send in sends:
            at = send.data.find("ö".encode()) + 1 or len(send.data) // 2
            cut += [Send(due_ns=send.due_ns - 500_000, data=send.data[:at])]
            cut += [Send(due_ns=send.due_ns, data=send.data[at:], tokens=send.tokens)]
        return cut
    return sends


class Truth(msgspec.Struct, kw_only=True):
    """What really happened to one request: the log's line."""

    t_received_ns: int
    t_first_ns: int | None = None
    t_last_ns: int | None = None
    tokens: int = 0
    first_tokens: int = 0
    prompt_tokens: int = 0
    status: int = 200


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = b""
        self.outbox = b""
        self.chunked = True
        self.close_after = False
        self.truth: Truth | None = None


class Server:
    """One epoll loop: reads requests, and sends what is due."""

    def __init__(self, host: str, port: int, pace: Pace, log: TextIO | None) -> None:
        self.listener = socket.create_server((host, port), backlog=4096)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self._pace, self._log = pace, log
        self._epoll = select.epoll()
        self._epoll.register(self.listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection, list[Send], int]] = []
        self._count = 0
        self._totals = dict.fromkeys(("prompt", "generation", "finished", "cached", "drafts", "accepted", "ttft_count"), 0)
        self._ttft_sum_s = 0.0

    def run(self) -> None:
        while True:
            self._send_due()
            wait = (self._due[0][0] - clock.now() - SPIN_NS) / 1e9 if self._due else 1.0
            for fd, mask in self._epoll.poll(max(wait, 0.0)):
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
                data = connection.sock.recv(1 << 20)
                if not data:
                    self._drop(connection)
                    return
                connection.inbox += data
                self._requests(connection)
        except OSError:
            self._drop(connection)

    def _requests(self, connection: Connection) -> None:
        head, found, rest = connection.inbox.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        received = clock.now()
        connection.inbox = rest[length:]
        method, path, _ = first.split(" ", 2)
        body = msgspec.json.decode(rest[:length]) if length else {}
        self._answer(connection, method, path.partition("?")[0], body, received)

    def _answer(self, connection: Connection, method: str, path: str, body: Any, received: int) -> None:
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
            self._complete(connection, asked(path, body), received)
        else:
            self._reply(connection, 404, b'{"error": {"message": "no such page"}}')

    def _complete(self, connection: Connection, ask: Asked, received: int) -> None:
        behave = self._pace.behave
        truth = Truth(t_received_ns=received, prompt_tokens=ask.prompt_tokens)
        if "http" in behave:
            truth.status = behave["http"]
            self._write_log(truth)
            self._reply(connection, behave["http"], b'{"error": {"message": "the paced server was told to fail"}}')
            return
        self._totals["prompt"] += ask.prompt_tokens
        self._totals["cached"] += behave.get("cached", 0)
        if not ask.stream:
            text = "".join(f" wörd{n}" for n in range(ask.tokens))
            part = {"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}
            choice = {"index": 0, "finish_reason": "length", **part}
            whole = {"model": ask.model, "choices": [choice], "usage": _usage(ask, self._pace, ask.tokens)}
            self._totals["generation"] += ask.tokens
            self._totals["finished"] += 1
            self._reply(connection, 200, msgspec.json.encode(whole))
            return
        connection.truth = truth
        connection.chunked = "unchunked" not in behave
        connection.close_after = "close" in behave or not connection.chunked
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        head += "transfer-encoding: chunked\r\n" if connection.chunked else ""
        head += "connection: close\r\n" if connection.close_after else ""
        self._write(connection, f"{head}\r\n".encode())
        self._schedule(connection, script(ask, self._pace, received), 0)

    def _schedule(self, connection: Connection, sends: list[Send], at: int) -> None:
        self._count += 1
        heapq.heappush(self._due, (sends[at].due_ns, self._count, connection, sends, at))

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= clock.now():
            _, _, connection, sends, at = heapq.heappop(self._due)
            if connection.sock.fileno() < 0:  # it hung up
                continue
            send = sends[at]
            try:
                self._send(connection, send)
            except OSError:
                self._drop(connection)
                continue
            if at + 1 < len(sends):
                self._schedule(connection, sends, at + 1)

    def _send(self, connection: Connection, send: Send) -> None:
        if send.reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._finish(connection)
            self._drop(connection)
            return
        data = send.data
        if connection.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data += b"0\r\n\r\n" if send.end else b""
        self._write(connection, data)
        truth = connection.truth
        if send.tokens and truth is not None:
            truth.t_last_ns = clock.now()
            if truth.t_first_ns is None:
                truth.t_first_ns, truth.first_tokens = truth.t_last_ns, send.tokens
            truth.tokens += send.tokens
            self._totals["generation"] += send.tokens
            self._totals["drafts"] += 1
            self._totals["accepted"] += send.tokens - 1
        if send.end:
            self._finish(connection)
            if connection.close_after:
                self._drop(connection)

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

    def _reply(self, connection: Connection, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._write(connection, head.encode() + body)

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
            "vllm:prompt_tokens_cached_total": total["cached"],
            "vllm:time_to_first_token_seconds_sum": self._ttft_sum_s,
            "vllm:time_to_first_token_seconds_count": total["ttft_count"],
        }
        if self._pace.tokens_per_event > 1:
            rows["vllm:spec_decode_num_drafts_total"] = total["drafts"]
            rows["vllm:spec_decode_num_draft_tokens_total"] = total["drafts"] * (self._pace.tokens_per_event - 1)
            rows["vllm:spec_decode_num_accepted_tokens_total"] = total["accepted"]
        return "".join(f"# TYPE {name} counter\n{name} {value}\n" for name, value in rows.items())


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("paced", description="A server of exactly known speed.", allow_abbrev=False)
    add = made.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0)
    add("--ttft-ms", type=float, default=50.0)
    add("--tpot-ms", type=float, default=10.0, help="between tokens")
    add("--tokens-per-event", type=int, default=1, metavar="K")
    add("--log", metavar="FILE", help="one JSON line per request: the truth")
    add(
        "--behave", default="", metavar="LIST", help=f"comma-separated: {'; '.join(f'{k}: {v}' for k, v in BEHAVIOURS.items())}"
    )
    return made


def main(argv: Sequence[str]) -> None:
    options = parser().parse_args(argv)
    behave = {name: int(value or 1) for name, _, value in (word.partition(":") for word in options.behave.split(",") if word)}
    unknown = set(behave) - set(BEHAVIOURS)
    if unknown:
        sys.exit(f"paced: error: unknown behaviour {', '.join(sorted(unknown))}")
    pace = Pace(
        ttft_ns=round(options.ttft_ms * 1e6),
        tpot_ns=round(options.tpot_ms * 1e6),
        tokens_per_event=options.tokens_per_event,
        behave=behave,
    )
    log = open(options.log, "a", encoding="utf-8") if options.log else None  # noqa: SIM115  for as long as the program runs
    server = Server(options.host, options.port, pace, log)
    print(msgspec.json.encode({"url": f"http://{options.host}:{server.port}"}).decode(), flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
