"""What `harness reproduce` prints: each published figure beside what was measured of it, cell by cell, and what is not the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.report import text
from harness.schema.reproduction import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Claim, Comparison, Reproduction

STYLES = {REPRODUCED: "green", NOT_REPRODUCED: "red", INCONCLUSIVE: "yellow"}
COLUMNS: list[text.Column] = [
    ("figure", "left"),
    ("measured", "right"),
    ("published", "right"),
    ("ratio", "right"),
    ("verdict", "left"),
]
NO_CELL = "no cell"
LEGEND = (
    "measured: mean over runs with its 95 % interval. ratio: measured by published, with the 90 % interval that two one-sided tests at 5 % "
    "look at. reproduced: it lies within ±3 %, or the measured one within a published interval. docs/reproduce.md explains it."
)


def render(found: Reproduction, *, path: Path, width: int, color: bool) -> str:
    """`path` is where the result lies."""
    return "\n\n".join(_parts(found, path, width, color))


def _parts(found: Reproduction, path: Path, width: int, color: bool) -> Iterator[str]:
    from rich.markup import escape

    sources = list(dict.fromkeys(_source(each.claim) for each in found.comparisons))
    marks = {source: f"[{number}]" for number, source in enumerate(sources, 1)}
    groups: dict[str, list[list[str]]] = {}
    for each in found.comparisons:
        measured = text.figure(each.measured) if each.measured else ""
        published = f"{_published(each.claim)} {marks[_source(each.claim)]}"
        row = [f"  {escape(each.claim.metric)}", measured, published, _ratio(each), _verdict(each.verdict, color)]
        groups.setdefault(_cell(each.claim) or NO_CELL, []).append(row)
    rows = [row for cell, rows in groups.items() for row in ([cell, "", "", "", ""], *rows)]
    yield text.table(COLUMNS, rows, width=width, color=color)
    yield _block("Published", (f"{mark} {source}" for source, mark in marks.items()), width)
    yield _block("Why", _reasons(found, marks), width)
    if found.differences:
        said = (f"{each.what}: {each.then or 'not there'} → {each.now or 'not there'}" for each in found.differences)
        yield _block("Not the same as then", said, width)
    if found.notes:
        yield _block("To be known of this run", found.notes, width)
    facts = [f"Measured {found.result}, {path} (harness results show {found.result})", LEGEND]
    yield "\n".join(text.wrapped(fact, width=width) for fact in facts)


def _cell(claim: Claim) -> str:
    """Its id in words: `pp2048 tg128 c1`."""
    return (claim.cell or "").removeprefix("d0-").replace("-", " ")


def _published(claim: Claim) -> str:
    """The value, its range, or both."""
    half = (claim.high - claim.low) / 2 if claim.low is not None and claim.high is not None else None
    if claim.runs and half is not None and claim.value is not None:
        return f"{text.number(claim.value, half)} ±{text.number(half, half)}"
    span = f"{claim.low:,g} to {claim.high:,g}" if half is not None else ""
    return span if claim.value is None else f"{claim.value:,g} ({span})" if span else f"{claim.value:,g}"


def _ratio(comparison: Comparison) -> str:
    """`0.998 ±0.004`, or both ends where they are not as far from it."""
    ratio, low, high = comparison.ratio, comparison.ratio_low, comparison.ratio_high
    if ratio is None or low is None or high is None:
        return "" if ratio is None else f"{ratio:.3f}"
    even = abs(high - ratio - (ratio - low)) < 5e-4
    return f"{ratio:.3f} ±{max((high - low) / 2, 0.001):.3f}" if even else f"{ratio:.3f} ({low:.3f} to {high:.3f})"


def _reasons(found: Reproduction, marks: Mapping[str, str]) -> Iterator[str]:
    """The same of several figures once, and which of our figures stands for one that is published under another name."""
    said: dict[str, list[str]] = {}
    for each in found.comparisons:
        name = " ".join(filter(None, (each.claim.metric, _cell(each.claim), marks[_source(each.claim)])))
        said.setdefault(f"{each.verdict}: {each.reason}", []).append(name)
    yield from (f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in said.items())
    for metric, ours in dict.fromkeys((each.claim.metric, each.claim.compared) for each in found.comparisons):
        if metric != ours:
            yield f"{metric} is compared with {ours}, which counts as published tables do (docs/metrics.md)"


def _source(claim: Claim) -> str:
    return f"{claim.source}, {claim.date}{f': {claim.conditions}' if claim.conditions else ''}"


def _block(head: str, lines: Iterable[str], width: int) -> str:
    return "\n".join([head, *(text.wrapped(line, width=width, indent="  ") for line in lines)])


def _verdict(verdict: str, color: bool) -> str:
    return f"[{STYLES[verdict]}]{verdict}[/]" if color and verdict in STYLES else verdict
