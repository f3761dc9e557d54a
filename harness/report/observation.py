"""What days of visits showed, as text."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from harness.measure import observation
from harness.measure.observation import Part
from harness.measure.stats import Estimate
from harness.report import text
from harness.schema.observation import Visit

PARTS = 12
"""Of the time axis."""


def summary(visits: Sequence[Visit], *, width: int, color: bool) -> str:
    from rich.markup import escape

    if not visits:
        return "Nothing was observed yet."
    found = observation.seen(visits)
    charged = any(seen.usd is not None for seen in found)
    columns: list[text.Column] = [
        ("endpoint", "left"),
        ("visits", "right"),
        ("missed", "right"),
        ("up", "right"),
        ("answered", "right"),
        ("TTFT p50 ms", "right"),
        ("TTFT p99 ms", "right"),
        ("call p50 ms", "right"),
        ("call p99 ms", "right"),
        ("drift", "left"),
    ]
    if charged:
        columns.append(("spent $", "right"))
    rows = [
        [
            escape(seen.endpoint),
            str(seen.visits),
            str(seen.missed),
            share(seen.up),
            share(seen.answered),
            *map(ms, (seen.ttft_p50, seen.ttft_p99, seen.e2e_p50, seen.e2e_p99)),
            seen.drift,
            *(["–" if seen.usd is None else f"{seen.usd:.4f}"] if charged else []),
        ]
        for seen in found
    ]
    parts = [text.fitted(columns, rows, width=width, color=color)]
    wrong = [f"{seen.endpoint}: {counted({**seen.errors, **seen.failures})}" for seen in found if seen.errors or seen.failures]
    parts += ["\n".join(text.wrapped(line, width=width) for line in wrong)] if wrong else []
    parts.append(_axis(visits, width, color))
    legend = (
        "up: visits with an answer. missed: nobody was asked. drift: the visits' median TTFT in the first third of them against the last "
        f"third. From {visits[0].when} to {visits[-1].when}."
    )
    parts.append(text.wrapped(legend, width=width))
    return "\n\n".join(parts)


def _axis(visits: Sequence[Visit], width: int, color: bool) -> str:
    """TTFT medians of all servers on one time axis."""
    from rich.markup import escape

    at = observation.instants(visits)
    size = observation.equal_parts(at, PARTS)
    servers = observation.by_server(visits)
    each = [observation.parts(own, at, size) for own in servers.values()]
    columns: list[text.Column] = [("from (UTC)", "left"), *((f"{escape(name)} TTFT p50 ms", "right") for name in servers)]
    rows = [
        [minute(own[0].start), *("–" if not part.visits else escape(ms(part.percentile("ttft_ms", 50))) for part in own)]
        for own in zip(*each, strict=True)
    ]
    return text.fitted(columns, rows, width=width, color=color)


def happened(part: Part) -> str:
    """`22 of 24 requests answered in 3 visits; 2 × http_429`."""
    if not part.visits:
        return "nobody looked"
    answered, sent = sum(visit.answered for visit in part.visits), sum(visit.sent for visit in part.visits)
    wrong = observation.wrong(part.visits)
    return (
        (f"{answered} of {sent} requests answered" if sent else "nothing could be sent")
        + (f" in {len(part.visits)} visits" if len(part.visits) > 1 else "")
        + (f", {part.missed} missed" if part.missed else "")
        + (f"; {counted(wrong)}" if wrong else "")
    )


def counted(what: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {each}" for each, count in what.items())


def minute(at: float) -> str:
    """Seconds since 1970 → UTC."""
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%d %H:%M}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def ms(found: Estimate) -> str:
    if found.value is None:
        return (found.reason or "–").removesuffix(" requests")
    half = None if found.low is None or found.high is None else (found.high - found.low) / 2
    return text.number(found.value, half or None)
