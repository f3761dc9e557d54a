from __future__ import annotations

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
    slower = [_visit(n, *(100.0 + n * 10 + k for k in range(8))) for n in range(12)]
    steady = [_visit(n, *(100.0 + k for k in range(8)), endpoint="b") for n in range(12)]
    faster = [_visit(n, *(300.0 - n * 10 + k for k in range(8)), endpoint="c") for n in range(12)]
    assert [seen.drift for seen in observation.seen([*slower, *steady, *faster])] == ["slower", "none seen", "faster"]


def test_too_few_requests_say_so() -> None:
    (seen,) = observation.seen([_visit(n, 100.0) for n in range(3)])
    assert (seen.drift, seen.ttft_p50.reason) == ("needs 10 more requests", "needs 8 more requests")
    assert observation.seen([]) == []


def test_all_servers_share_one_time_axis() -> None:
    visits = [_visit(n, *(float(n) for _ in range(11))) for n in range(6)]
    visits += [_visit(n, *(50.0 for _ in range(11)), endpoint="b") for n in (0, 5)]
    a, b = (observation.bins(sorted(visits, key=lambda visit: visit.round), name, 3) for name in ("a", "b"))
    assert [when[11:13] for when, _ in a] == ["00", "02", "04"] == [when[11:13] for when, _ in b]
    assert [estimate.value for _, estimate in a] == [0.5, 2.5, 4.5]
    assert [estimate.value for _, estimate in b] == [50.0, None, 50.0]
