"""The sampler: cadence, gaps, cost, and that a span's readings are complete when it says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import clock
from harness.schema.sensors import Absent, Sample
from harness.sense.base import Reading
from harness.sense.cpu import Cpu
from harness.sense.memory import Memory
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S

pytestmark = pytest.mark.quiet


class Beat:
    """Counts its reads; the one called `slow` takes that long."""

    absent: tuple[Absent, ...] = (Absent(source="beat", scope="gpu", code="not_supported", text="no energy"),)

    def __init__(self, period_s: float = 0.02, *, alone: bool = False, hangs_s: float = 0.0) -> None:
        self.name, self.period_s, self.alone, self.hangs_s = f"beat{period_s}", period_s, alone, hangs_s
        self.reads, self.closed = 0, False

    def read(self) -> Iterator[Reading]:
        self.reads += 1
        if self.hangs_s:
            clock.sleep(self.hangs_s)
        yield "gpu", "gpu0.power", float(self.reads), "W"

    def close(self) -> None:
        self.closed = True


class Logged(Beat):
    """Hands out samples that were taken earlier."""

    def __init__(self, ago_ns: int) -> None:
        super().__init__(0.05, alone=True)
        self._ago_ns = ago_ns

    def read(self) -> Iterator[Sample]:  # type: ignore[override]  # which the protocol allows
        yield Sample(clock.now() - self._ago_ns, "log", "wall", "plug.power", 1.0, "W")


def test_each_source_has_its_cadence() -> None:
    fast, slow = Beat(0.02), Beat(0.2)
    with Sampler((fast, slow)) as sampler:
        clock.sleep(1.0)
        report = sampler.report()
    assert 3 <= fast.reads / slow.reads <= 15
    assert [one.reads for one in report.sources] == pytest.approx([fast.reads, slow.reads], abs=2)
    assert report.absent == Beat.absent * 2
    assert 0 < report.cpu_s < report.wall_s
    assert fast.closed
    assert slow.closed
    assert threading.active_count() < 10


def test_take_gives_every_sample_once_in_order() -> None:
    with Sampler((Beat(0.01), Beat(0.03, alone=True))) as sampler:
        taken = []
        for _ in range(5):
            clock.sleep(0.1)
            taken.append(sampler.take())
    samples = [sample for part in taken for sample in part]
    by_source = {name: [s.value for s in samples if s.source == name] for name in ("beat0.01", "beat0.03")}
    for values in by_source.values():
        assert values == [float(number) for number in range(1, len(values) + 1)]
    assert all(part == sorted(part, key=lambda sample: sample.t_ns) for part in taken)


def test_one_that_hangs_holds_up_no_other() -> None:
    fast, hangs = Beat(0.02), Beat(0.05, alone=True, hangs_s=0.5)
    with Sampler((fast, hangs)) as sampler:
        clock.sleep(1.2)
        report = {source.name: source for source in sampler.report().sources}
    assert fast.reads > 5 * hangs.reads
    assert report["beat0.02"].gaps == 0


def test_a_late_read_moves_no_later_one() -> None:
    """A neighbour takes 30 ms now and then: reads that come late for it do not add up."""
    beat = Beat(0.05)
    with Sampler((beat, Beat(0.07, hangs_s=0.03))):
        clock.sleep(3.0)
    assert beat.reads >= 0.93 * 60


def test_a_slow_answer_is_of_the_middle_of_its_time() -> None:
    """Over the network; what answers at once is read when its turn begins."""
    with Sampler((Beat(5.0, hangs_s=0.4), Beat(6.0, alone=True, hangs_s=0.4))) as sampler:
        start = clock.now()
        clock.sleep(0.8)
        late = {sample.source: (sample.t_ns - start) / NS_PER_S for sample in sampler.take()}
    assert late == pytest.approx({"beat5.0": 0.0, "beat6.0": 0.2}, abs=0.1)


def test_gaps_are_counted() -> None:
    with Sampler((Beat(0.05, hangs_s=1.3),)) as sampler:
        clock.sleep(3.0)
        (report,) = sampler.report().sources
    assert report.gaps >= 1
    assert report.longest_gap_s > 1


def test_a_read_that_never_ends_is_a_gap() -> None:
    """At the first time, and later on."""

    class Stuck(Beat):
        most = 0

        def read(self) -> Iterator[Reading]:
            if self.reads == self.most:
                over.wait(10)
            yield from super().read()

    over, first, later = threading.Event(), Stuck(alone=True), Stuck(alone=True)
    later.most = 3
    with Sampler((first, later)) as sampler:
        clock.sleep(1.5)
        reports = sampler.report().sources
        over.set()
    assert [(report.reads, report.gaps) for report in reports] == [(0, 1), (3, 1)]
    assert all(1 < report.longest_gap_s < 2.5 for report in reports)


def test_after_its_end_the_report_stays_the_same() -> None:
    with Sampler((Beat(0.02),)) as sampler:
        clock.sleep(0.1)
    before = sampler.report()
    clock.sleep(1.2)
    assert sampler.report() == before


def test_the_cost_is_all_that_its_threads_use() -> None:
    with Sampler((Memory(), Cpu(), Beat(0.005), Beat(0.006, alone=True))) as sampler:
        clock.sleep(2.0)
        threads = [thread.native_id for thread in threading.enumerate() if thread.name == "sampler"]
        used_ns = sum(int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) for thread in threads)
        report = sampler.report()
    assert report.cpu_s == pytest.approx(used_ns / NS_PER_S, rel=0.15)
    assert sum(source.cpu_s for source in report.sources) < report.cpu_s


def test_after_waiting_every_source_has_a_reading_past_the_instant() -> None:
    with Sampler((Beat(0.05), Beat(0.3), Logged(0))) as sampler:
        clock.sleep(0.1)
        now = clock.now()
        sampler.wait_past(now)
        last = {sample.source: sample.t_ns for sample in sampler.take()}
    assert all(t_ns > now for t_ns in last.values())
    assert len(last) == 3


def test_what_comes_after_all_is_dropped() -> None:
    """A log that is four seconds behind: the span was worked out without it, and must come out the same again."""
    with Sampler((Logged(4 * NS_PER_S),)) as sampler:
        end = clock.now()
        sampler.wait_past(end)
        assert clock.since(end) > 2.9
        sampler.take()
        clock.sleep(0.2)
        assert sampler.take() == []


def test_one_that_says_nothing_is_not_waited_for() -> None:
    class Dead(Beat):
        def read(self) -> Iterator[Reading]:
            yield from ()

    with Sampler((Dead(0.02),)) as sampler:
        clock.sleep(0.3)
        start = clock.now()
        sampler.wait_past(start)
        assert clock.since(start) < 1.5


def test_one_that_has_fallen_silent_is_not_waited_for() -> None:
    class Dying(Beat):
        def read(self) -> Iterator[Reading]:
            if self.reads < 3:
                yield from super().read()

    with Sampler((Dying(0.02),)) as sampler:
        clock.sleep(0.5)
        start = clock.now()
        sampler.wait_past(start)
        assert clock.since(start) < 1.5
        assert len(sampler.take()) == 3


def test_the_real_ones() -> None:
    with Sampler((Memory(), Cpu())) as sampler:
        clock.sleep(0.2)
        latest = {name: sample.value for (_, name), sample in sampler.latest().items()}
    assert latest["memory.available"] > 2**27
    assert latest["cpu.busy"] > 0
