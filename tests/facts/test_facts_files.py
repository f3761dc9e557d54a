"""What a facts file may say, and what is refused, each time with its line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import FactsError
from harness.facts import load
from harness.schema.facts import NO_SOURCE, NOT_FOUND, ONLY_A_RANGE, Facts

HEAD = """\
sources:
  page: {url: https://example.org/terms, quote: thirty days, kind: primary, date: 2026-08-01}
  other: {url: https://example.org/other, kind: secondary, date: 2026-05-01}
providers:
  - provider: Example
    product: API
"""


def parse(text: str) -> Facts:
    return load.parse(text.encode(), "x.yaml")


def refused(text: str) -> str:
    with pytest.raises(FactsError) as wrong:
        parse(text)
    assert wrong.value.hint
    assert "\n" not in wrong.value.message
    return wrong.value.message


def test_a_claim_is_what_its_sources_make_it() -> None:
    row = parse(
        HEAD
        + """\
    retention_days: {value: 30, by: [page, other], note: a ceiling}
    zero_retention: approval
    dpa: {why: "it says so nowhere", by: [page]}
    residency: {value: in the EU, by: []}
    certifications: {value: [ISO 27001, SOC 2], by: [other]}
"""
    ).providers[0]
    kept = row.retention_days
    assert (kept.value, kept.note, kept.why, len(kept.sources)) == (30.0, "a ceiling", "", 2)
    assert kept.date == datetime.date(2026, 8, 1), "that of the newest source"
    assert not kept.is_old(datetime.date(2027, 1, 28))
    assert kept.is_old(datetime.date(2027, 1, 29))
    assert (row.zero_retention.value, row.zero_retention.why) == (None, NO_SOURCE), "a value without a source is none"
    assert (row.residency.value, row.residency.why) == (None, NO_SOURCE)
    assert (row.dpa.value, row.dpa.why, len(row.dpa.sources)) == (None, "it says so nowhere", 1)
    assert row.certifications.value == ("ISO 27001", "SOC 2")
    assert (row.trains_on_data.value, row.trains_on_data.why) == (None, NOT_FOUND)


def test_a_row_can_say_once_what_all_its_claims_rest_on() -> None:
    text = (
        HEAD.partition("providers")[0]
        + """\
electricity:
  - {country: DE, customer: household, period: 2025-H1, currency: EUR, per_kwh: 0.38, by: [page]}
hardware_watts:
  - {machine: m, state: load, scope: wall, conditions: c, watts: {low: 60, high: 90}, by: [page]}
"""
    )
    facts = parse(text)
    assert facts.electricity[0].per_kwh.value == 0.38
    watts = facts.hardware_watts[0].watts
    assert (watts.value, watts.low, watts.high, watts.why) == (None, 60, 90, ONLY_A_RANGE)


def test_an_endpoint_takes_from_its_product_what_it_does_not_say() -> None:
    text = (
        HEAD
        + """\
    residency_eu: {value: "no", by: [page]}
    retention_days: {value: 30, by: [page]}
    note: of the product
  - {provider: Example, product: API, endpoint: eu, residency_eu: {value: "yes", by: [other]}}
  - {provider: Example, product: Other, endpoint: eu}
"""
    )
    product, endpoint, other = parse(text).providers
    assert (endpoint.residency_eu.value, endpoint.retention_days) == ("yes", product.retention_days)
    assert other.retention_days.value is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers: [\n", "x.yaml:2: not valid YAML"),
        ("- 1\n", "x.yaml:1: it is no mapping of tables"),
        ("", "x.yaml:1: it is no mapping of tables"),
        ("provider:\n- a\n", "x.yaml:1: there is no table 'provider'"),
        ("providers: 3\n", "x.yaml:1: 'providers' is no list of rows"),
        ("providers:\n- 3\n", "x.yaml:2: a row is no mapping"),
        ("sources: [1]\n", "x.yaml:1: sources are no mapping"),
        ("sources:\n  a: 1\n", "x.yaml:2: Expected `object`, got `int`"),
        ("sources:\n  a: {url: u, kind: primary}\n", "x.yaml:2: Object missing required field `date`"),
        ("sources:\n  a: {url: u, kind: primary, date: 2026-02-30}\n", "x.yaml:2: 2026-02-30 is no day"),
        ("sources:\n  a:\n    url: u\n    kind: rumour\n    date: 2026-02-03\n", "x.yaml:4: 'rumour' is no kind of source"),
        ("sources:\n  a: {url: '', kind: primary, date: 2026-02-03}\n", "x.yaml:2: it has no address"),
        ("sources: &a {}\nproviders: *a\n", "x.yaml:2: an alias is not used in facts"),
        ("sources: !!python/object/apply:os.system [ls]\n", "x.yaml:1: a tag is not used in facts"),
        ("providers: []\nproviders: []\n", "x.yaml:2: 'providers' stands here twice"),
        ("providers:\n" + "".join(" " * depth + "-\n" for depth in range(2, 20)), "is not used in facts"),
        (HEAD + "    dpa: {value: yes, by: [page]}\n", "x.yaml:7: dpa: Expected `str | null`, got `bool`"),
        (HEAD + "    retention_days: {value: soon, by: [page]}\n", "x.yaml:7: retention_days: Expected `float | null`, got `str`"),
        (HEAD + "    retention_days: {value: .nan, by: [page]}\n", "x.yaml:7: it is no finite number"),
        (HEAD + "    retention_days: {value: 3, by: [pages]}\n", "x.yaml:7: there is no source 'pages'"),
        (HEAD + "    retention_days: {value: 3, by: page}\n", "x.yaml:7: it is no list of sources"),
        (HEAD + "    retention_days: {value: 3, by: [[page]]}\n", "x.yaml:7: it is no list of sources"),
        (HEAD + "    retention_days: {value: 3, by: [page], from: x}\n", "x.yaml:7: a claim has no 'from'"),
        (HEAD + "    trains_on_data: {value: never, by: [page]}\n", "x.yaml:7: trains_on_data: 'never' is none of its words"),
        (HEAD + "    parent_seat: {value: EU, by: [page]}\n", "x.yaml:7: parent_seat: 'EU' is no country"),
        (HEAD + "    retention: {value: 3, by: [page]}\n", "x.yaml:5: Object contains unknown field `retention`"),
        (HEAD + "  - {provider: Example, product: API}\n", "x.yaml:7: the same row stands above"),
        (HEAD + "  - {provider: Example}\n", "x.yaml:7: Object missing required field `product`"),
    ],
)  # fmt: skip
def test_refused_with_its_line(text: str, message: str) -> None:
    assert message in refused(text)


def test_hints() -> None:
    def hint(text: str) -> str:
        with pytest.raises(FactsError) as wrong:
            parse(text)
        return wrong.value.hint

    assert hint("provider: []\n") == "did you mean 'providers'?"
    assert hint(HEAD + "    retention_days: {value: 3, by: [pages]}\n") == "did you mean 'page'?"
    assert hint(HEAD + "    dpa: {value: no, by: [page]}\n").startswith("put yes, no, on and off in quotes")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(FactsError, match=r"x\.yaml: not YAML text"):
        load.parse(b"\xff\xfe\x00", "x.yaml")
    with pytest.raises(FactsError, match="larger than 2 MiB"):
        load.parse(b"a" * (2 * 2**20 + 1), "x.yaml")


def readable(data: bytes) -> str:
    """Why not; "": it is."""
    try:
        load.parse(data, "x.yaml")
    except FactsError as wrong:
        return wrong.message
    return ""


@given(st.binary(max_size=60).map(lambda tail: HEAD.encode() + tail))
def test_any_tail_is_read_or_refused(data: bytes) -> None:
    assert (readable(data) or "x.yaml:").startswith("x.yaml:")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("page"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "by", "why", "note", "low", "high", "x"]), inner, max_size=4)
    ),
    max_leaves=6,
)


@given(st.sampled_from(["providers", "models", "prices", "claims", "ratings", "sources"]), VALUES, VALUES)
def test_any_values_are_read_or_refused(table: str, one: object, other: object) -> None:
    whole = {"sources": {"page": {"url": "u", "kind": "primary", "date": datetime.date(2026, 1, 1)}}}
    text = yaml.safe_dump(
        whole | {table: [{"id": one, "name": other, "provider": "a", "product": "b", "dpa": one, "by": other}]}
    )
    assert (readable(text.encode()) or "x.yaml:").startswith("x.yaml:")


def test_a_users_row_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    shipped = load.load()
    text = """\
sources:
  bill: {url: https://example.org/bill, kind: primary, date: 2026-10-01}
electricity:
  - {country: DE, customer: household, period: 2025-H1, currency: EUR, per_kwh: 0.29, by: [bill]}
  - {country: DE, customer: household, period: 2026-H1, currency: EUR, per_kwh: 0.27, by: [bill]}
models:
  - {id: my-model, name: Mine, maker: me, arena: [claude-opus-5-max-thinking], weights: [me/mine]}
"""
    (tmp_path / "mine.yaml").write_text(text)
    both = load.load(tmp_path)
    assert load.load(tmp_path / "missing") == shipped
    german = {row.period: row.per_kwh.value for row in both.electricity if row.country == "DE"}
    assert german == {"2025-H1": 0.29, "2026-H1": 0.27}
    assert len(both.electricity) == len(shipped.electricity) + 1
    assert len(both.models) == len(shipped.models) + 1
    assert both.providers == shipped.providers
