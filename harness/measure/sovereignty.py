"""The EU's Cloud Sovereignty Framework (CSF) applied to what is known: score and assurance level as intervals, self-assessed.

Score = Σ Score(SOVn)/Max(SOVn) × Weight(SOVn), as v1.2.1 has it in section 5, over the criteria and points of the calculator of 2026-06-01.
An answer that is not known may be any; one of which something is known may be any that agrees with all evidence. Every criterion has the
share of its objective that its points have. The level (SEAL) is the lowest that any criterion's answer allows. docs/sovereignty.md says
what neither of them is.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from harness.measure import egress
from harness.measure.sovereignty_rules import IN, LOCAL, OUT, PROVIDER, SOME, Rule
from harness.schema.board import Entry
from harness.schema.facts import ASKED, MEASURED, Criterion, Fact, Facts, Provider, Source, claims
from harness.schema.result import Summary
from harness.schema.sovereignty import Answer, Assessment, Evidence, Part

CSF = "CSF"
PROFILES = ("csf-guidance-2026-06", "csf-1.2.1")
"""The default first."""
OBJECTIVES = 8
HIGHEST = 4
NOT_STARTED = "the harness did not start the server"
EEA = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO".split())  # noqa: SIM905
"""Member states and the rest of the European Economic Area, which the calculator counts as inside; ISO 3166 alpha-2."""

Known = Mapping[str, Fact[Any]]
"""Facts of one row, by the names that rules have for them."""


def of_provider(provider: Provider) -> dict[str, Fact[Any]]:
    """Its claims, and where its parent company sits."""
    known = dict(claims(provider))
    return known | {
        "seat": _in_or_out(provider.parent_seat),
        "certifications": _any(provider.certifications),
        "dpa": _any(provider.dpa),
    }


def of_result(summary: Summary, facts: Facts, *, seat: str | None, day: datetime.date) -> dict[str, Fact[Any]]:
    """Of a run on a machine of one's own. `seat`: the country whose people or companies own it and where it stands, which only its owner
    can say; None: was not said. `day`: today, when it was said. Of a server that the harness did not start, nothing is known but that it
    answered: it may be anybody's."""
    chip = next((chip for chip in facts.chips if chip.gpu.removeprefix("NVIDIA ") == summary.hardware), None)
    model = next((model for model in facts.models if summary.model == model.id or summary.model in model.weights), None)
    maker = next((row for row in facts.providers if model and row.provider == model.maker), None)
    engine = next((row for row in facts.engine_code if row.engine == summary.engine), None)
    said = Source(url="--seat", kind=ASKED, date=day)
    run = Source(url=f"result {summary.id}", kind=MEASURED, date=datetime.date.fromisoformat(summary.started[:10]))
    left = egress.entry(summary)
    no_chip = f"nothing is known of {summary.hardware or 'the machine'}"
    none = Fact[Any](why=f"no facts name the model {summary.model}")
    found: dict[str, Fact[Any]] = {
        "seat": _in_or_out(Fact(value=seat.upper(), sources=(said,)) if seat else Fact(why="not said (--seat)")),
        "leaves": Fact(value=left.value, sources=(run,), note=left.how) if left.value else Fact(why=left.why),
        "interface": Fact(value="chat completions", sources=(run,)) if summary.points else Fact(why="nothing was measured"),
        "weights": model.open_weights if model else none,
        "licence": model.licence if model else none,
        "model_seat": _in_or_out(maker.parent_seat) if maker else Fact(why="no facts say where the model's maker sits"),
        "chip_seat": _in_or_out(chip.maker_seat) if chip else Fact(why=no_chip),
        "made_in_eu": chip.made_in_eu if chip else Fact(why=no_chip),
        "chip_software_open": chip.software_open if chip else Fact(why=no_chip),
        "engine_open": engine.open_source if engine else Fact(why=f"no facts name the engine {summary.engine}"),
    }
    if summary.launched:
        return found
    return {name: found[name] if name == "interface" else Fact(why=NOT_STARTED) for name in found}


def api(provider: Provider, facts: Facts, profile: str = PROFILES[0]) -> Assessment:
    return assess(PROVIDER, of_provider(provider), facts, profile)


def local(summary: Summary, facts: Facts, *, seat: str | None, day: datetime.date, profile: str = PROFILES[0]) -> Assessment:
    return assess(LOCAL, of_result(summary, facts, seat=seat, day=day), facts, profile)


def assess(rules: Iterable[Rule], known: Known, facts: Facts, profile: str) -> Assessment:
    criteria = [each for each in facts.criteria if each.framework == CSF]
    answers = {each.id: _answer(each, rules, known) for each in criteria}
    weighting = next((each for each in facts.weightings if (each.framework, each.profile) == (CSF, profile)), None)
    weights = weighting.weights.value if weighting and weighting.weights.sources else None
    parts = tuple(
        _part(number, weights[number - 1] if weights else None, criteria, answers) for number in range(1, OBJECTIVES + 1)
    )
    return Assessment(
        framework=CSF,
        profile=profile,
        low=sum(part.weight * part.low for part in parts if part.weight is not None),
        high=sum(part.weight * part.high for part in parts if part.weight is not None) if weights else 100.0,
        coverage=sum(part.weight * _covered(part.id, criteria, answers) for part in parts if part.weight is not None),
        seal_low=min(part.seal_low for part in parts),
        seal_high=min(part.seal_high for part in parts),
        parts=parts,
        answers=tuple(answers.values()),
    )


def best(criterion: Criterion) -> int:
    """Its best answer; 0 where its ladder is not known."""
    return len(criterion.points.value or (0,)) - 1


def _answer(criterion: Criterion, rules: Iterable[Rule], known: Known) -> Answer:
    evidence = []
    for rule in (each for each in rules if each.criterion == criterion.id):
        facts = [known[name] for name in rule.columns if name in known]
        values = tuple(fact.value for fact in facts if fact.value is not None and fact.sources)
        if len(values) == len(rule.columns) and (span := rule.spans.get(values)):
            low, high = span
            evidence.append(Evidence(columns=rule.columns, facts=tuple(facts), low=low, high=high, why=rule.why))
    return Answer(
        criterion=criterion.id,
        low=max((each.low for each in evidence), default=0),
        high=min((each.high for each in evidence), default=best(criterion)),
        evidence=tuple(evidence),
    )


def _part(number: int, weight: float | None, criteria: Iterable[Criterion], answers: Mapping[str, Answer]) -> Part:
    mine = [each for each in criteria if each.id.startswith(f"{number}.")]
    whole = bool(mine) and all(each.points.value and each.points.sources for each in mine)
    most = sum(each.points.value[-1] for each in mine if each.points.value) if whole else 0.0
    low, high = (
        (sum(each.points.value[end(answers[each.id])] for each in mine if each.points.value) / most for end in (_low, _high))
        if whole
        else (0.0, 1.0)
    )
    return Part(
        id=f"SOV-{number}",
        weight=weight,
        low=low,
        high=high,
        seal_low=min((_seal(each, answers[each.id].low, 0) for each in mine), default=0),
        seal_high=min((_seal(each, answers[each.id].high, HIGHEST) for each in mine), default=HIGHEST),
        answered=sum(bool(answers[each.id].evidence) for each in mine),
        criteria=len(mine),
    )


def _low(answer: Answer) -> int:
    return answer.low


def _high(answer: Answer) -> int:
    return answer.high


def _seal(criterion: Criterion, answer: int, unknown: int) -> int:
    return criterion.seals.value[answer] if criterion.seals.value and criterion.seals.sources else unknown


def _covered(objective: str, criteria: Iterable[Criterion], answers: Mapping[str, Answer]) -> float:
    """The share of an objective's points that belongs to criteria of which anything is known."""
    mine = [each for each in criteria if f"SOV-{each.id.partition('.')[0]}" == objective and each.points.value]
    most = {each.id: each.points.value[-1] for each in mine if each.points.value}
    return sum(points for name, points in most.items() if answers[name].evidence) / sum(most.values()) if most else 0.0


def _in_or_out(country: Fact[str]) -> Fact[Any]:
    if country.value is None:
        return Fact(why=country.why, sources=country.sources)
    return Fact(value=IN if country.value in EEA else OUT, sources=country.sources, note=country.note or country.value)


def _any(fact: Fact[Any]) -> Fact[Any]:
    return Fact(value=SOME, sources=fact.sources, note=fact.note) if fact.value else Fact(why=fact.why, sources=fact.sources)


def name(profile: str) -> str:
    return f"self-assessed against CSF v1.2.1 with the weights {profile}"


def entry(found: Assessment) -> Entry:
    """For the board: what evidence gives at the least is the value, and all that is possible the interval."""
    answered, criteria = sum(part.answered for part in found.parts), sum(part.criteria for part in found.parts)
    sources = _sources(found.answers)
    if not answered:
        return Entry(why=f"no fact answers any of the framework's {criteria} criteria")
    return Entry(
        value=round(found.low, 1),
        unit="of 100",
        low=round(found.low, 1),
        high=round(found.high, 1),
        origin="assessed",
        date=max(source.date for source in sources),
        how=f"{name(found.profile)}: {answered} of {criteria} criteria, {found.coverage:.0f} % of the weight; "
        f"{seal(found.seal_low, found.seal_high)}, self-assessed",
        sources=sources,
    )


def objective(found: Assessment, ident: str) -> Entry:
    """The level of one objective alone, `SOV-2`, for the board; `how` names the facts that hold it there."""
    part = next(part for part in found.parts if part.id == ident)
    answers = [each for each in found.answers if each.evidence and f"SOV-{each.criterion.partition('.')[0]}" == ident]
    if not answers:
        return Entry(why=f"no fact answers any of the {part.criteria} criteria of {ident}")
    sources = _sources(answers)
    said = (
        f"{each.criterion} by {', '.join(dict.fromkeys(name for one in each.evidence for name in one.columns))}"
        for each in answers
    )
    return Entry(
        value=seal(part.seal_low, part.seal_high),
        origin="assessed",
        date=max(source.date for source in sources),
        how=f"{name(found.profile)}: {part.answered} of {part.criteria} criteria of {ident}: {'; '.join(said)}",
        sources=sources,
    )


def _sources(answers: Iterable[Answer]) -> tuple[Source, ...]:
    return tuple(
        dict.fromkeys(
            source for answer in answers for each in answer.evidence for fact in each.facts for source in fact.sources
        )
    )


def seal(low: int, high: int) -> str:
    """`SEAL-0 to SEAL-1`."""
    return f"SEAL-{low}{f' to SEAL-{high}' if high > low else ''}"


def columns(provider: Provider) -> dict[str, Entry]:
    """What stands beside the score, as it is: nothing of it is blended."""
    return {
        column: Entry(
            value=", ".join(fact.value) if isinstance(fact.value, tuple) else fact.value,
            unit="days" if column == "retention_days" and fact.value is not None else "",
            origin="listed" if fact.value is not None else "",
            date=fact.date if fact.value is not None else None,
            how=fact.note,
            sources=fact.sources,
            why="" if fact.value is not None else fact.why,
        )
        for column, fact in claims(provider)
    }
