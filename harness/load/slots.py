"""The connections of a stage and the request that is on each: which are free, which stand, and which are kept at hand for an open loop."""

from __future__ import annotations

import select
import socket

from harness import clock
from harness.load import stamps
from harness.load.exchange import Exchange
from harness.load.peer import Peer, error_of

SPARE = 8
"""Open loop: idle connections at hand."""

IN = select.EPOLLIN | select.EPOLLRDHUP
OUT = select.EPOLLOUT
IDLE, CONNECTING, SENDING, RECEIVING = range(4)


class Slot:
    """A connection, and the request that is on it."""

    __slots__ = ("deadline", "exchange", "number", "sock", "state", "t_connect", "t_free", "unsent", "used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sock: socket.socket | None = None
        self.state = IDLE
        self.used = False  # an answer has come on this connection
        self.exchange: Exchange | None = None
        self.unsent = memoryview(b"")
        self.t_connect = 0
        self.t_free: int | None = None  # closed loop: when its last request ended; None: it had none
        self.deadline = 0

    def check_connected(self) -> None:
        """Raises `OSError` when the connection did not come about."""
        assert self.sock is not None
        error = error_of(self.sock)
        if error is not None:
            raise error


class Slots:
    """Closed loop: `concurrency` of them, used again and again. Open loop (`concurrency` None): as many as it takes, with some idle
    connections at hand so that no request waits for a handshake."""

    def __init__(self, peer: Peer, concurrency: int | None, *, most: int) -> None:
        self.epoll = select.epoll()
        self.by_fd: dict[int, Slot] = {}
        self.all = [Slot(number) for number in range(min(concurrency or SPARE, most))]
        self.free: list[Slot] = []  # in open loop only those whose connection stands
        self._peer = peer
        self._open = concurrency is None
        self._unconnected: list[Slot] = []  # in open loop
        (self._unconnected if self._open else self.free).extend(reversed(self.all))
        for _ in range(len(self._unconnected)):
            self._connect_spare()

    def close(self) -> None:
        for slot in self.all:
            self.disconnect(slot)
        self.epoll.close()

    def take(self) -> Slot:
        """A free one; in open loop a new one where none is."""
        return self.free.pop() if self.free else self._without_connection()

    def give_back(self, slot: Slot) -> None:
        """Its request has ended."""
        (self._unconnected if self._open and slot.sock is None else self.free).append(slot)

    def keep_spare(self) -> None:
        """Open loop: begins one more connection where too few are at hand."""
        if self._open and len(self.free) < SPARE:
            self._connect_spare()

    def connect(self, slot: Slot) -> None:
        """Begins to. Raises `OSError`."""
        slot.state, slot.t_connect = CONNECTING, clock.now()
        slot.sock = sock = self._peer.socket()
        stamps.ask_for(sock)
        self.by_fd[sock.fileno()] = slot
        self.epoll.register(sock.fileno(), IN | OUT)
        try:
            sock.connect(self._peer.address)
        except BlockingIOError:
            pass

    def watch(self, slot: Slot, *, writing: bool) -> None:
        """For what comes; when `writing`, for room to send too."""
        assert slot.sock is not None
        self.epoll.modify(slot.sock.fileno(), IN | OUT if writing else IN)

    def keep_at_hand(self, slot: Slot) -> None:
        """A connection without a request stands."""
        slot.state = IDLE
        self.watch(slot, writing=False)
        self.free.append(slot)

    def drop_idle(self, slot: Slot) -> None:
        """A connection without a request has broken, or was refused."""
        self.disconnect(slot)
        if self._open:
            if slot in self.free:
                self.free.remove(slot)
            self._unconnected.append(slot)

    def disconnect(self, slot: Slot) -> None:
        if slot.sock is not None:
            del self.by_fd[slot.sock.fileno()]
            slot.sock.close()
            slot.sock, slot.state = None, IDLE
        slot.used = False

    def _without_connection(self) -> Slot:
        if not self._unconnected:
            self.all.append(Slot(len(self.all)))
            return self.all[-1]
        return self._unconnected.pop()

    def _connect_spare(self) -> None:
        slot = self._without_connection()
        try:
            self.connect(slot)
        except OSError:
            self.drop_idle(slot)
