"""What is said of servers that were visited for days."""

from __future__ import annotations

import math
import random

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


def test_all_servers_share_one_time_axis() -> None:
    visits = [_visit(n, *(float(n) for _ in range(11))) for n in range(6)]
    visits += [_visit(n, *(50.0 for _ in range(11)), endpoint="b") for n in (0, 5)]
    a, b = (observation.bins(sorted(visits, key=lambda visit: visit.round), name, 3) for name in ("a", "b"))
    assert [when[11:13] for when, _ in a] == ["00", "02", "04"] == [when[11:13] for when, _ in b]
    assert [estimate.value for _, estimate in a] == [0.5, 2.5, 4.5]
    assert [estimate.value for _, estimate in b] == [50.0, None, 50.0]
