"""The facts that came with the harness: well formed, sourced, and in agreement with the recipes."""

from __future__ import annotations

import copy
import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.facts import check, load, lookup, tables
from harness.facts.reading import Read
from harness.recipe import load as recipes
from harness.schema.facts import NO_SOURCE, Facts, claims, row_id
from harness.schema.recipe import Recipe

FILES = load.files(load.SHIPPED)
DAY = datetime.date(2026, 11, 25)
"""When they were put together. Later days only make them older."""


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load.load()


@pytest.fixture(scope="module")
def ours() -> dict[str, Recipe]:
    folder = Path(__file__).parents[2] / "recipes"
    return {path.stem: recipes.load(path) for path in folder.glob("*.yaml")}


def rows(facts: Facts) -> dict[str, msgspec.Struct]:
    return {f"{name}/{row_id(row)}": row for name in tables.TABLES for row in getattr(facts, name)}


def test_nothing_is_wrong_with_them() -> None:
    findings = check.check(None, DAY)
    assert [str(finding) for finding in findings if finding.severity == check.ERROR] == []
    assert [str(finding) for finding in findings if "age" not in finding.text and "days old" not in finding.text] == []


def test_there_is_something_in_every_table(facts: Facts) -> None:
    assert all(getattr(facts, name) for name in tables.TABLES)
    assert len(rows(facts)) == sum(len(getattr(facts, name)) for name in tables.TABLES), "row names are unique"


def test_every_source_has_an_address_a_day_and_a_short_quote() -> None:
    for path in FILES:
        named = tables.sources(Read(path.read_bytes(), str(path)))
        assert named, path
        for name, source in named.items():
            assert source.url.startswith(("https://", "http://terms.aliyun.com")), name
            assert source.date <= DAY, name
            assert len(source.quote.split()) <= check.MOST_WORDS, name


def test_what_is_known_has_a_source_and_what_is_not_has_a_reason(facts: Facts) -> None:
    for name, row in rows(facts).items():
        for field, fact in claims(row):
            known = fact.value is not None or fact.low is not None
            assert bool(fact.why) == (fact.value is None), (name, field)
            assert not known or fact.sources, (name, field)
            assert fact.why != NO_SOURCE, (name, field)


def without(whole: dict[str, Any], source: str) -> dict[str, Any]:
    """The file as if that source had never been found."""
    rest = copy.deepcopy(whole)
    del rest["sources"][source]
    for name, listed in rest.items():
        for row in listed if name != "sources" else ():
            for part in (row, *(value for value in row.values() if isinstance(value, dict))):
                if source in part.get("by", ()):
                    part["by"].remove(source)
    return rest


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_a_source_what_rests_on_it_alone_is_unknown_and_nothing_else(path: Path) -> None:
    read = Read(path.read_bytes(), str(path))
    table = path.with_suffix(".csv").read_text() if path.with_suffix(".csv").exists() else None
    named = tables.sources(read)
    before = rows(load.parse(path.read_bytes(), str(path), table))
    for name, source in named.items():
        twins = [other for other in named if named[other] == source]
        if len(twins) > 1:
            continue
        data = msgspec.json.encode(without(read.value, name), enc_hook=str)
        after = rows(load.parse(undated(data), str(path), table and table.replace(f",{name}\n", ",\n")))
        assert after.keys() == before.keys()
        for row, was in before.items():
            now = dict(claims(after[row]))
            for field, fact in claims(was):
                if source not in fact.sources:
                    assert now[field] == fact, (name, row, field)
                    continue
                left = tuple(one for one in fact.sources if one != source)
                assert now[field].sources == left, (name, row, field)
                known = bool(left) and (fact.value is not None or fact.low is not None)
                assert (now[field].value is not None or now[field].low is not None) == known, (name, row, field)
                assert known or now[field].why, (name, row, field)


def undated(data: bytes) -> bytes:
    """JSON is YAML, but for its days, which are text there."""
    return re.sub(rb'"(date|since)":"(\d{4}-\d\d-\d\d)"', rb'"\1": \2', data)


def test_the_article_says_the_same_everywhere(facts: Facts, ours: dict[str, Recipe]) -> None:
    """Its ratings stand in arena.csv and its speeds in recipes, as figures; here as claims."""
    article = [rating for rating in facts.ratings if rating.date == datetime.date(2026, 4, 29)]
    rated = {rating.model: rating.rating.value for rating in article}
    elo = [claim for claim in facts.claims if claim.unit == "Elo" and claim.model and claim.value.value is not None]
    assert len(elo) == 17
    assert {claim.model for claim in elo} == set(rated)
    for claim in elo:
        assert rated[claim.model] == claim.value.value, row_id(claim)
    speeds = [
        claim
        for claim in facts.claims
        if claim.unit == "tok/s" and claim.table != "sizes" and claim.recipe and claim.value.value
    ]
    assert len(speeds) == 14
    for claim in speeds:
        said = {
            figure.value
            for figure in ours[claim.recipe].harness.published
            if figure.metric == "decode_tok_s" and figure.date == "2026-04-29"
        }
        assert claim.value.value in said, row_id(claim)


def test_every_claim_of_the_article_is_there(facts: Facts) -> None:
    counted: dict[str, int] = {}
    for claim in facts.claims:
        counted[claim.table] = counted.get(claim.table, 0) + 1
        assert claim.said.value, row_id(claim)
    assert counted == {"leaderboards": 12, "top five": 10, "three columns": 40, "this stack": 8, "sizes": 6, "text": 19}
    text = {(claim.row, claim.column): (claim.value.value, claim.unit) for claim in facts.claims if claim.table == "text"}
    recomputed_later = {
        ("cloud cost", "a day"): (37.5, "USD/day"),
        ("local time", "a day"): (3.4, "h/day"),
        ("local energy", "a day"): (480.0, "Wh/day"),
        ("local cost", "a day"): (0.1, "EUR/day"),
        ("amortisation", "months"): (3.0, "months"),
        ("ratio per token", "local to cloud"): (11_000.0, "ratio"),
        ("ratio in the table", "closed to open rows"): (1500.0, "ratio"),
    }
    assert recomputed_later.items() <= text.items()


def test_the_article_is_quoted_as_it_stands(facts: Facts) -> None:
    article = Path(__file__).parents[2].parent / "shared" / "research" / "ARTICLE.md"
    if not article.exists():
        pytest.skip("the article is not beside this checkout")
    text = " ".join(article.read_text().replace("`", "").split()).replace("( --mem", "(--mem")
    for claim in facts.claims:
        assert claim.said.value is not None
        assert " ".join(claim.said.value.split()) in text, claim.said.value


def test_recipes_and_claims_know_each_other(facts: Facts, ours: dict[str, Recipe]) -> None:
    for claim in facts.claims:
        assert not claim.recipe or claim.recipe in ours, row_id(claim)
        if claim.recipe:
            model = lookup.model_of(facts, ours[claim.recipe].model)
            assert model is not None
            assert model.id == claim.model, row_id(claim)
    unnamed = {recipe.model for recipe in ours.values() if lookup.model_of(facts, recipe.model) is None}
    assert unnamed == {"tiny-random-llama"}


def test_published_figures_are_not_said_twice(facts: Facts, ours: dict[str, Recipe]) -> None:
    """What a recipe carries is not in the table of systems without one."""
    carried = {
        (model.id, figure.metric, figure.value)
        for recipe in ours.values()
        if (model := lookup.model_of(facts, recipe.model))
        for figure in recipe.harness.published
    }
    assert not carried & {(figure.model, figure.metric, figure.value.value) for figure in facts.published}


def test_whoever_sells_a_makers_own_model_has_terms(facts: Facts) -> None:
    for model in facts.models:
        if model.own_price:
            assert lookup.terms(facts, model.own_price.partition("/")[0]), model.id


def test_terms_differ_by_endpoint_and_model(facts: Facts) -> None:
    bedrock = {row.model or row.endpoint: row for row in lookup.terms(facts, "aws")}
    assert [bedrock[None].retention_days.value, bedrock["Claude Fable 5 and 5.1"].retention_days.value] == [0, 30]
    assert bedrock["Claude Fable 5 and 5.1"].dpa == bedrock[None].dpa, "what it does not say, the product's row says"
    azure = [row.residency_eu.value for row in lookup.terms(facts, "azure")]
    assert azure == ["option", "yes", "yes", "no"]


def test_ratings_find_their_models(facts: Facts) -> None:
    found = lookup.rating(facts, "claude-opus-4.7")
    assert found is not None
    assert (found.rating.value, found.rank, found.votes) == (1503, 1, None)
    assert lookup.rating(facts, "claude-opus-4.7", category="chinese") is None
    assert len(list(lookup.same_day(facts, found))) == 12
    fable = lookup.rating(facts, "claude-fable-5.1-max", category="chinese", config="text_style_control")
    assert fable is not None
    assert fable.rating.value == 1592.1702145915303


def test_loading_is_cheap() -> None:
    """Counted in what is imported: no YAML in Python, no prices, no tables."""
    code = "import sys; from harness.facts.load import load; load(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"genai_prices", "duckdb", "numpy", "pydantic", "harness.recipe"} & set(loaded)
