from __future__ import annotations

import msgspec

from harness.measure.stopping import brief, stop
from harness.measure.trials import runs_of
from harness.schema.request import Record
from harness.schema.workload import Profile
from tests.measure.streams import back_to_back, cell, even, failed, keyed, profile, trial


def decide(done: list[list[Record]], elapsed_s: float = 10.0, *, concurrency: int = 1, **changes: object) -> str | None:
    wanted: Profile = profile(**changes)
    trials = [trial(index) for index in range(len(done))]
    of = cell(concurrency)
    return stop(wanted, [brief(of, run) for run in runs_of(of, trials, keyed(done))], elapsed_s)


def paced(*steps: float) -> list[list[Record]]:
    return [back_to_back(4, step=step) for step in steps]


def test_narrow_interval_ends_it() -> None:
    assert decide(paced(10, 10.01, 10.02)) == "target"


def test_wide_interval_goes_on() -> None:
    assert decide(paced(10, 11, 12)) is None
    assert decide(paced(10, 11, 12), target=0.5) == "target"


def test_target_is_about_the_half_width() -> None:
    """Rates of 100 ± 0.79 and three runs: the half-width is 4.303 · s/√3, 1.96 % of the mean."""
    spread = paced(*(1000 / rate for rate in (99.21, 100.0, 100.79)))
    assert decide(spread, target=0.0198) == "target"
    assert decide(spread, target=0.0194) is None


def test_least_runs_come_first() -> None:
    assert decide(paced(10, 10)) is None
    assert decide(paced(10, 10), runs=2, percentile=50) is None  # 8 requests, the median needs 11
    assert decide(paced(10, 10, 10)) == "target"


def test_percentile_floor_comes_first() -> None:
    assert decide(paced(10, 10, 10), percentile=90) is None
    assert decide([back_to_back(22)] * 3, percentile=90) == "target"


def test_excluded_requests_do_not_fill_the_floor() -> None:
    broken = [[*back_to_back(3), failed(5000, 10, index=3)] for _ in range(3)]
    assert decide(broken) is None


def test_without_target_the_runs_are_enough() -> None:
    assert decide(paced(10, 12), target=None) is None
    assert decide(paced(10, 12, 14), target=None) == "runs"
    assert decide(paced(10, 12, 14), target=None, percentile=99) == "runs"


def test_min_seconds() -> None:
    assert decide(paced(10, 10, 10), 59.0, min_seconds=60.0) is None
    assert decide(paced(10, 10, 10), 60.0, min_seconds=60.0) == "target"
    assert decide(paced(10, 12, 10, 12, 10, 12), 59.0, min_seconds=60.0) is None


def test_max_runs_and_budget() -> None:
    assert decide(paced(10, 12, 10, 12, 10, 12)) == "max_runs"
    assert decide(paced(10, 12), 100.0) == "budget"
    assert decide(paced(10, 10, 10), 100.0) == "target"


def test_nothing_that_counts_is_not_repeated_for_ever() -> None:
    assert decide([[failed(0, 10)]] * 2) is None
    assert decide([[failed(0, 10)]] * 3, min_seconds=60.0) == "runs"


def test_several_streams_are_judged_by_the_output() -> None:
    """Decode rates are all alike, but the system's output is not: one run pauses between its answers."""

    def pair(pause: float) -> list[Record]:
        return [even(k * (170 + pause) + slot, index=2 * k + slot) for k in range(4) for slot in (0, 1)]

    steady = [pair(0), pair(0), pair(0)]
    halting = [pair(0), pair(100), pair(200)]
    assert decide(steady, concurrency=2) == "target"
    assert decide(halting, concurrency=2) is None


def test_unknown_decode_rate_falls_back_to_the_output() -> None:
    bare = [[_uncounted(record) for record in run] for run in paced(10, 10, 10)]
    assert decide(bare) == "target"


def _uncounted(record: Record) -> Record:
    events = tuple(msgspec.structs.replace(event, tokens=None) for event in record.events)
    return msgspec.structs.replace(record, events=events)
