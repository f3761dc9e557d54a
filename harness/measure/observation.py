"""Visits to servers over days → how often they answered, what went wrong, and whether they became slower. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from harness.measure import stats
from harness.measure.stats import Estimate
from harness.schema.observation import Visit


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one server."""

    endpoint: str
    visits: int
    missed: int
    """Instants that were asked for, up to the last visit of any server, at which nobody looked, or not to the end."""
    up: float | None
    """Share of visits at which at least one request was answered; None: no visit."""
    answered: float | None
    """Share of the requests sent; None: none was sent."""
    errors: dict[str, int]
    failures: dict[str, int]
    """Instants at which nothing was measured, by why."""
    ttft_p50: Estimate
    ttft_p99: Estimate
    e2e_p50: Estimate
    e2e_p99: Estimate
    first_p50: Estimate
    """Median over the first third of the visits, of each visit's median TTFT: requests of one visit are not independent of each other."""
    last_p50: Estimate
    """And of the last."""
    drift: str
    """`slower`, `faster`, `none seen`, or what is missing."""
    usd: float | None


def seen(visits: Sequence[Visit]) -> list[Seen]:
    """Each server in the order of its first visit."""
    rounds = max((visit.round for visit in visits), default=-1) + 1
    names = dict.fromkeys(visit.endpoint for visit in visits)
    return [_seen(name, [visit for visit in visits if visit.endpoint == name], rounds) for name in names]


def _seen(name: str, visits: list[Visit], rounds: int) -> Seen:
    looked = [visit for visit in visits if visit.asked]
    measured = [visit for visit in looked if not visit.error]
    sent = sum(visit.sent for visit in visits)
    third = len(looked) // 3
    first, last = _median_visit(looked[:third]), _median_visit(looked[len(looked) - third :])
    costs = [visit.usd for visit in visits if visit.usd is not None]
    return Seen(
        endpoint=name,
        visits=len(looked),
        missed=rounds - len({visit.round for visit in looked}),
        up=sum(visit.answered > 0 for visit in looked) / len(looked) if looked else None,
        answered=sum(visit.answered for visit in visits) / sent if sent else None,
        errors=dict(sum((Counter(visit.errors) for visit in visits), Counter())),
        failures=dict(Counter(visit.error for visit in visits if visit.error)),
        ttft_p50=_percentile(measured, "ttft_ms", 50),
        ttft_p99=_percentile(measured, "ttft_ms", 99),
        e2e_p50=_percentile(measured, "e2e_ms", 50),
        e2e_p99=_percentile(measured, "e2e_ms", 99),
        first_p50=first,
        last_p50=last,
        drift=_drift(first, last),
        usd=sum(costs) if costs else None,
    )


def _median(visits: Sequence[Visit]) -> Estimate:
    return _percentile(visits, "ttft_ms", 50)


def _median_visit(visits: Sequence[Visit]) -> Estimate:
    found = stats.percentile([statistics.median(visit.ttft_ms) for visit in visits if visit.ttft_ms], 50)
    return msgspec.structs.replace(found, reason=found.reason and found.reason.replace("request", "visit"))


def _percentile(visits: Sequence[Visit], field: str, percent: float) -> Estimate:
    return stats.percentile([value for visit in visits for value in getattr(visit, field)], percent)


def _drift(first: Estimate, last: Estimate) -> str:
    """Only intervals that do not touch say anything."""
    if first.low is None or last.low is None or first.high is None or last.high is None:
        missing = first if first.low is None else last
        return missing.reason or "too few visits"
    if last.low > first.high:
        return "slower"
    return "faster" if last.high < first.low else "none seen"


def bins(visits: Sequence[Visit], endpoint: str, number: int) -> list[tuple[str, Estimate]]:
    """(first instant, TTFT median) of so many equal parts of the rounds, for a time axis that all servers share."""
    rounds = max((visit.round for visit in visits), default=-1) + 1
    size = max(1, -(-rounds // number))
    found = []
    for start in range(0, rounds, size):
        part = [visit for visit in visits if start <= visit.round < start + size]
        if part:
            found.append((part[0].when, _median([visit for visit in part if visit.endpoint == endpoint])))
    return found
