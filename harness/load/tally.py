"""What a driver counts and measures of itself while it runs: its progress, and its report."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from harness import clock
from harness.load.exchange import Exchange
from harness.load.stamps import Lags
from harness.schema.job import Job, Progress
from harness.schema.run import ClientReport
from harness.units import NS_PER_S


class Tally:
    """The time between `start` and `stop` is that in which requests ran; reading that fell into it is in its CPU time."""

    def __init__(self, job: Job) -> None:
        self._total = sum(len(stage.warmup) + len(stage.asks) for stage in job.stages)
        self.sent = 0
        self.in_flight = 0
        self._peak = self._done = self._reads = self._bytes = 0
        self.send_lags = array("q")
        """Nanoseconds from a slot's getting free to its next request."""
        self.loop_lags = Lags()
        self.rtt_ns: int | None = None
        self._wall_ns = self._cpu_ns = 0

    def start(self) -> None:
        self._wall_ns, self._cpu_ns = clock.now(), clock.cpu()

    def stop(self) -> None:
        self._wall_ns, self._cpu_ns = clock.now() - self._wall_ns, clock.cpu() - self._cpu_ns

    def begin(self) -> int:
        """A request is on its way; gives its index."""
        self.sent += 1
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return self.sent - 1

    def end(self, exchange: Exchange) -> None:
        self.in_flight -= 1
        self._done += 1
        self._reads += exchange.reads
        self._bytes += exchange.answer.size

    def skip(self, number: int) -> None:
        """So many requests of the job will not be sent."""
        self._total -= number

    def connected(self, took_ns: int) -> None:
        """A connection opened in this time; the shortest is the round trip's."""
        self.rtt_ns = took_ns if self.rtt_ns is None else min(self.rtt_ns, took_ns)

    def progress(self, under_way: Iterable[Exchange] = ()) -> Progress:
        reads, size = self._reads, self._bytes
        for exchange in under_way:
            reads += exchange.reads
            size += exchange.answer.size
        return Progress(
            done=self._done, sent=self.sent, total=self._total, bytes_in=size, reads=reads, in_flight=self.in_flight
        )

    def report(self, *, clock_step_ns: int, stamps: str) -> ClientReport:
        return ClientReport(
            wall_s=self._wall_ns / NS_PER_S,
            cpu_s=self._cpu_ns / NS_PER_S,
            send_lag_p50_ns=_quantile(self.send_lags, 0.5),
            send_lag_p99_ns=_quantile(self.send_lags, 0.99),
            send_lag_max_ns=max(self.send_lags, default=0),
            loop_lag_p99_ns=self.loop_lags.quantile(0.99),
            clock_step_ns=clock_step_ns,
            stamps=stamps,
            peak_in_flight=self._peak,
            rtt_ns=self.rtt_ns,
        )


def _quantile(values: array[int], share: float) -> int:
    """The smallest value that at least `share` of all do not exceed; 0 of none."""
    return sorted(values)[max(0, -(-round(share * 1000) * len(values) // 1000) - 1)] if values else 0
