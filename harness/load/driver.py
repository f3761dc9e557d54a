"""Sends the requests of a job on time and keeps every byte of the answers with the instant the kernel received it.

One epoll loop over non-blocking sockets, one keep-alive connection per slot; a request is sent when its connection stands, so that no
handshake is in a TTFT. Closed loop: a fixed number of slots. Open loop: each request leaves when it is due, on as many connections as
that takes, and some idle ones are kept at hand so that none waits for a handshake.

The loop only stamps and stores; a read is de-chunked so that the end of an answer is seen, and everything else (events, JSON, counts) is
read when no socket is ready, or after the run. Receive stamps are the kernel's where it gives them; segments that queued up are merged in
one read and carry the last one's stamp, so `reads` is in every record. Linux.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from harness import clock
from harness.load import stamps
from harness.load.asks import UNANSWERED, Asks, Turn
from harness.load.exchange import Exchange, reply
from harness.load.ledger import Ledger
from harness.load.peer import Peer, hung_up, request_head
from harness.load.slots import CONNECTING, IDLE, OUT, RECEIVING, SENDING, Slot, Slots
from harness.load.tally import Tally
from harness.load.wire import BadHttp
from harness.schema.job import Job, Progress, Stage
from harness.schema.run import ClientReport
from harness.units import NS_PER_S

READ_BYTES = 64 * 1024  # more would make each recvmsg allocate by mmap
TICK_S = 0.5
CONNECT_LIMIT_NS = 10 * NS_PER_S
MANY = 32
PAUSE_S = 0.0005
"""With so many streams something is always ready: a pause before each look lets several be read in one turn, which saves a fifth of the
CPU time. The kernel's stamps do not mind; it is far less than the time between two tokens of a stream."""
LEAD_NS = 100_000_000
"""Open loop: from the stage's start to the instant its schedule counts from, while connections open."""
SPIN_NS = 60_000
"""A sleep ends up to this much late: the last bit of waiting is spent looking."""
JUST_NOW_NS = 20_000_000
"""After a send: a connection that the server had closed before breaks within a round trip."""
LAG_SAMPLING = 3
"""How late a read comes is noted for every fourth of an answer."""


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
        self._stopping = self._open = False
        self._next_tick = 0

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
        return self._tally.report(clock_step_ns=self._offsets.step_ns, stamps="kernel" if self._ledger.kernel else "user")

    # One stage

    def _stage(self, stage: Stage) -> None:
        self._open = stage.concurrency is None
        self._asks = Asks(stage, clock.now() + LEAD_NS)
        self._slots = Slots(self._peer, stage.concurrency, most=len(stage.warmup) + len(stage.asks))
        try:
            self._fill()
            while self._tally.in_flight or (self._asks and not self._stopping):
                self._turn()
                if self._stopping or clock.now() >= self._next_tick:
                    self._tick()
        finally:
            self._slots.close()

    def _turn(self) -> None:
        """Looks after every socket that is ready; when none is, reads a little of what has ended."""
        waiting, next_ns = self._ledger.waiting, self._asks.next_ns
        if waiting:
            pass
        elif next_ns is not None:
            self._wait_until(next_ns)
        elif self._tally.in_flight >= MANY and self._ledger.kernel:
            clock.sleep(PAUSE_S)
        ready = self._slots.epoll.poll(0 if waiting or next_ns is not None else TICK_S)
        if not ready and waiting:
            self._ledger.read_some()
        by_fd, free = self._slots.by_fd, self._slots.free
        for fd, mask in ready:
            slot = by_fd.get(fd)
            if slot is not None:
                self._ready(slot, mask)
                if free:
                    self._fill()
        if next_ns is not None:
            self._fill()

    def _wait_until(self, due_ns: int) -> None:
        """For a socket or an instant. By `select`, which counts in microseconds where epoll's own timeout counts milliseconds."""
        wait = min(TICK_S, (due_ns - clock.now() - SPIN_NS) / NS_PER_S)
        if wait > 0:
            select.select([self._slots.epoll], [], [], wait)

    def _fill(self) -> None:
        """Sends what is to be sent now: in closed loop something on every free slot, in open loop whatever is due."""
        while self._open or self._slots.free:
            turn = None if self._stopping else self._asks.take(clock.now())
            if turn is not None:
                self._begin(self._slots.take(), turn)
                if self._asks:
                    self._slots.keep_spare()
            elif self._open:
                break
            else:
                self._slots.disconnect(self._slots.take())

    def _begin(self, slot: Slot, turn: Turn) -> None:
        body = turn.body or b""
        slot.exchange = Exchange(self._tally.begin(), turn, slot.number, b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        slot.deadline = clock.now() + round(self.job.timeout_s * NS_PER_S)
        if turn.body is None:
            self._finish(slot, *UNANSWERED)
        else:
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        assert slot.exchange is not None
        slot.unsent = memoryview(slot.exchange.wire)
        try:
            if slot.sock is None or slot.state != IDLE or hung_up(slot.sock):
                self._slots.disconnect(slot)
                self._slots.connect(slot)
            else:
                self._send_first(slot)
        except OSError as error:
            self._lost(slot, "connect" if slot.state == CONNECTING else "reset", str(error))

    def _ready(self, slot: Slot, mask: int) -> None:
        try:
            if slot.state == RECEIVING:  # nearly always
                self._receive(slot)
            elif slot.state == CONNECTING:
                slot.check_connected()
                self._tally.connected(clock.now() - slot.t_connect)
                if slot.exchange is None:
                    self._slots.keep_at_hand(slot)
                else:
                    slot.t_free = None  # a handshake is no lag of ours
                    self._send_first(slot)
            else:
                sending = slot.exchange
                if mask & ~OUT:  # first: a server may refuse a request while it is still being sent
                    self._receive(slot)
                if mask & OUT and slot.state == SENDING and slot.exchange is sending:
                    self._send(slot)
        except BadHttp as error:
            self._finish(slot, "bad_http", str(error))
        except OSError as error:
            self._lost(slot, "connect" if slot.state == CONNECTING else "reset", str(error))

    def _send_first(self, slot: Slot) -> None:
        assert slot.exchange is not None
        exchange, again = slot.exchange, slot.exchange.t_send
        exchange.t_send = clock.now()
        ready = exchange.turn.ready_ns if self._open else slot.t_free
        if ready is not None and not again:
            self._tally.send_lags.append(exchange.t_send - ready)
        self._send(slot)

    def _send(self, slot: Slot) -> None:
        assert slot.sock is not None
        watched = slot.state != IDLE  # for being able to write
        slot.state = SENDING
        try:
            slot.unsent = slot.unsent[slot.sock.send(slot.unsent) :]
        except BlockingIOError:
            pass
        if not slot.unsent:
            slot.state = RECEIVING
        if bool(slot.unsent) != watched:
            self._slots.watch(slot, writing=bool(slot.unsent))

    def _receive(self, slot: Slot) -> None:
        assert slot.sock is not None
        try:
            data, ancillary, _, _ = slot.sock.recvmsg(READ_BYTES, stamps.ANCILLARY_BYTES)
        except BlockingIOError:
            return
        exchange = slot.exchange
        if exchange is None:  # the server has closed, or talks, between requests
            self._slots.drop_idle(slot)
        elif not data:
            self._hung_up(slot, exchange)
        else:
            if ancillary:
                stamp = stamps.of(ancillary)
                if not exchange.reads & LAG_SAMPLING:
                    self._tally.loop_lags.add(clock.now() + self._offsets.now - stamp)
            else:
                stamp = clock.now() + self._offsets.now
                exchange.kernel = self._ledger.kernel = False
            exchange.reads += 1
            exchange.t_end = stamp
            if exchange.answer.feed(data, stamp):
                self._finish(slot, None, "")

    def _hung_up(self, slot: Slot, exchange: Exchange) -> None:
        if exchange.answer.close():
            self._finish(slot, None, "")
        else:
            error = "truncated" if exchange.reads else "reset"
            self._lost(slot, error, "the server closed the connection before the answer's end")

    def _lost(self, slot: Slot, error: str, detail: str) -> None:
        """The connection broke. A server may close a kept-alive one just as it is used again: then it is tried anew. What breaks later
        has failed: the server may have worked on it."""
        exchange = slot.exchange
        if exchange is None:
            self._slots.drop_idle(slot)
        elif slot.used and not exchange.reads and clock.now() - exchange.t_send < JUST_NOW_NS:
            self._slots.disconnect(slot)
            self._start(slot)
        else:
            self._finish(slot, error, detail)

    def _finish(self, slot: Slot, error: str | None, detail: str) -> None:
        exchange = slot.exchange
        assert exchange is not None
        now, turn = clock.now(), exchange.turn
        if error is not None:
            exchange.error, exchange.error_detail = error, detail
            exchange.t_end = now + self._offsets.now
        slot.t_free = exchange.t_end - self._offsets.now  # when the answer's end was there, not when we noticed
        exchange.t_send = exchange.t_send or now
        exchange.wire = b""
        slot.exchange, slot.used = None, True
        if error is not None or slot.unsent or not exchange.answer.keep_alive:
            self._slots.disconnect(slot)
        slot.state = IDLE
        self._tally.end(exchange)
        if turn.ask.phase == "warmup":
            self._tally.skip(self._asks.warmed(slot.t_free - exchange.t_send))
        if self._asks.follows(turn.place):
            self._asks.answered(turn.place, reply(exchange), now)
        self._ledger.add(exchange)
        self._slots.give_back(slot)

    def _tick(self) -> None:
        """Twice a second, or at once when told to stop."""
        now = clock.now()
        self._next_tick = now + round(TICK_S * NS_PER_S)
        for slot in self._slots.all:
            if slot.exchange is None:
                continue
            if self._stopping:
                self._finish(slot, "interrupted", "the run was stopped")
            elif now > slot.deadline:
                self._finish(slot, "timeout", f"no end within {self.job.timeout_s:g} s")
            elif slot.state == CONNECTING and now > slot.t_connect + CONNECT_LIMIT_NS:
                self._finish(slot, "connect", f"no connection within {CONNECT_LIMIT_NS / NS_PER_S:g} s")
        self._fill()
        self._offsets.sample()
        self._ledger.ripen()
        self._on_progress(self._tally.progress(slot.exchange for slot in self._slots.all if slot.exchange is not None))


def main(job: Job, out: BinaryIO, api_key: str | None, say: Callable[[bytes], None]) -> None:
    """Runs `job`, writes its records to `out` one JSON line each, and says progress and report as JSON lines."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )  # a connection is a descriptor
    if job.cpus is not None:
        os.sched_setaffinity(0, job.cpus)
    encode = msgspec.json.Encoder().encode
    driver = Driver(job, out, api_key, lambda progress: say(encode(progress)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: driver.stop())
    driver.run()
    say(encode({"report": driver.report()}))
