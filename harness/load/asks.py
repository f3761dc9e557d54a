"""What a stage sends next: warm-up until the server is warm, then what is measured."""

from __future__ import annotations

from collections import deque

from harness.schema.job import Ask, Stage
from harness.schema.workload import WARMUP_GAIN


class Asks:
    """Of one stage, in the order in which slots take them.

    The server is warm when a round of warm-up requests is not faster than the round before by more than `WARMUP_GAIN`. Only gains
    count: what gets slower under load does not get better by waiting, and shows in the measured requests.
    """

    def __init__(self, stage: Stage) -> None:
        self._queue = deque((*stage.warmup, *stage.asks))
        self._warmup_left = len(stage.warmup)
        self._round = stage.warmup_round
        self._ended = self._took_ns = 0
        self._before_ns: int | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> Ask | None:
        """The next one; None when there is none."""
        self._warmup_left -= self._warmup_left > 0
        return self._queue.popleft() if self._queue else None

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
