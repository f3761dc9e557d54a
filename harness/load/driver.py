"""Sends the requests of a job on time and keeps every byte of the answers with the instant the kernel received it.

One epoll loop over non-blocking sockets, one keep-alive connection per slot; a request is sent when its connection stands, so that no
handshake is in a TTFT. The loop only stamps and stores; a read is de-chunked so that the end of an answer is seen, and everything else
(events, JSON, counts) is read when no socket is ready, or after the run. Receive stamps are the kernel's where it gives them; segments
that queued up are merged in one read and carry the last one's stamp, so `reads` is in every record. Linux.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from harness import clock
from harness.load import stamps
from harness.load.asks import Asks
from harness.load.exchange import Exchange
from harness.load.ledger import Ledger
from harness.load.peer import Peer, error_of, hung_up, request_head
from harness.load.tally import Tally
from harness.load.wire import BadHttp
from harness.schema.job import Ask, Job, Progress, Stage
from harness.schema.run import ClientReport
from harness.units import NS_PER_S

READ_BYTES = 64 * 1024  # more would make each recvmsg allocate by mmap
TICK_S = 0.5
CONNECT_LIMIT_NS = 10 * NS_PER_S
LAG_SAMPLING = 3
"""How late a read comes is noted for every fourth of an answer."""

_IN = select.EPOLLIN | select.EPOLLRDHUP
_OUT = select.EPOLLOUT
_IDLE, _CONNECTING, _SENDING, _RECEIVING = range(4)


class _Slot:
    """One place of the closed loop: a connection, and the request that is on it."""

    __slots__ = ("deadline", "exchange", "number", "sock", "state", "t_connect", "t_free", "unsent", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sock: socket.socket | None = None
        self.state = _IDLE
        self.used = False  # an answer has come on this connection
        self.exchange: Exchange | None = None
        self.unsent = memoryview(b"")
        self.t_connect = 0
        self.t_free: int | None = None  # when its last request ended; None: it had none
        self.deadline = 0


class Driver:
    """`run` executes the job and writes its records; then `report` gives the driver about itself."""

    def __init__(self, job: Job, out: BinaryIO, api_key: str | None, on_progress: Callable[[Progress], None]) -> None:
        self.job = job
        self._on_progress = on_progress
        self._head = request_head(job, api_key)
        self._tally = Tally(job)
        self._peer = Peer(job.host, job.port, self._tally.connected)
        self._offsets = stamps.Offsets()
        self._ledger = Ledger(out, self._offsets.monotonic, kernel=True)
        self._stopping = False
        self._free: list[_Slot] = []
        self._by_fd: dict[int, _Slot] = {}
        self._user_stamps = self._next_tick = 0

    def run(self) -> None:
        """All stages, one after the other. What fails is a record with its reason."""
        gc.collect()
        gc.disable()  # a collection inside the loop would be a late read
        self._tally.start()
        try:
            with stamps.keep_on():
                self._peer.find(CONNECT_LIMIT_NS / NS_PER_S)
                for stage in self.job.stages:
                    self._stage(stage)
        finally:
            self._tally.stop()
            self._offsets.sample()
            gc.enable()
        self._ledger.read_all()
        self._on_progress(self._tally.progress())

    def stop(self) -> None:
        """May be called from a signal handler: what is in flight becomes `interrupted`, nothing more is sent."""
        self._stopping = True

    def report(self) -> ClientReport:
        kernel = self._ledger.kernel and not self._user_stamps
        return self._tally.report(clock_step_ns=self._offsets.step_ns, stamps="kernel" if kernel else "user")

    # One stage

    def _stage(self, stage: Stage) -> None:
        self._asks = Asks(stage)
        slots = [_Slot(number) for number in range(min(stage.concurrency, len(self._asks)))]
        self._epoll = select.epoll()
        try:
            self._free = slots[::-1]
            self._fill()
            while self._tally.in_flight:
                self._turn()
                if self._stopping or clock.now() >= self._next_tick:
                    self._tick(slots)
        finally:
            for slot in slots:
                self._disconnect(slot)
            self._epoll.close()

    def _turn(self) -> None:
        """Looks after every socket that is ready; when none is, reads a little of what has ended."""
        waiting = self._ledger.waiting
        ready = self._epoll.poll(0 if waiting else TICK_S)
        if not ready and waiting:
            self._ledger.read_some()
        by_fd = self._by_fd
        for fd, mask in ready:
            slot = by_fd.get(fd)
            if slot is not None:
                self._ready(slot, mask)
                if self._free:
                    self._fill()

    def _fill(self) -> None:
        """Gives every free slot the next ask, as long as there are any."""
        while self._free:
            slot = self._free.pop()
            ask = None if self._stopping else self._asks.take()
            if ask is None:
                self._disconnect(slot)
            else:
                self._begin(slot, ask)

    def _begin(self, slot: _Slot, ask: Ask) -> None:
        body = ask.body.encode()
        slot.exchange = Exchange(self._tally.begin(), ask.phase, slot.number, b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        slot.deadline = clock.now() + round(self.job.timeout_s * NS_PER_S)
        self._start(slot)

    def _start(self, slot: _Slot) -> None:
        assert slot.exchange is not None
        slot.unsent = memoryview(slot.exchange.wire)
        try:
            if slot.sock is None or slot.state != _IDLE or hung_up(slot.sock):
                self._disconnect(slot)
                self._connect(slot)
            else:
                self._send_first(slot)
        except OSError as error:
            self._lost(slot, "connect" if slot.state == _CONNECTING else "reset", str(error))

    def _connect(self, slot: _Slot) -> None:
        slot.sock = sock = self._peer.socket()
        self._ledger.kernel = stamps.ask_for(sock) and self._ledger.kernel
        slot.used, slot.state, slot.t_connect = False, _CONNECTING, clock.now()
        self._by_fd[sock.fileno()] = slot
        self._epoll.register(sock.fileno(), _IN | _OUT)
        try:
            sock.connect(self._peer.address)
        except BlockingIOError:
            pass

    def _connected(self, slot: _Slot) -> OSError | None:
        assert slot.sock is not None
        error = error_of(slot.sock)
        if error is None:
            self._tally.connected(clock.now() - slot.t_connect)
        return error

    def _ready(self, slot: _Slot, mask: int) -> None:
        try:
            if slot.state == _RECEIVING:  # nearly always
                self._receive(slot)
            elif slot.state == _CONNECTING:
                if (error := self._connected(slot)) is not None:
                    raise error
                slot.t_free = None  # a handshake is no lag of ours
                self._send_first(slot)
            else:
                if slot.state == _SENDING and mask & _OUT:
                    self._send(slot)
                if mask & ~_OUT:
                    self._receive(slot)
        except BadHttp as error:
            self._finish(slot, "bad_http", str(error))
        except OSError as error:
            self._lost(slot, "connect" if slot.state == _CONNECTING else "reset", str(error))

    def _send_first(self, slot: _Slot) -> None:
        assert slot.exchange is not None
        slot.exchange.t_send = clock.now()
        if slot.t_free is not None:
            self._tally.send_lags.append(slot.exchange.t_send - slot.t_free)
        self._send(slot)

    def _send(self, slot: _Slot) -> None:
        assert slot.sock is not None
        watched = slot.state != _IDLE  # for being able to write
        slot.state = _SENDING
        try:
            slot.unsent = slot.unsent[slot.sock.send(slot.unsent) :]
        except BlockingIOError:
            pass
        if not slot.unsent:
            slot.state = _RECEIVING
        if bool(slot.unsent) != watched:
            self._epoll.modify(slot.sock.fileno(), _IN | _OUT if slot.unsent else _IN)

    def _receive(self, slot: _Slot) -> None:
        assert slot.sock is not None
        try:
            data, ancillary, _, _ = slot.sock.recvmsg(READ_BYTES, stamps.ANCILLARY_BYTES)
        except BlockingIOError:
            return
        exchange = slot.exchange
        if exchange is None:  # the server has closed, or talks, between requests
            self._disconnect(slot)
        elif not data:
            self._hung_up(slot, exchange)
        else:
            if ancillary:
                stamp = stamps.of(ancillary)
                if not exchange.reads & LAG_SAMPLING:
                    self._tally.loop_lags.add(clock.now() + self._offsets.now - stamp)
            else:
                stamp, exchange.kernel = clock.now() + self._offsets.now, False
                self._user_stamps += 1
            exchange.reads += 1
            exchange.t_end = stamp
            if exchange.answer.feed(data, stamp):
                self._finish(slot, None, "")

    def _hung_up(self, slot: _Slot, exchange: Exchange) -> None:
        if exchange.answer.close():
            self._finish(slot, None, "")
        else:
            error = "truncated" if exchange.reads else "reset"
            self._lost(slot, error, "the server closed the connection before the answer's end")

    def _lost(self, slot: _Slot, error: str, detail: str) -> None:
        """The connection broke. A server may close a kept-alive one just as it is used again: then, and only then, it is tried anew."""
        exchange = slot.exchange
        if exchange is None:
            self._disconnect(slot)
        elif slot.used and not exchange.reads:
            self._disconnect(slot)
            self._start(slot)
        else:
            self._finish(slot, error, detail)

    def _finish(self, slot: _Slot, error: str | None, detail: str) -> None:
        exchange = slot.exchange
        assert exchange is not None
        slot.t_free = clock.now()
        if error is not None:
            exchange.error, exchange.error_detail = error, detail
            exchange.t_end = slot.t_free + self._offsets.now
        exchange.t_send = exchange.t_send or slot.t_free
        exchange.wire = b""
        slot.exchange, slot.used = None, True
        if error is not None or slot.unsent or not exchange.answer.keep_alive:
            self._disconnect(slot)
        slot.state = _IDLE
        self._tally.end(exchange)
        if exchange.phase == "warmup":
            self._tally.skip(self._asks.warmed(slot.t_free - exchange.t_send))
        self._ledger.add(exchange)
        self._free.append(slot)

    def _disconnect(self, slot: _Slot) -> None:
        if slot.sock is not None:
            del self._by_fd[slot.sock.fileno()]
            slot.sock.close()
            slot.sock, slot.state = None, _IDLE

    def _tick(self, slots: list[_Slot]) -> None:
        """Twice a second, or at once when told to stop."""
        now = clock.now()
        self._next_tick = now + round(TICK_S * NS_PER_S)
        for slot in slots:
            if slot.exchange is None:
                continue
            if self._stopping:
                self._finish(slot, "interrupted", "the run was stopped")
            elif now > slot.deadline:
                self._finish(slot, "timeout", f"no end within {self.job.timeout_s:g} s")
            elif slot.state == _CONNECTING and now > slot.t_connect + CONNECT_LIMIT_NS:
                self._finish(slot, "connect", f"no connection within {CONNECT_LIMIT_NS / NS_PER_S:g} s")
        self._fill()
        self._offsets.sample()
        self._ledger.ripen()
        self._on_progress(self._tally.progress(slot.exchange for slot in slots if slot.exchange is not None))


def main(job: Job, out: BinaryIO, api_key: str | None, say: Callable[[bytes], None]) -> None:
    """Runs `job`, writes its records to `out` one JSON line each, and says progress and report as JSON lines."""
    if job.cpus is not None:
        os.sched_setaffinity(0, job.cpus)
    encode = msgspec.json.Encoder().encode
    driver = Driver(job, out, api_key, lambda progress: say(encode(progress)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: driver.stop())
    driver.run()
    say(encode({"report": driver.report()}))
