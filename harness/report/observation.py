"""What days of visits showed, as text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure import observation
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
    if charged := any(seen.usd is not None for seen in found):
        columns.append(("spent $", "right"))
    rows = [
        [
            escape(seen.endpoint),
            str(seen.visits),
            str(seen.missed),
            _share(seen.up),
            _share(seen.answered),
            *map(_ms, (seen.ttft_p50, seen.ttft_p99, seen.e2e_p50, seen.e2e_p99)),
            seen.drift,
            *(["" if seen.usd is None else f"{seen.usd:.4f}"] if charged else []),
        ]
        for seen in found
    ]
    parts = [text.fitted(columns, rows, width=width, color=color)]
    wrong = [
        f"{seen.endpoint}: {', '.join(f'{count} × {what}' for what, count in {**seen.errors, **seen.failures}.items())}"
        for seen in found
        if seen.errors or seen.failures
    ]
    parts += ["\n".join(text.wrapped(line, width=width) for line in wrong)] if wrong else []
    parts.append(_axis(visits, [seen.endpoint for seen in found], width, color))
    legend = (
        "up: visits with an answer. missed: nobody was asked. drift: the visits' median TTFT in the first third of them against the last "
        f"third. From {visits[0].when} to {visits[-1].when}."
    )
    parts.append(text.wrapped(legend, width=width))
    return "\n\n".join(parts)


def _axis(visits: Sequence[Visit], names: Sequence[str], width: int, color: bool) -> str:
    """TTFT medians of all servers on one time axis."""
    from rich.markup import escape

    each = [observation.bins(visits, name, PARTS) for name in names]
    columns: list[text.Column] = [("from (UTC)", "left"), *((f"{name} TTFT p50 ms", "right") for name in names)]
    rows = [
        [when[:16].replace("T", " "), *(escape(_ms(part[number][1])) for part in each)]
        for number, (when, _) in enumerate(each[0])
    ]
    return text.fitted(columns, rows, width=width, color=color)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ms(found: Estimate) -> str:
    if found.value is None:
        return (found.reason or "–").removesuffix(" requests")
    half = None if found.low is None or found.high is None else (found.high - found.low) / 2
    return text.number(found.value, half or None)
