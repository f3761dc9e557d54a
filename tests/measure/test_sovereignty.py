"""The framework's arithmetic by hand, and what holds for any facts: less known, a wider span; every truth that fits the facts is in it."""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.facts import load, tables
from harness.measure import sovereignty
from harness.measure.sovereignty_rules import IN, LOCAL, OUT, PROVIDER, SOME, Rule, Value
from harness.schema.egress import Connection, Egress
from harness.schema.facts import ASKED, MEASURED, Fact, Facts, Provider, Source, claims
from harness.schema.result import Result, Summary
from harness.schema.sovereignty import Assessment
from harness.store import index
from tests.measure.test_health import GB10
from tests.store import sample_run

FACTS = load.load()
NEW, OLD = sovereignty.PROFILES
DAY = datetime.date(2026, 11, 25)
TERMS = Source(url="https://example.org/terms", quote="so it is", kind="primary", date=DAY)
CRITERIA = {each.id: each for each in FACTS.criteria}


def known(value: Any) -> Fact[Any]:
    return Fact(value=value, sources=(TERMS,))


def provider(**given: Any) -> Provider:
    unknown: dict[str, Any] = {name: Fact(why="not found") for name in tables._facts_of(Provider)}
    return Provider(provider="Example", product="API", **unknown | {name: known(value) for name, value in given.items()})


OVERSEAS = provider(
    parent_seat="US",
    contract_eu=False,
    cloud_act="direct",
    residency_eu="no",
    weights_self_hostable="no",
    certifications=("SOC 2 Type 2",),
    dpa="part of the terms",
    retention_days=30.0,
    trains_on_data="no",
)
EUROPEAN = provider(parent_seat="FR", contract_eu=True, cloud_act="none", residency_eu="yes", weights_self_hostable="yes")

QUIET = Egress(
    method="", period_s=0.25, looks=9, longest_s=0, t_start_ns=0, t_end_ns=1, cpu_s=0, processes=3, spaces=1, connections=()
)
PUBLIC = Connection(
    where="public", address="1.1.1.1", port=443, protocol="tcp", outbound=True, process="vllm", first_ns=0, last_ns=0, count=1
)


def run(found: Egress | None = QUIET, **changes: Any) -> Result:
    """Of Mistral Small 4 on one GB10."""
    base = {"machine": GB10, "model": "mistralai/Mistral-Small-4-119B-2603-NVFP4", "egress": found}
    return msgspec.structs.replace(sample_run.result(), **base | changes)


def here(result: Result, seat: str | None = "DE", profile: str = NEW) -> Assessment:
    return sovereignty.local(summed(result), FACTS, seat=seat, day=DAY, profile=profile)


def summed(result: Result) -> Summary:
    return index.summary(result, Path())


def span(found: Assessment) -> tuple[float, float]:
    return found.low, found.high


def test_a_provider_overseas_by_hand() -> None:
    """Its best: of SOV-1 (most 1000.03) criterion 1.1 gives 41.67 of 125.01; of SOV-2 (6 × 167) 2.1 nothing, 2.2 83.5, 2.3 125.25; of
    SOV-3 3.4 gives 100 and 3.5 50 of 200; of SOV-6 6.3 gives 50 of 200. Its worst: 35.75 of 143 for each of 7.1 and 7.2, of 1001."""
    found = sovereignty.api(OVERSEAS, FACTS)
    strategic, legal, data, technology = 916.69 / 1000.03, 709.75 / 1002, 0.75, 0.85
    best = 20 * strategic + 10 * legal + 10 * data + 15 + 10 + 15 * technology + 15 + 5
    assert span(found) == pytest.approx((15 * 71.5 / 1001, best))
    assert span(found) == pytest.approx((1.0714, 90.667), abs=1e-3)
    assert found.coverage == pytest.approx(20 * 125.01 / 1000.03 + 10 * 3 / 6 + 10 * 2 / 5 + 15 / 5 + 15 * 2 / 7)
    assert (found.seal_low, found.seal_high) == (0, 1), "2.1 to 2.3 allow no more than SEAL-1"
    assert [part.answered for part in found.parts] == [1, 3, 2, 0, 0, 1, 2, 0]
    older = sovereignty.api(OVERSEAS, FACTS, OLD)
    best = 15 * strategic + 10 * legal + 10 * data + 15 + 20 + 15 * technology + 10 + 5
    assert span(older) == pytest.approx((10 * 71.5 / 1001, best))
    assert span(older) == pytest.approx((0.7143, 91.083), abs=1e-3)


def test_a_european_provider_by_hand() -> None:
    """Its worst: 83.34 for 1.1; 84 for 2.1; 150 for 3.4 and 100 for 3.5; 83.5 for 4.1; 50 for 6.3, whose best is 150."""
    found = sovereignty.api(EUROPEAN, FACTS)
    worst = 20 * 83.34 / 1000.03 + 10 * 84 / 1002 + 10 * 250 / 1000 + 15 * 83.5 / 1002 + 15 * 50 / 1000
    assert span(found) == pytest.approx((worst, 100 - 15 * 50 / 1000))
    assert span(found) == pytest.approx((7.005, 99.25), abs=1e-3)
    assert (found.seal_low, found.seal_high) == (0, 4)


def test_a_machine_of_ones_own_by_hand() -> None:
    """A GB10 in Germany that nothing left: SOV-5 and SOV-6 cannot be full, and where its chips are made allows no more than SEAL-1."""
    found = here(run())
    parts = {part.id: (part.low, part.high) for part in found.parts}
    assert parts == {
        "SOV-1": pytest.approx(((125.01 + 93.75) / 1000.03, 1)),  # 1.1 and 1.8
        "SOV-2": pytest.approx(((84 + 125.25 + 125.25) / 1002, 1)),  # 2.1, 2.2, 2.3
        "SOV-3": pytest.approx(
            ((200 + 200 + 150) / 1000, (4 * 200 + 150) / 1000)
        ),  # 3.1, 3.4, and 3.5 just so: made in France, on a foreign chip
        "SOV-4": pytest.approx(((83.5 + 83.5 + 125.25) / 1002, 1)),  # 4.1, 4.2, 4.6
        "SOV-5": pytest.approx((0, (107.25 + 35.75 + 107.25 + 35.75 + 71.5 + 2 * 143) / 1001)),  # 5.1 to 5.4, 5.6
        "SOV-6": pytest.approx(((100 + 50 + 100 + 50) / 1000, (150 + 200 + 150 + 200 + 50) / 1000)),  # 6.1, 6.3, 6.4, 6.5
        "SOV-7": (0, 1),
        "SOV-8": (0, 1),
    }
    assert span(found) == pytest.approx((22.088, 92.179), abs=1e-3)
    assert span(here(run(), profile=OLD)) == pytest.approx((20.994, 88.607), abs=1e-3)
    assert (found.seal_low, found.seal_high) == (0, 1)
    levels = {answer.criterion: (CRITERIA[answer.criterion].seals.value or ())[answer.high] for answer in found.answers}
    assert [name for name, level in levels.items() if level == found.seal_high] == ["5.2"]


def test_what_only_the_owner_and_the_run_can_say() -> None:
    everything, nothing = here(run()), here(run(None), seat=None)
    assert nothing.low < everything.low
    assert nothing.high >= everything.high
    assert here(run(), seat="us").high < everything.high
    assert here(run(), seat="US").seal_high == 0, "imported, and run outside"
    left = here(run(msgspec.structs.replace(QUIET, connections=(PUBLIC,))))
    assert left.low < everything.low
    assert next(answer.high for answer in left.answers if answer.criterion == "3.4") == 3
    facts = sovereignty.of_result(summed(run(None)), FACTS, seat=None, day=DAY)
    assert "--seat" in facts["seat"].why
    assert "did not look" in facts["leaves"].why
    facts = sovereignty.of_result(summed(run()), FACTS, seat="DE", day=DAY)
    assert [fact.sources[0].kind for fact in (facts["seat"], facts["leaves"])] == [ASKED, MEASURED]
    assert run().id in facts["leaves"].sources[0].url


def test_a_server_that_somebody_else_started() -> None:
    """It may be anybody's, on anything."""
    engine = msgspec.structs.replace(run().engine, start_s={})
    found = here(run(engine=engine))
    assert [answer.criterion for answer in found.answers if answer.evidence] == ["6.1"]


def test_what_is_not_blended() -> None:
    """How long data are kept and whether they are trained on stand beside the score, and move it by nothing."""
    plain = sovereignty.api(OVERSEAS, FACTS)
    for column, value in (("retention_days", 0.0), ("trains_on_data", "yes"), ("zero_retention", "default")):
        changed = msgspec.structs.replace(OVERSEAS, **{column: known(value)})
        assert sovereignty.api(changed, FACTS) == plain
        assert not any(column in rule.columns for rule in (*PROVIDER, *LOCAL))
        assert sovereignty.columns(changed)[column].value == value
    assert sovereignty.columns(OVERSEAS)["zero_retention"].why == "not found"


def test_how_it_is_said() -> None:
    entry = sovereignty.entry(sovereignty.api(OVERSEAS, FACTS))
    assert (entry.value, entry.low, entry.high, entry.origin, entry.date) == (1.1, 1.1, 90.7, "assessed", DAY)
    assert "self-assessed against CSF v1.2.1 with the weights csf-guidance-2026-06" in entry.how
    assert "9 of 48 criteria, 19 % of the weight; SEAL-0 to SEAL-1, self-assessed" in entry.how
    assert "award" not in entry.how
    assert TERMS in entry.sources
    assert sovereignty.entry(sovereignty.api(provider(), FACTS)).why


def test_the_frameworks_own_data() -> None:
    counts = [sum(each.id.startswith(f"{number}.") for each in FACTS.criteria) for number in range(1, 9)]
    assert counts == [8, 6, 5, 6, 7, 5, 7, 4], "the calculator's criteria"
    factors = [max(each.factor for each in FACTS.criteria if each.id.startswith(f"{number}.")) for number in range(1, 9)]
    assert factors == [6, 5, 4, 6, 5, 4, 5, 4], "v1.2.1's contributing factors"
    for each in FACTS.criteria:
        points, seals = each.points.value, each.seals.value
        assert points
        assert seals
        assert len(points) == len(seals)
        assert list(points) == sorted(set(points)), each.id
        assert points[0] == 0
        assert list(seals) == sorted(seals), "a better answer never allows less"
        assert seals[-1] == 4
    most = [sum((each.points.value or (0,))[-1] for each in FACTS.criteria if each.id.startswith(f"{n}.")) for n in range(1, 9)]
    assert most == pytest.approx([1000] * 8, rel=0.003), "nominally 1000 each"
    weights = {each.profile: each.weights.value or () for each in FACTS.weightings}
    assert {profile: sum(values) for profile, values in weights.items()} == {NEW: 100, OLD: 100}
    moved = [new - old for new, old in zip(weights[NEW], weights[OLD], strict=True)]
    assert moved == [5, 0, 0, 0, -10, 0, 5, 0]


def vocabulary(rules: Iterable[Rule]) -> dict[str, list[Value]]:
    found: dict[str, set[Value]] = {}
    for rule in rules:
        for values in rule.spans:
            for column, value in zip(rule.columns, values, strict=True):
                found.setdefault(column, set()).add(value)
    return {column: sorted(values, key=str) for column, values in sorted(found.items())}


@pytest.mark.parametrize(("rules", "facts"), [
    (PROVIDER, sovereignty.of_provider(EUROPEAN)),
    (LOCAL, sovereignty.of_result(summed(run()), FACTS, seat="DE", day=DAY)),
])  # fmt: skip
def test_the_table_of_inferences(rules: tuple[Rule, ...], facts: Mapping[str, Fact[Any]]) -> None:
    for rule in rules:
        assert rule.why
        assert rule.spans
        assert set(rule.columns) <= set(facts), "a fact that nobody gives"
        for low, high in rule.spans.values():
            assert 0 <= low <= high <= sovereignty.best(CRITERIA[rule.criterion])
            assert (low, high) != (0, sovereignty.best(CRITERIA[rule.criterion])), "says nothing"
    for column, values in vocabulary(rules).items():
        words = {True, False} if True in values or False in values else set(tables.WORDS.get(column, ()))
        assert set(values) <= (words or {IN, OUT, SOME, "no", "yes", "chat completions"}), column


@pytest.mark.parametrize("rules", [PROVIDER, LOCAL])
def test_no_facts_contradict_each_other(rules: tuple[Rule, ...]) -> None:
    """Whatever is known together leaves at least one answer: else taking a fact away could make a span narrower."""
    for criterion in {rule.criterion for rule in rules}:
        mine = [rule for rule in rules if rule.criterion == criterion]
        words = vocabulary(mine)
        everything = {name: values for name, values in vocabulary(rules).items() if name in words}
        for values in itertools.product(*everything.values()):
            facts = {name: known(value) for name, value in zip(everything, values, strict=True)}
            answer = next(a for a in sovereignty.assess(mine, facts, FACTS, NEW).answers if a.criterion == criterion)
            assert answer.low <= answer.high, (criterion, facts)


@pytest.mark.parametrize("rules", [PROVIDER, LOCAL])
def test_the_documentation_has_each_inference(rules: tuple[Rule, ...]) -> None:
    shown = (Path(__file__).parents[2] / "docs" / "sovereignty.md").read_text()

    def word(value: Value) -> str:
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value

    for rule in rules:
        of = sovereignty.best(CRITERIA[rule.criterion]) + 1
        says = "; ".join(
            f"{', '.join(map(word, values))} → {low + 1}{f'–{high + 1}' if high > low else ''}"
            for values, (low, high) in rule.spans.items()
        )
        title = f"{rule.criterion} {CRITERIA[rule.criterion].title}"
        assert f"| {title} | {', '.join(rule.columns)} | {says} of {of} | {rule.why} |\n" in shown


def some_facts(rules: tuple[Rule, ...]) -> st.SearchStrategy[dict[str, Fact[Any]]]:
    words = vocabulary(rules)
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values).map(known) for name, values in words.items()})


CASES = st.sampled_from([PROVIDER, LOCAL]).flatmap(lambda rules: st.tuples(st.just(rules), some_facts(rules)))


@given(CASES, st.sampled_from([NEW, OLD]), st.randoms(use_true_random=False))
def test_less_known_is_wider(case: tuple[tuple[Rule, ...], dict[str, Fact[Any]]], profile: str, rng: random.Random) -> None:
    """A source that is taken away, with the value or without it."""
    rules, facts = case
    fewer = {name: Fact(value=fact.value) if rng.random() < 0.5 else fact for name, fact in facts.items() if rng.random() < 0.8}
    more, less = sovereignty.assess(rules, facts, FACTS, profile), sovereignty.assess(rules, fewer, FACTS, profile)
    assert less.low <= more.low + 1e-9
    assert less.high >= more.high - 1e-9
    assert less.coverage <= more.coverage + 1e-9
    assert less.seal_low <= more.seal_low <= more.seal_high <= less.seal_high
    for before, after in zip(more.answers, less.answers, strict=True):
        assert after.low <= before.low <= before.high <= after.high


@given(CASES, st.sampled_from([NEW, OLD]), st.randoms(use_true_random=False))
def test_every_truth_that_fits_is_within(
    case: tuple[tuple[Rule, ...], dict[str, Fact[Any]]], profile: str, rng: random.Random
) -> None:
    """Some answer to each of the 48, added up as the calculator does."""
    found = sovereignty.assess(*case, FACTS, profile)
    weights = next(each.weights.value or () for each in FACTS.weightings if each.profile == profile)
    got, most, level = [0.0] * 8, [0.0] * 8, 4
    for answer in found.answers:
        criterion, chosen = (
            CRITERIA[answer.criterion],
            rng.choice([answer.low, answer.high, rng.randint(answer.low, answer.high)]),
        )
        points, seals = criterion.points.value or (), criterion.seals.value or ()
        at = int(answer.criterion[0]) - 1
        got[at] += points[chosen]
        most[at] += points[-1]
        level = min(level, seals[chosen])
    score = sum(weight * some / all_ for weight, some, all_ in zip(weights, got, most, strict=True))
    assert found.low - 1e-9 <= score <= found.high + 1e-9
    assert found.seal_low <= level <= found.seal_high


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rng: random.Random) -> None:
    shuffled = msgspec.structs.replace(
        FACTS,
        criteria=tuple(rng.sample(FACTS.criteria, len(FACTS.criteria))),
        weightings=tuple(rng.sample(FACTS.weightings, len(FACTS.weightings))),
    )
    rules = tuple(rng.sample(PROVIDER, len(PROVIDER)))
    found = sovereignty.assess(rules, sovereignty.of_provider(OVERSEAS), shuffled, NEW)
    assert span(found) == pytest.approx(span(sovereignty.api(OVERSEAS, FACTS)))


def test_a_value_without_a_source_is_unknown() -> None:
    row = msgspec.structs.replace(provider(), parent_seat=Fact(value="US"), cloud_act=Fact(value="direct"))
    assert sovereignty.api(row, FACTS) == sovereignty.api(provider(), FACTS)


def test_the_frameworks_sources_taken_away() -> None:
    def without(**rows: Any) -> Facts:
        return msgspec.structs.replace(FACTS, **rows)

    weightings = tuple(msgspec.structs.replace(each, weights=Fact(value=each.weights.value)) for each in FACTS.weightings)
    for facts in (without(weightings=weightings), without(weightings=())):
        assert span(sovereignty.api(OVERSEAS, facts)) == (0, 100)
    first = msgspec.structs.replace(
        CRITERIA["3.4"], points=Fact(value=CRITERIA["3.4"].points.value), seals=Fact(value=(4,) * 5)
    )
    criteria = tuple(first if each.id == "3.4" else each for each in FACTS.criteria)
    found = sovereignty.api(OVERSEAS, without(criteria=criteria))
    assert (found.parts[2].low, found.parts[2].high, found.parts[2].seal_low) == (0, 1, 0)
    unsaid = tuple(msgspec.structs.replace(each, seals=Fact(value=(2,) * 5)) for each in FACTS.criteria)
    found = sovereignty.api(OVERSEAS, without(criteria=unsaid))
    assert (found.seal_low, found.seal_high) == (0, 4)
    found = sovereignty.api(OVERSEAS, Facts())
    assert (*span(found), found.coverage, found.seal_low, found.seal_high) == (0, 100, 0, 0, 4)


def test_each_source_of_the_shipped_providers_taken_away() -> None:
    for row in FACTS.providers:
        whole = sovereignty.api(row, FACTS)
        assert 0 <= whole.low < whole.high <= 100
        assert all(fact.sources for answer in whole.answers for each in answer.evidence for fact in each.facts)
        used = {column for answer in whole.answers for each in answer.evidence for column in each.columns}
        for name, fact in claims(row):
            less = sovereignty.api(msgspec.structs.replace(row, **{name: Fact(value=fact.value, why="no source")}), FACTS)
            moved = sum(bool(a.evidence) for a in less.answers) < sum(bool(a.evidence) for a in whole.answers)
            moved |= (less.high - less.low) > (whole.high - whole.low)
            column = "seat" if name == "parent_seat" else name
            assert column not in used or moved or less.answers != whole.answers
            assert less.low <= whole.low
            assert less.high >= whole.high
