"""What a stage sends next, and when: warm-up until the server is warm, asks at their times, turns after the turn before."""

from __future__ import annotations

from collections import deque
from itertools import chain, zip_longest

import msgspec

from harness.schema.job import Ask, Stage
from harness.schema.workload import WARMUP_GAIN

UNANSWERED = ("unanswered", "the turn before it was not answered")


class Turn(msgspec.Struct, frozen=True):
    """An ask whose time has come."""

    ask: Ask
    place: int
    """In the stage, warm-up first."""
    due_ns: int | None
    """Open loop: when it was meant to leave."""
    ready_ns: int | None
    """Open loop: since when nothing but the client kept it from leaving, which is later where the turn before ended later."""
    body: bytes | None
    """None: the turn before it was not answered, so it cannot be sent."""


class Asks:
    """Of one stage.

    The server is warm when a round of warm-up requests is not faster than the round before by more than `WARMUP_GAIN`. Only gains
    count: what gets slower under load does not get better by waiting, and shows in the measured requests.
    """

    def __init__(self, stage: Stage, start_ns: int) -> None:
        """`start_ns` is the instant from which the asks of an open loop are due."""
        self._start_ns = start_ns
        self._open = stage.concurrency is None
        self._all = (*stage.warmup, *stage.asks)
        self._queue = deque(place for place, ask in enumerate(self._all) if self._open or ask.after is None)
        self._followers = {ask.after: place for place, ask in enumerate(self._all) if ask.after is not None}
        self._said: dict[int, list[str] | None] = {}  # what has been answered before a place; None: the turn before it failed
        self._said_ns: dict[int, int] = {}  # when the last of it was
        self._held: set[int] = set()  # due, but the turn before is under way
        self._ready: deque[int] = deque()  # the turn before has ended meanwhile
        self._warmup_left = len(stage.warmup)
        self._round = stage.warmup_round
        self._ended = self._took_ns = 0
        self._before_ns: int | None = None

    def __bool__(self) -> bool:
        return bool(self._queue or self._ready or self._held)

    @property
    def next_ns(self) -> int | None:
        """Open loop: when the next ask is due; None: at once, or none is left."""
        return self._start_ns + self._all[self._queue[0]].due_ns if self._open and self._queue and not self._ready else None

    def take(self, now_ns: int) -> Turn | None:
        """The next one; None when there is none at this time."""
        if self._ready:
            return self._turn(self._ready.popleft())
        while self._queue and not (self._open and self._due_ns(self._queue[0]) > now_ns):
            place = self._queue.popleft()
            self._warmup_left -= self._warmup_left > 0
            if self._all[place].after is None or place in self._said:
                return self._turn(place)
            self._held.add(place)
        return None

    def follows(self, place: int) -> bool:
        """Whether a turn waits for this one's answer."""
        return place in self._followers

    def answered(self, place: int, reply: str | None, t_ns: int) -> None:
        """A turn that another one follows has ended; `reply` None: without an answer."""
        follower, before = self._followers[place], self._said.pop(place, [])
        self._said[follower] = None if before is None or reply is None else [*before, reply]
        self._said_ns[follower] = t_ns
        if follower in self._held:
            self._held.remove(follower)
            self._ready.append(follower)
        elif not self._open:
            self._ready.append(follower)

    def warmed(self, took_ns: int) -> int:
        """A warm-up request has ended. Gives how many are dropped because the server turns out to be warm."""
        self._ended += 1
        self._took_ns += took_ns
        if self._ended % self._round:
            return 0
        before, self._before_ns, self._took_ns = self._before_ns, self._took_ns, 0
        if before is None or self._before_ns < (1 - WARMUP_GAIN) * before:
            return 0
        dropped, self._warmup_left = self._warmup_left, 0
        for _ in range(dropped):
            self._queue.popleft()
        return dropped

    def _due_ns(self, place: int) -> int:
        return self._start_ns + self._all[place].due_ns

    def _turn(self, place: int) -> Turn:
        ask = self._all[place]
        said, said_ns = self._said.get(place, []), self._said_ns.pop(place, 0)
        body = None if said is None else _with_replies(ask, said)
        if not self._open:
            return Turn(ask, place, None, None, body)
        due_ns = self._due_ns(place)
        return Turn(ask, place, due_ns, max(due_ns, said_ns), body)


def _with_replies(ask: Ask, replies: list[str]) -> bytes:
    parts = [part.encode() for part in ask.body.split("\0")]
    said = [msgspec.json.encode(reply) for reply in replies]
    return b"".join(chain.from_iterable(zip_longest(parts, said, fillvalue=b"")))
