"""What is said of servers that were visited for days."""

from __future__ import annotations

import datetime
import math
import random

import msgspec
import pytest
from msgspec.structs import replace

from harness.measure import observation
from harness.schema.observation import Visit


def _visit(number: int, *ttft_ms: float, endpoint: str = "a", error: str = "", errors: dict[str, int] | None = None) -> Visit:
    lost = sum((errors or {}).values())
    return Visit(
        endpoint=endpoint,
        round=number,
        when=f"2026-11-25T{number:02d}:00:00+00:00",
        error=error,
        sent=len(ttft_ms) + lost,
        answered=len(ttft_ms),
        errors=errors or {},
        ttft_ms=ttft_ms,
        e2e_ms=tuple(value * 2 for value in ttft_ms),
        usd=0.25,
    )


def test_availability_is_of_visits_and_of_requests() -> None:
    visits = [
        _visit(0, 10.0, 11.0),
        _visit(1, 10.0, errors={"http_429": 3}),
        _visit(2, error="it does not answer"),
        _visit(3, errors={"timeout": 2}),
        _visit(5, 12.0, endpoint="b"),
    ]
    a, b = observation.seen(visits)
    assert (a.visits, a.missed, a.up, a.answered) == (4, 2, 0.5, 3 / 8)
    assert (a.errors, a.failures, a.usd) == ({"http_429": 3, "timeout": 2}, {"it does not answer": 1}, 1.0)
    assert (b.visits, b.missed, b.up) == (1, 5, 1.0)


def test_a_server_that_becomes_slower_is_seen_and_one_that_does_not_is_not() -> None:
    slower = [_visit(n, *(100.0 + n * 10 + k for k in range(8))) for n in range(36)]
    steady = [_visit(n, *(100.0 + k for k in range(8)), endpoint="b") for n in range(36)]
    faster = [_visit(n, *(900.0 - n * 10 + k for k in range(8)), endpoint="c") for n in range(36)]
    assert [seen.drift for seen in observation.seen([*slower, *steady, *faster])] == ["slower", "none seen", "faster"]


def test_a_server_that_is_only_uneven_does_not_drift() -> None:
    """Requests of one visit share its fortune: counted one by one, 21 to 30 % of such servers were called slower or faster."""
    chance = random.Random(1)
    said = []
    for _ in range(200):
        moods = [100 * math.exp(chance.gauss(0, 0.3)) for _ in range(99)]
        visits = [_visit(n, *(mood * math.exp(chance.gauss(0, 0.05)) for _ in range(8))) for n, mood in enumerate(moods)]
        said += [seen.drift for seen in observation.seen(visits)]
    assert said.count("none seen") >= 0.95 * len(said)


def test_where_nobody_was_asked_nothing_is_said_of_the_server() -> None:
    """The sum was used up, or somebody pressed Ctrl-C: the server was not down."""
    held = replace(_visit(1, error="a visit may cost $1.00"), asked=False)
    (seen,) = observation.seen([_visit(0, 10.0), held, _visit(2, 10.0)])
    assert (seen.visits, seen.missed, seen.up, seen.failures) == (2, 1, 1.0, {"a visit may cost $1.00": 1})


def test_too_few_requests_say_so() -> None:
    (seen,) = observation.seen([_visit(n, 100.0) for n in range(3)])
    assert (seen.drift, seen.ttft_p50.reason) == ("needs 10 more visits", "needs 8 more requests")
    assert observation.seen([]) == []


def test_all_servers_share_one_time_axis_that_shows_where_nobody_looked() -> None:
    """Rounds an hour apart; nobody looked in rounds 2 and 3, and b only in the first and the last."""
    visits = [_visit(n, *(float(n) for _ in range(11))) for n in (0, 1, 4, 5)]
    visits += [_visit(n, *(50.0 for _ in range(11)), endpoint="b") for n in (0, 5)]
    visits.sort(key=lambda visit: visit.round)
    at = observation.instants(visits)
    start = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC).timestamp()
    assert at == [start + 3600 * hour for hour in range(7)]
    a, b = (observation.parts(own, at, 2) for own in observation.by_server(visits).values())
    assert [(part.start, part.end) for part in a] == [(part.start, part.end) for part in b]
    assert [part.percentile("ttft_ms", 50).value for part in a] == [0.5, None, 4.5]
    assert [part.percentile("ttft_ms", 50).value for part in b] == [50.0, None, 50.0]
    assert [(part.missed, part.whole) for part in (*a, *b)] == [
        (0, True),
        (2, False),
        (0, True),
        (1, False),
        (2, False),
        (1, False),
    ]
    assert [len(observation.parts(a[0].visits, at, size)) for size in (1, 4, 100)] == [6, 2, 1]


def test_one_round_has_a_length() -> None:
    first, end = observation.instants([_visit(0, 1.0)])
    assert end > first
    assert observation.instants([]) == []


def test_a_round_is_when_its_first_visit_was() -> None:
    late = msgspec.structs.replace(_visit(1, 1.0, endpoint="b"), when="2026-11-25T01:05:00+00:00")
    zero, one, _ = observation.instants([_visit(0, 1.0), _visit(1, 1.0), late])
    assert one - zero == 3600


def test_a_part_is_as_well_as_its_visits() -> None:
    """By hand: all of 2, 1 of 4, none of a visit that failed: (1 + 1/4 + 0) / 3."""
    visits = [_visit(0, 1.0, 2.0), _visit(1, 1.0, errors={"http_429": 3}), _visit(2, error="HTTP 429 to a question")]
    (part,) = observation.parts(visits, observation.instants(visits), 3)
    assert part.share == pytest.approx(5 / 12)
    assert not part.whole
    assert [observation.limited(visit) for visit in visits] == [False, True, True]


def test_a_percentile_takes_as_many_rounds_as_have_its_requests_with_a_quarter_to_spare() -> None:
    """p50 needs 11 and p99 662 requests; here 8 a visit."""
    visits = [_visit(n, *map(float, range(8))) for n in range(3)]
    assert [observation.rounds_needed(visits, percent) for percent in (50, 99)] == [2, 104]
    assert observation.rounds_needed([_visit(0, error="down")], 99) == 1


def test_troubles_are_stretches_of_the_same() -> None:
    visits = [
        _visit(0, 1.0),
        _visit(1, 1.0, errors={"http_429": 2}),
        _visit(2, 1.0, errors={"http_429": 3}),
        _visit(2, 1.0, endpoint="b"),
        _visit(3, error="it does not answer"),
        _visit(4, 1.0),
    ]
    found = [(one.endpoint, one.first.round, one.last.round, one.visits, one.what) for one in observation.troubles(visits)]
    assert found == [("a", 3, 3, 1, {"it does not answer": 1}), ("a", 1, 2, 2, {"http_429": 5})]


def test_a_decode_rate_that_no_server_told_is_not_lacking_requests() -> None:
    (seen,) = observation.seen([_visit(n, *map(float, range(8))) for n in range(3)])
    assert (seen.decode_p50.value, seen.decode_p50.reason) == (None, "not told")
