"""Visits to servers over days → how often they answered, what went wrong, and whether they became slower. Pure."""

from __future__ import annotations

import datetime
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import msgspec
import numpy as np

from harness.measure import stats
from harness.measure.stats import Estimate
from harness.schema.observation import Visit

SPARE = 1.25
"""Of the requests that a percentile needs: some are lost."""


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
    decode_p50: Estimate
    """Tokens per second of one stream."""
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
    return [_seen(name, own, rounds) for name, own in by_server(visits).items()]


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
        decode_p50=_percentile(measured, "decode_tok_s", 50),
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
    values = [value for visit in visits for value in getattr(visit, field)]
    if not values and any(visit.answered for visit in visits):
        return Estimate(reason="not told")  # decode rates, by servers that count no tokens
    return stats.percentile(values, percent)


def _drift(first: Estimate, last: Estimate) -> str:
    """Only intervals that do not touch say anything."""
    if first.low is None or last.low is None or first.high is None or last.high is None:
        missing = first if first.low is None else last
        return missing.reason or "too few visits"
    if last.low > first.high:
        return "slower"
    return "faster" if last.high < first.low else "none seen"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some rounds of one server, one after the other."""

    start: float
    end: float
    """Seconds since 1970: of its first round's instant, and of the next part's."""
    rounds: int
    visits: tuple[Visit, ...]
    """Those that were made."""

    @property
    def missed(self) -> int:
        return self.rounds - len({visit.round for visit in self.visits})

    @property
    def whole(self) -> bool:
        """Somebody looked in every round, and something was measured."""
        return not self.missed and all(visit.answered for visit in self.visits)

    @property
    def share(self) -> float:
        """Of the requests that were to be answered, as a mean over visits: where nothing was sent, none was answered."""
        return sum(visit.answered / visit.sent if visit.sent else 0.0 for visit in self.visits) / (len(self.visits) or 1)

    def percentile(self, field: str, percent: float) -> Estimate:
        return _percentile(self.visits, field, percent)


def parts(own: Sequence[Visit], at: Sequence[float], size: int) -> list[Part]:
    """One server's rounds, `size` at a time. `at`: `instants` of the visits to all servers, the time axis that they share."""
    groups: dict[int, list[Visit]] = {}
    for visit in own:
        groups.setdefault(visit.round // size, []).append(visit)
    rounds = len(at) - 1
    return [
        Part(start=at[first], end=at[last], rounds=last - first, visits=tuple(groups.get(first // size, ())))
        for first in range(0, rounds, size)
        for last in [min(first + size, rounds)]
    ]


def by_server(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    """In the order of their first visits."""
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.endpoint, []).append(visit)
    return found


def instants(visits: Sequence[Visit]) -> list[float]:
    """When each round was, and when the one after the last would be, in seconds since 1970. Where nobody looked, evenly between."""
    known: dict[int, float] = {}
    for visit in visits:
        when = datetime.datetime.fromisoformat(visit.when).timestamp()
        known[visit.round] = min(when, known.get(visit.round, when))
    if not known:
        return []
    rounds = sorted(known)
    at: list[float] = np.interp(np.arange(rounds[-1] + 1), rounds, [known[number] for number in rounds]).tolist()
    return [*at, at[-1] + ((at[-1] - at[0]) / rounds[-1] if rounds[-1] else 60.0)]


def rounds_needed(visits: Sequence[Visit], percent: float) -> int:
    """How many rounds have enough requests for a percentile of a server that answers as often as these do, with some to spare."""
    answered = [visit.answered for visit in visits if visit.answered]
    return math.ceil(stats.requests_needed(percent) * SPARE * len(answered) / sum(answered)) if answered else 1


def equal_parts(at: Sequence[float], number: int) -> int:
    """Rounds of each, when there are to be at most so many."""
    return max(1, math.ceil((len(at) - 1) / number))


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Visits to one server, one after the other, at which the same went wrong."""

    endpoint: str
    first: Visit
    last: Visit
    visits: int
    what: dict[str, int]
    """Requests by their reason, or visits at which nothing was measured."""


def troubles(visits: Sequence[Visit]) -> list[Trouble]:
    """The newest first."""
    found = []
    for name, own in by_server(visits).items():
        for kind, group in groupby(own, _kind):
            if any(kind):
                run = list(group)
                found.append(Trouble(endpoint=name, first=run[0], last=run[-1], visits=len(run), what=wrong(run)))
    return sorted(found, key=lambda one: one.last.when, reverse=True)


def _kind(visit: Visit) -> tuple[str, ...]:
    return (visit.error, *sorted(visit.errors))


def wrong(visits: Sequence[Visit]) -> dict[str, int]:
    """Requests by the reason that they were not answered, and visits by why nothing was measured."""
    found = sum((Counter(visit.errors) for visit in visits), Counter[str]())
    return dict(found + Counter(visit.error for visit in visits if visit.error))


def limited(visit: Visit) -> bool:
    """The server said that it was asked too much."""
    return "http_429" in visit.errors or "HTTP 429" in visit.error
