"""Assessments against the Cloud Sovereignty Framework as text: a line for each, or one with every answer and its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.measure import sovereignty
from harness.report import text
from harness.report.facts import known
from harness.schema.facts import Criterion, Facts
from harness.schema.sovereignty import Answer, Assessment, Evidence

DISCLAIMER = (
    "Self-assessed against the EU Cloud Sovereignty Framework v1.2.1 from public facts; no authority has awarded anything. Each span "
    "runs from every unknown answer at its worst to every one at its best. The weights of v1.2.1 presume the other safeguards of a "
    "tender. docs/sovereignty.md"
)


def table(rows: Mapping[str, Sequence[Assessment]], *, width: int, color: bool) -> str:
    """A line for each; its assessments are by profile, the default one first."""
    profiles = [each.profile for each in next(iter(rows.values()), ())]
    columns: list[text.Column] = [
        ("who", "left"),
        *((_short(profile), "right") for profile in profiles),
        ("answered", "right"),
        ("SEAL", "right"),
        ("SOV-2", "right"),
        ("SOV-3", "right"),
    ]
    lines = []
    for who, found in rows.items():
        first = found[0]
        answered, criteria = sum(part.answered for part in first.parts), sum(part.criteria for part in first.parts)
        legal, data = (_span(first.parts[at].seal_low, first.parts[at].seal_high) for at in (1, 2))
        scores = [f"{each.low:.0f}–{each.high:.0f}" for each in found]
        lines.append([who, *scores, f"{answered} of {criteria}", _span(first.seal_low, first.seal_high), legal, data])
    drawn = text.table(columns, lines, width=width, color=color)
    said = (
        f"{', '.join(map(_short, profiles))}: score of 100 by the weights {', '.join(profiles)}. "
        "SEAL: level 0 to 4, of all and of SOV-2 (law) and SOV-3 (data). "
    )
    return f"{drawn}\n\n{text.wrapped(said + DISCLAIMER, width=width)}"


def one(who: str, found: Sequence[Assessment], facts: Facts, *, width: int, color: bool) -> str:
    """By objective, and each answer with what it rests on."""
    criteria = {each.id: each for each in facts.criteria if each.framework == found[0].framework}
    columns: list[text.Column] = [
        ("objective", "left"),
        *((f"% {_short(each.profile)}", "right") for each in found),
        ("score", "right"),
        ("SEAL", "right"),
        ("answered", "right"),
    ]
    lines = [
        [
            part.id,
            *("" if each.parts[at].weight is None else f"{each.parts[at].weight:g}" for each in found),
            f"{part.low:.0%}–{part.high:.0%}",
            _span(part.seal_low, part.seal_high),
            f"{part.answered} of {part.criteria}",
        ]
        for at, part in enumerate(found[0].parts)
    ]
    said = [
        f"{each.low:.1f} to {each.high:.1f} of 100, {sovereignty.name(each.profile)}, {each.coverage:.0f} % of the weight answered"
        for each in found
    ]
    parts = [
        who,
        "",
        *said,
        f"{sovereignty.seal(found[0].seal_low, found[0].seal_high)}, self-assessed",
        "",
        text.table(columns, lines, width=width, color=color),
    ]
    for answer in found[0].answers:
        if answer.evidence:
            parts += ["", *(text.wrapped(line, width=width) for line in _answer(answer, criteria[answer.criterion]))]
    return "\n".join([*parts, "", text.wrapped(DISCLAIMER, width=width)])


def _answer(answer: Answer, criterion: Criterion) -> Iterator[str]:
    seals = criterion.seals.value
    level = f", SEAL-{_span(seals[answer.low], seals[answer.high])}" if seals else ""
    most = sovereignty.best(criterion) + 1
    yield f"{criterion.id} {criterion.title}: answer {_span(answer.low + 1, answer.high + 1)} of {most}{level}"
    for evidence in answer.evidence:
        yield from _evidence(evidence, most)


def _evidence(evidence: Evidence, most: int) -> Iterator[str]:
    yield f"  {_span(evidence.low + 1, evidence.high + 1)} of {most}: {evidence.why}"
    for column, fact in zip(evidence.columns, evidence.facts, strict=True):
        yield f"    {column}: {known(fact)}{f' ({fact.note})' if fact.note else ''}"
        for source in fact.sources:
            quote = f"“{source.quote}” " if source.quote else ""
            yield f"      {quote}{source.url} ({source.kind}, {source.date})"


def _short(profile: str) -> str:
    return profile.removeprefix("csf-").removeprefix("guidance-")


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}–{high}"
