"""Sends the requests of a job on time and keeps every byte of the answers with the instant the kernel received it.

One epoll loop over non-blocking sockets, one keep-alive connection per slot. The loop only stamps and stores; a read is de-chunked so
that the end of an answer is seen, and everything else (events, JSON, counts) is read after the stage. Receive stamps are the kernel's
(SO_TIMESTAMPNS: CLOCK_REALTIME, turned into CLOCK_MONOTONIC with an offset sampled before and after); segments that queued up are
merged in one read and carry the last one's stamp, so `reads` is in every record. Linux; without kernel stamps the user's are taken.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
from array import array
from collections.abc import Callable, Iterator

import msgspec

from harness import clock
from harness.load import chunks
from harness.load.wire import Answer, BadHttp
from harness.schema.job import Ask, Job, Progress, Stage
from harness.schema.request import Record
from harness.schema.run import ClientReport

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
READ_BYTES = 64 * 1024  # more would make each recvmsg allocate by mmap
TICK_S = 0.5
CONNECT_LIMIT_NS = 30_000_000_000

_IN = select.EPOLLIN | select.EPOLLRDHUP
_STAMP = struct.Struct("qq")
_ANCILLARY = socket.CMSG_SPACE(_STAMP.size)

_IDLE, _CONNECTING, _SENDING, _RECEIVING = range(4)


class _Request:
    """One request on its way, and afterwards all that is known of it."""

    __slots__ = ("answer", "error", "error_detail", "index", "phase", "reads", "retried", "slot", "t_end", "t_send", "wire")

    def __init__(self, index: int, phase: str, slot: int, wire: bytes) -> None:
        self.index, self.phase, self.slot, self.wire = index, phase, slot, wire
        self.answer = Answer()
        self.t_send = 0
        self.t_end = 0
        self.reads = 0
        self.retried = False
        self.error: str | None = None
        self.error_detail = ""


class _Slot:
    """One place of the closed loop: a connection, and the request that is on it."""

    __slots__ = ("deadline", "number", "request", "sock", "state", "t_free", "unsent", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sock: socket.socket | None = None
        self.state = _IDLE
        self.used = False  # an answer has come on this connection
        self.request: _Request | None = None
        self.unsent = memoryview(b"")
        self.t_free = 0
        self.deadline = 0


class Driver:
    """`run` executes the job; then `records` gives what came back, and `report` the driver about itself."""

    def __init__(self, job: Job, api_key: str | None, on_progress: Callable[[Progress], None]) -> None:
        self.job = job
        self._stopping = False
        self._on_progress = on_progress
        self._head = _request_head(job, api_key)
        self._total = sum(len(stage.asks) for stage in job.stages)
        self._done: list[_Request] = []
        self._free: list[_Slot] = []
        self._asks: Iterator[Ask] = iter(())
        self._sent = self._reads = self._bytes = self._in_flight = self._peak = 0
        self._send_lags = array("q")
        self._loop_lags = array("q")
        self._kernel = True
        self._began = self._ended = 0
        self._offset_before = self._offset_after = 0
        self._cpu_ns = 0
        self._next_tick = 0

    def run(self) -> None:
        """All stages, one after the other."""
        if self.job.cpus is not None:
            os.sched_setaffinity(0, self.job.cpus)
        cpu, self._began, self._offset_before = clock.cpu(), clock.now(), clock.realtime_offset()
        gc.collect()
        gc.disable()  # a collection inside the loop would be a late read
        try:
            for stage in self.job.stages:
                self._stage(stage)
        finally:
            gc.enable()
            self._ended, self._offset_after = clock.now(), clock.realtime_offset()
            self._cpu_ns = clock.cpu() - cpu
        self._progress()

    def stop(self) -> None:
        """May be called from a signal handler: what is in flight becomes `interrupted`, nothing more is sent."""
        self._stopping = True

    def records(self) -> Iterator[Record]:
        """Every request in the order of their ends; each is forgotten as it is given."""
        self._done.reverse()
        while self._done:
            yield self._record(self._done.pop())

    def report(self) -> ClientReport:
        return ClientReport(
            wall_s=(self._ended - self._began) / 1e9,
            cpu_s=self._cpu_ns / 1e9,
            send_lag_p50_ns=quantile(self._send_lags, 0.5),
            send_lag_p99_ns=quantile(self._send_lags, 0.99),
            send_lag_max_ns=max(self._send_lags, default=0),
            loop_lag_p99_ns=quantile(self._loop_lags, 0.99),
            clock_step_ns=abs(self._offset_after - self._offset_before),
            stamps="kernel" if self._kernel else "user",
            peak_in_flight=self._peak,
        )

    # One stage

    def _stage(self, stage: Stage) -> None:
        slots = [_Slot(number) for number in range(min(stage.concurrency, len(stage.asks)))]
        self._asks = iter(stage.asks)
        self._by_fd: dict[int, _Slot] = {}
        self._epoll = select.epoll()
        try:
            self._connect_all(slots)
            self._free = slots[::-1]
            now = clock.now()
            for slot in slots:
                slot.t_free = now
            self._fill()
            while self._in_flight:
                for fd, mask in self._epoll.poll(TICK_S):
                    ready = self._by_fd.get(fd)
                    if ready is not None:
                        self._ready(ready, mask)
                        if self._free:
                            self._fill()
                self._tick(slots)
        finally:
            for slot in slots:
                self._disconnect(slot)
            self._epoll.close()

    def _connect_all(self, slots: list[_Slot]) -> None:
        """The first requests start on connections that stand, so that no handshake is in a TTFT. One that fails is tried again with its
        request, whose error it then is."""
        for slot in slots:
            try:
                self._connect(slot)
            except OSError:
                self._disconnect(slot)
        start = clock.now()
        while not self._stopping and clock.now() - start < CONNECT_LIMIT_NS and any(s.state == _CONNECTING for s in slots):
            for fd, _ in self._epoll.poll(TICK_S):
                slot = self._by_fd[fd]
                if _failure(slot.sock):
                    self._disconnect(slot)
                else:
                    slot.state = _IDLE
                    self._epoll.modify(fd, _IN)

    def _fill(self) -> None:
        """Gives every free slot the next ask, as long as there are any."""
        while self._free:
            slot = self._free.pop()
            ask = None if self._stopping else next(self._asks, None)
            if ask is None:
                self._disconnect(slot)
            else:
                self._begin(slot, ask)

    def _begin(self, slot: _Slot, ask: Ask) -> None:
        body = ask.body.encode()
        wire = b"".join((self._head, str(len(body)).encode(), b"\r\n\r\n", body))
        slot.request = _Request(self._sent, ask.phase, slot.number, wire)
        slot.deadline = clock.now() + int(self.job.timeout_s * 1e9)
        self._sent += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        self._start(slot)

    def _start(self, slot: _Slot) -> None:
        assert slot.request is not None
        slot.unsent = memoryview(slot.request.wire)
        try:
            if slot.sock is None or _closed_by_peer(slot.sock):
                self._disconnect(slot)
                self._connect(slot)
            else:
                slot.request.t_send = clock.now()
                self._send_lags.append(slot.request.t_send - slot.t_free)
                self._send(slot)
        except OSError as error:
            self._finish(slot, _reason(error, "connect"), str(error))

    def _connect(self, slot: _Slot) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(self.job.host, self.job.port, type=socket.SOCK_STREAM)[0]
        sock = slot.sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError:
            self._kernel = False
        slot.used, slot.state = False, _CONNECTING
        self._by_fd[sock.fileno()] = slot
        self._epoll.register(sock.fileno(), _IN | select.EPOLLOUT)
        try:
            sock.connect(address)
        except BlockingIOError:
            pass

    def _ready(self, slot: _Slot, mask: int) -> None:
        try:
            if slot.state == _CONNECTING:
                if failure := _failure(slot.sock):
                    raise failure
                assert slot.request is not None
                slot.request.t_send = slot.t_free = clock.now()
                self._send(slot)
            elif slot.state == _SENDING and mask & select.EPOLLOUT:
                self._send(slot)
            if mask & ~select.EPOLLOUT:
                self._receive(slot)
        except BadHttp as error:
            self._finish(slot, "bad_http", str(error))
        except OSError as error:
            self._lost(slot, _reason(error, "connect" if slot.state == _CONNECTING else "reset"), str(error))

    def _send(self, slot: _Slot) -> None:
        assert slot.sock is not None
        before = slot.state
        try:
            slot.unsent = slot.unsent[slot.sock.send(slot.unsent) :]
        except BlockingIOError:
            pass
        slot.state = _SENDING if slot.unsent else _RECEIVING
        if slot.unsent:
            self._epoll.modify(slot.sock.fileno(), _IN | select.EPOLLOUT)
        elif before != _IDLE:
            self._epoll.modify(slot.sock.fileno(), _IN)

    def _receive(self, slot: _Slot) -> None:
        request = slot.request
        assert slot.sock is not None
        try:
            data, ancillary, _, _ = slot.sock.recvmsg(READ_BYTES, _ANCILLARY)
        except BlockingIOError:
            return
        if request is None:  # the server has closed, or talks, between requests
            self._disconnect(slot)
            return
        if not data:
            if request.answer.close():
                self._finish(slot, None, "")
            else:
                self._lost(
                    slot, "truncated" if request.reads else "reset", "the server closed the connection before the answer's end"
                )
            return
        now = clock.now() + self._offset_before
        if ancillary:
            whole, parts = _STAMP.unpack(ancillary[0][2])
            stamp = whole * 1_000_000_000 + parts
            self._loop_lags.append(now - stamp)
        else:
            stamp, self._kernel = now, False
        request.reads += 1
        request.t_end = stamp
        self._reads += 1
        self._bytes += len(data)
        if request.answer.feed(data, stamp):
            self._finish(slot, None, "")

    def _lost(self, slot: _Slot, error: str, detail: str) -> None:
        """The connection broke. A server may close a kept-alive one just as it is used again: then, and only then, it is tried anew."""
        request = slot.request
        if request is None:
            self._disconnect(slot)
        elif slot.used and not request.reads and not request.retried:
            request.retried = True
            self._disconnect(slot)
            self._start(slot)
        else:
            self._finish(slot, error, detail)

    def _finish(self, slot: _Slot, error: str | None, detail: str) -> None:
        request = slot.request
        assert request is not None
        slot.request, slot.t_free, slot.used, slot.state = None, clock.now(), True, _IDLE
        if error is not None:
            request.error, request.error_detail = error, detail
            request.t_end = slot.t_free + self._offset_before
        request.t_send = request.t_send or slot.t_free
        request.wire = b""
        if error is not None or not request.answer.keep_alive:
            self._disconnect(slot)
        self._in_flight -= 1
        self._done.append(request)
        self._free.append(slot)

    def _disconnect(self, slot: _Slot) -> None:
        if slot.sock is not None:
            del self._by_fd[slot.sock.fileno()]
            slot.sock.close()
            slot.sock, slot.state = None, _IDLE

    def _tick(self, slots: list[_Slot]) -> None:
        """Twice a second, or at once when told to stop."""
        now = clock.now()
        if self._stopping:
            for slot in slots:
                if slot.request is not None:
                    self._finish(slot, "interrupted", "the run was stopped")
            self._free.clear()
        elif now >= self._next_tick:
            self._next_tick = now + int(TICK_S * 1e9)
            for slot in slots:
                if slot.request is not None and now > slot.deadline:
                    self._finish(slot, "timeout", f"no end within {self.job.timeout_s:g} s")
            self._fill()
            self._progress()

    def _progress(self) -> None:
        self._on_progress(
            Progress(
                done=len(self._done),
                sent=self._sent,
                total=self._total,
                bytes_in=self._bytes,
                reads=self._reads,
                in_flight=self._in_flight,
            )
        )

    # After the run

    def _record(self, request: _Request) -> Record:
        answer = request.answer
        return chunks.record(
            chunks.Raw(
                index=request.index,
                phase=request.phase,
                slot=request.slot,
                t_send_ns=request.t_send,
                t_head_ns=None if answer.t_head is None else self._monotonic(answer.t_head),
                t_end_ns=self._monotonic(request.t_end),
                status=answer.status,
                error=request.error,
                error_detail=request.error_detail,
                body=answer.joined(),
                ends=answer.ends,
                stamps_ns=[self._monotonic(stamp) for stamp in answer.stamps],
                stamps="kernel" if self._kernel else "user",
                reads=request.reads,
            )
        )

    def _monotonic(self, stamp: int) -> int:
        """A receive stamp on our clock; between the two samples of the offset it is taken to drift evenly."""
        span = self._ended - self._began
        drift = (self._offset_after - self._offset_before) * (stamp - self._offset_before - self._began) // span if span else 0
        return stamp - self._offset_before - drift


def _request_head(job: Job, api_key: str | None) -> bytes:
    """Everything up to the content length's value."""
    host = f"[{job.host}]" if ":" in job.host else job.host
    lines = [
        f"POST {job.path} HTTP/1.1",
        f"host: {host}:{job.port}",
        "content-type: application/json",
        "accept: text/event-stream",
    ]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    if api_key is not None:
        lines.append(f"authorization: Bearer {api_key}")
    return "\r\n".join([*lines, "content-length: "]).encode()


def _closed_by_peer(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _failure(sock: socket.socket | None) -> OSError | None:
    """How a non-blocking connect failed."""
    assert sock is not None
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return OSError(number, os.strerror(number)) if number else None


def _reason(error: OSError, otherwise: str) -> str:
    return "timeout" if isinstance(error, TimeoutError) else otherwise


def quantile(values: array[int], share: float) -> int:
    """The smallest value that at least `share` of all do not exceed; 0 of none."""
    return sorted(values)[max(0, -(-int(share * 1000) * len(values) // 1000) - 1)] if values else 0


def main(job: Job, out: str, api_key: str | None, say: Callable[[bytes], None]) -> None:
    """Runs `job`, writes its records to the file `out` one JSON line each, and says progress and report as JSON lines."""
    encode = msgspec.json.encode
    driver = Driver(job, api_key, lambda progress: say(encode(progress)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: driver.stop())
    driver.run()
    with open(out, "wb") as file:
        for record in driver.records():
            file.write(encode(record) + b"\n")
    say(encode({"report": driver.report()}))
