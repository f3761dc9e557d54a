"""Reads all sources at their cadence, from start to stop: one thread for those that answer at once, one for each that may not."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from harness import clock
from harness.schema.sensors import EDGE_NS, POWER_SCOPES, Sample, SensorReport, SourceReport
from harness.sense.base import Source
from harness.units import NS_PER_S, seconds

GAP_NS = NS_PER_S
"""A reading that comes this much later than it was due leaves a gap."""
END_S = 2.0
SILENT = 3
"""Reads that give nothing, after which a source is not waited for."""


class Sampler:
    """`with Sampler(sources) as sampler: …; sampler.take()` gives what was read since the last take. Closes the sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._tracks = [_Track(source) for source in sources]
        self._start_ns, self._end_ns = clock.now(), 0
        self._samples: deque[Sample] = deque()  # its append and popleft are safe between threads
        self._stop = threading.Event()
        together = [track for track in self._tracks if not track.source.alone]
        self._groups = [together, *([track] for track in self._tracks if track.source.alone)]
        self._cpu_ns = [0] * len(self._groups)
        self._threads = [
            threading.Thread(target=self._run, args=each, name="sampler", daemon=True) for each in enumerate(self._groups)
        ]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._end_ns = clock.now()
        for thread, tracks in zip(self._threads, self._groups, strict=True):
            thread.join(timeout=END_S)
            if not thread.is_alive():  # one that hangs in a request ends with the process
                for track in tracks:
                    track.source.close()

    def take(self) -> list[Sample]:
        """Samples read since the last call, in order."""
        taken = [self._samples.popleft() for _ in range(len(self._samples))]
        return sorted(taken, key=lambda sample: sample.t_ns)

    def wait_past(self, t_ns: int) -> None:
        """Until every source of watts has been read after this instant: a span's end lies between two readings. One that hangs is waited
        for no longer than `EDGE_NS`, and what it says of that time later on is dropped: figures that are computed now must not depend on
        it."""
        for track in self._tracks:
            if (track.latest or track.silent) and not track.reads_power:
                continue
            while track.read_ns <= t_ns and track.silent < SILENT and clock.now() < t_ns + EDGE_NS:
                clock.sleep(0.02)
            if track.read_ns <= t_ns:
                track.closed_ns = t_ns + EDGE_NS

    def latest(self) -> dict[tuple[str, str], Sample]:
        """The last sample by source and name, for display."""
        return {key: sample for track in self._tracks for key, sample in list(track.latest.items())}

    def report(self) -> SensorReport:
        """About the sampling itself so far."""
        until = self._end_ns or clock.now()
        return SensorReport(
            wall_s=seconds(until - self._start_ns),
            cpu_s=seconds(sum(self._cpu_ns)),
            sources=tuple(track.report(until) for track in self._tracks),
            absent=tuple(absent for track in self._tracks for absent in track.source.absent),
        )

    def _run(self, group: int, tracks: Sequence[_Track]) -> None:
        while tracks:
            due = min(track.due_ns for track in tracks)
            if self._stop.wait(max(0.0, seconds(due - clock.now()))):
                return
            for track in tracks:
                if track.due_ns <= clock.now():
                    samples = track.read()
                    self._samples.extend(samples)
                    track.note(samples)  # only now: who waits for a reading takes it next
            self._cpu_ns[group] = clock.thread_cpu()  # of waking up and putting away, too


class _Track:
    """One source on its way through time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.period_ns = round(source.period_s * NS_PER_S)
        self._start_ns = clock.now()
        self.due_ns = self.read_ns = self.closed_ns = self.silent = 0
        self.latest: dict[tuple[str, str], Sample] = {}
        self._reads = self._gaps = self._longest_ns = self._cpu_ns = 0

    def read(self) -> list[Sample]:
        start, cpu = clock.now(), clock.thread_cpu()
        readings = list(self.source.read())
        # A request over the network is answered for some instant between: the middle is off by half of the time at the most.
        t_ns = (start + clock.now()) // 2 if self.source.alone else start
        late = start - self.due_ns if self.due_ns else 0
        self._gaps += late > GAP_NS
        self._longest_ns = max(self._longest_ns, late)
        self._reads += 1
        behind = not self.due_ns or late > self.period_ns  # then the beat begins anew: missed reads are not made up for
        self.due_ns = (start if behind else self.due_ns) + self.period_ns
        samples = [one if isinstance(one, Sample) else Sample(t_ns, self.source.name, *one) for one in readings]
        samples = [sample for sample in samples if sample.t_ns > self.closed_ns]
        self._cpu_ns += clock.thread_cpu() - cpu
        return samples

    def note(self, samples: Sequence[Sample]) -> None:
        self.latest |= {(sample.source, sample.name): sample for sample in samples}
        self.silent = 0 if samples else self.silent + 1
        self.read_ns = max((sample.t_ns for sample in samples), default=self.read_ns)

    @property
    def reads_power(self) -> bool:
        return any(sample.scope in POWER_SCOPES for sample in list(self.latest.values()))

    def report(self, until_ns: int) -> SourceReport:
        late = until_ns - (self.due_ns or self._start_ns)  # of a read that hangs nothing else says so
        return SourceReport(
            name=self.source.name,
            period_s=self.source.period_s,
            reads=self._reads,
            gaps=self._gaps + (late > GAP_NS),
            longest_gap_s=seconds(max(self._longest_ns, late)),
            cpu_s=seconds(self._cpu_ns),
        )
