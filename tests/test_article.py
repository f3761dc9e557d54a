"""docs/article.md: every cell and sum of the article, its verdicts against sums done by hand, and nothing typed. HARNESS_UPDATE_GOLDEN=1
writes it anew; look at the difference before keeping it."""

from __future__ import annotations

import ast
import datetime
import os
import re
from pathlib import Path

import msgspec
import pytest

from harness import article as articles
from harness.facts import load, prices
from harness.measure.verdict import DEPENDS, DIFFERS, HOLDS, ROUNDED, UNCHECKED, VERDICTS
from harness.recipe import load as recipes
from harness.report import article as report
from harness.schema.article import Article, Finding, Reckoning
from harness.schema.facts import NO_SOURCE, Claim, Fact, Facts, Model
from harness.schema.recipe import Recipe

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "article.md"
DAY = datetime.date(2026, 11, 25)
"""When the facts were put together."""
LISTS = ("this stack",)
"""The article prints these as lists, without columns."""


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load.load()


@pytest.fixture(scope="module")
def ours() -> dict[str, Recipe]:
    return {path.stem: recipes.load(path) for path in (ROOT / "recipes").glob("*.yaml")}


@pytest.fixture(scope="module")
def found(facts: Facts, ours: dict[str, Recipe]) -> Article:
    return articles.article(facts, ours, DAY)


def test_the_page_is_what_the_facts_give(found: Article) -> None:
    written = report.markdown(found) + "\n"
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        DOCUMENT.write_text(written, encoding="utf-8")
    assert written == DOCUMENT.read_text(encoding="utf-8")


def tables(page: str) -> dict[str, list[list[str]]]:
    """By the heading above each: its rows' entries, the header first."""
    read: dict[str, list[list[str]]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and not line.startswith("|---"):
            read.setdefault(heading, []).append(
                [entry.strip().replace("\\|", "|") for entry in re.split(r"(?<!\\)\|", line)[1:-1]]
            )
    return read


def test_every_row_and_column_of_its_tables_is_there(facts: Facts) -> None:
    page = tables(DOCUMENT.read_text(encoding="utf-8"))
    claims = [claim for claim in facts.claims if claim.table != "text"]
    assert len(claims) == 76
    for claim in claims:
        header, *rows = page[report.TITLES[claim.table]]
        listed = claim.table in LISTS
        place = f"{claim.row}, {claim.column}" if listed else claim.row
        (row,) = (each for each in rows if each[0] == place)
        entry = row[1 if listed else header.index(claim.column)]
        assert claim.said.value is not None
        said, mark = entry[: len(claim.said.value)], entry[len(claim.said.value) :].split()[0]
        assert said == claim.said.value
        assert mark in report.MARKS.values()
    shapes = {name: (len(rows) - 1, len(rows[0]) - 1) for name, rows in page.items()}
    assert shapes[report.TITLES["leaderboards"]] == (6, 2)
    assert shapes[report.TITLES["top five"]] == (5, 2)
    assert shapes[report.TITLES["three columns"]] == (10, 4)
    assert shapes[report.TITLES["this stack"]] == (8, 1)


def test_the_tables_are_the_articles(facts: Facts) -> None:
    """Held against its text: each cell of its two tables, and each line of its list."""
    text = ROOT.parent / "shared" / "research" / "ARTICLE.md"
    if not text.exists():
        pytest.skip("the article is not beside this checkout")
    said = {(claim.table, claim.row, claim.column): claim.said.value for claim in facts.claims}
    (boards, columns) = (block for block in re.findall(r"(?:^\|.*\n)+", text.read_text(), re.M))
    for name, block in (("leaderboards", boards), ("three columns", columns)):
        rows = [
            [entry.strip() for entry in line.strip("|").split("|")] for line in block.strip().splitlines() if "---" not in line
        ]
        header = [entry for entry in rows[0] if entry and entry != "Model"]
        for row, *entries in rows[1:]:
            for column, entry in zip(header, entries, strict=True):
                if row.startswith("Top 5"):
                    places = [said["top five", str(place), column] for place in range(1, 6)]
                    assert ", ".join(filter(None, places)) == entry
                else:
                    assert said[name, row, column] == entry
    bullets = re.search(r"unsexy but real:\n((?:- .*\n|--.*\n)+)", text.read_text())
    assert bullets
    lines = re.findall(r"- ([A-Z][^:]*):", bullets[1])
    names = [claim.row for claim in facts.claims if claim.table == "this stack" and claim.row != "EAGLE accept rate"]
    assert [line.removesuffix(" under load") for line in lines] == names


def sums(found: Article) -> dict[str, Reckoning]:
    return {f"{each.claim.row}, {each.claim.column}": each for each in found.text}


@pytest.mark.parametrize(
    ("claim", "own", "verdict", "other", "found_verdict"),
    [
        ("list price, Claude Opus 4.7", None, None, 25, DIFFERS),
        ("cloud cost, a day", 0.5 * 75, HOLDS, 0.5 * 25, DIFFERS),
        ("cloud cost, a month", 0.5 * 75 * 30, HOLDS, 0.5 * 25 * 30, DIFFERS),
        ("local time, a day", 500_000 / 41 / 3600, HOLDS, 500_000 / 29.25 / 3600, DEPENDS),
        ("local energy, a day", 500_000 / 41 / 3600 * 140, ROUNDED, 500_000 / 41 / 3600 * 125.65, DEPENDS),
        ("local cost, a day", 500_000 / 41 / 3600 * 0.140 * 0.30, DIFFERS, 500_000 / 41 / 3600 * 0.12565 * 0.30, DEPENDS),
        ("electricity, price", None, None, 0.2872, ROUNDED),
        ("amortisation, months", 4699 / (37.5 - 0.142276) / 30, DIFFERS, 4699 / (12.5 - 0.142276 * 1.1172) / 30, DIFFERS),
        ("ratio per token, local to cloud", 37.5 / 0.142276, DIFFERS, 12.5 / (0.142276 * 1.1172), DIFFERS),
        ("ratio in the table, closed to open rows", 75 / 0.05, HOLDS, 25 / 0.60, DIFFERS),
        ("quality gap, closed to local", 1503 - 1420, ROUNDED, None, None),
    ],
)
def test_the_sums_by_hand(
    found: Article, claim: str, own: float | None, verdict: str | None, other: float | None, found_verdict: str | None
) -> None:
    each = sums(found)[claim]
    for one, value, word in ((each.own, own, verdict), (each.found, other, found_verdict)):
        if value is None:
            assert one is None
        else:
            assert one is not None
            assert one.value == pytest.approx(value, rel=1e-4)
            assert one.verdict == word


def more(found: Article, claim: str) -> list[float | None]:
    return [one.value for one in sums(found)[claim].more]


def test_what_the_claims_would_need(found: Article) -> None:
    """98 W for 10 cents, 3.4 W for 11,000 to one, 25 W for 0.05 a million; and 1,125 a month by 10 cents a day is where 11,000 is from."""
    assert more(found, "local cost, a day")[0] == pytest.approx(140 * 0.1 / 0.142276, rel=1e-4)
    slip, watts, *_ = more(found, "ratio per token, local to cloud")
    assert [slip, watts] == pytest.approx([11_250, 140 * 263.57 / 11_000], rel=1e-3)
    table = more(found, "ratio in the table, closed to open rows")
    assert table == pytest.approx([263.57, 24.6, 11 / 1.5], rel=1e-3)


def test_when_the_machine_is_paid(found: Article) -> None:
    """At its three prices by the article's figures; against others; against the same weights hosted, never with idle hours at 25 W."""
    months = more(found, "amortisation, months")
    assert months[:2] == [pytest.approx(price / (37.5 - 0.142276) / 30, rel=1e-4) for price in (3000, 3999)]
    here = 0.142276 * 1.1172
    assert months[2:5] == [pytest.approx(4699 / (day - here) / 30, rel=1e-3) for day in (6, 15, 0.30)]
    assert months[5] is None
    assert "never" in sums(found)["amortisation, months"].more[5].how


def cells(found: Article) -> dict[tuple[str, str, str], Finding]:
    every = (each for part in found.tables.values() for each in part)
    return {(each.claim.table, each.claim.row, each.claim.column): each for each in every}


def test_prices_of_the_closed_rows_and_of_the_open_ones(found: Article) -> None:
    column = {
        row: each
        for (table, row, name), each in cells(found).items()
        if (table, name) == ("three columns", "$/M output (cloud)")
    }
    assert {each.verdict for each in column.values()} == {DIFFERS}
    closed = {row: (column[row].known, column[row].far) for row in list(column)[:4]}
    assert closed == {
        "Claude Opus 4.7": ("25", "3 times too high"),
        "Claude Opus 4.6 Thinking": ("25", "3 times too high"),
        "GPT-5.5 High": ("30", "3.3 times too high"),
        "Gemini 3 Pro": ("12", "6.7 times too high"),
    }
    assert "140 W / 41 tok/s / 3.6 × 0.3 EUR/kWh = 0.2846 USD/Mtok at par" in list(column.values())[-1].why
    assert "560 W / 67.63 tok/s" in column["gemma-4-26B-A4B FP8 (4 nodes)"].why


def test_speeds_beside_what_others_published(found: Article) -> None:
    """Of the same system and test, not by the article: with EAGLE 36.5 and 35 to 41, two machines 75 beside 69 that ran another way."""
    by = cells(found)
    eagle = by["this stack", "Output throughput", "single-stream"]
    assert (eagle.verdict, eagle.known) == (DEPENDS, "35–41, 36.5")
    plain = by["this stack", "Without EAGLE", "single-stream"]
    assert (plain.verdict, plain.known) == (HOLDS, "14")
    assert by["three columns", "gemma-4-26B-A4B FP8 (4 nodes)", "spark-arena tok/s"].verdict == UNCHECKED
    assert by["this stack", "Power draw", "under load"].known == "60–156 at the wall"


def test_terms_of_closed_and_open_apis(found: Article) -> None:
    told = sums(found)["closed rows, rank"].found
    assert told is not None
    assert told.verdict == DIFFERS
    assert "the best low end of the former (2.4) is above the worst of the latter (0)" in told.how
    assert "Moonshot AI (yes); DeepSeek (opt-out)" in told.how


def test_the_article_is_no_source_of_its_own(found: Article) -> None:
    page = report.markdown(found)
    notes = page[page.index("## Sources") :]
    assert "two-leaderboards-nobody-reads-together" not in notes
    named = set(re.findall(r"\[\^(\d+)\](?!:)", page))
    assert named == set(re.findall(r"^\[\^(\d+)\]:", notes, re.M))


def test_where_the_article_contradicts_itself(found: Article) -> None:
    by = cells(found)
    assert "67.63 (rank 9)" in by["top five", "5", "spark-arena.com"].why
    assert by["three columns", "Qwen3.5-0.8B BF16 (sglang)", "arena.ai Elo"].verdict == DIFFERS
    assert by["sizes", "Qwen3.5-0.8B", "Elo"].verdict == DIFFERS


def test_no_other_verdicts(found: Article) -> None:
    given = {each.verdict for part in found.tables.values() for each in part}
    given |= {one.verdict for each in found.text for one in (each.own, each.found, *each.more) if one and one.verdict}
    assert given <= set(VERDICTS)
    for each in cells(found).values():
        assert each.verdict in (UNCHECKED, DIFFERS, DEPENDS) or each.sources or each.claim.table == "sizes", each.claim


def without(facts: Facts, pick: tuple[str, str]) -> Facts:
    """As if a claim's figure and what is known of it had no source."""
    none = Fact[float](why=NO_SOURCE)

    def bare(claim: Claim) -> Claim:
        return (
            msgspec.structs.replace(claim, value=none, known=Fact(why=NO_SOURCE)) if (claim.table, claim.row) == pick else claim
        )

    return msgspec.structs.replace(facts, claims=tuple(bare(claim) for claim in facts.claims))


def test_without_a_source_a_sum_is_unknown(facts: Facts, ours: dict[str, Recipe]) -> None:
    dark = sums(articles.article(without(facts, ("this stack", "Power draw")), ours, DAY))
    for claim in ("local energy, a day", "local cost, a day", "ratio per token, local to cloud", "amortisation, months"):
        own = dark[claim].own
        assert own is not None
        assert (own.value, own.verdict) == (None, UNCHECKED), claim
        assert own.how
    slow = articles.article(without(facts, ("this stack", "Output throughput")), ours, DAY)
    assert "cannot be checked" in report.markdown(slow)
    board = cells(articles.article(without(facts, ("leaderboards", "Cost dimension")), ours, DAY))
    assert board["leaderboards", "Cost dimension", "arena.ai"].verdict == UNCHECKED


def test_another_price_of_the_machine_is_taken(facts: Facts, ours: dict[str, Recipe]) -> None:
    """A user's own facts change the verdict."""
    dear = tuple(
        msgspec.structs.replace(row, price=Fact(value=3_362.0, sources=row.price.sources)) for row in facts.hardware_prices
    )
    cheap = sums(articles.article(msgspec.structs.replace(facts, hardware_prices=dear), ours, DAY))["amortisation, months"]
    assert cheap.own is not None
    assert cheap.own.value == pytest.approx(3_362 / (37.5 - 0.142276) / 30, rel=1e-4)
    assert cheap.own.verdict == HOLDS


def test_an_offer_without_a_price_is_no_sum_that_fails(facts: Facts, ours: dict[str, Recipe]) -> None:
    """Somebody's own facts: hosted for nothing, and electricity for nothing."""
    listed = next(iter(prices.of_model(facts_of(facts, "gpt-oss-120b"), DAY, facts.prices)))
    free = msgspec.structs.replace(listed, provider="free", output_mtok=msgspec.structs.replace(listed.output_mtok, value=0.0))
    row = next(row for row in facts.electricity if (row.country, row.customer) == ("EU", "household"))
    sun = msgspec.structs.replace(row, period="2027-H1", per_kwh=msgspec.structs.replace(row.per_kwh, value=0.0))
    more = msgspec.structs.replace(facts, prices=(*facts.prices, free), electricity=(*facts.electricity, sun))
    page = articles.article(more, ours, DAY)
    cell = cells(page)["three columns", "gpt-oss-120b MXFP4 (2 nodes)", "$/M output (cloud)"]
    assert (cell.verdict, cell.known) == (DEPENDS, "0–0.75")
    assert "depends on who is asked; hosted by 12 providers" in report.markdown(page)
    tariff = sums(page)["electricity, price"].found
    assert tariff is not None
    assert (tariff.value, tariff.verdict, tariff.far) == (0, DIFFERS, "")


def facts_of(facts: Facts, model: str) -> Model:
    return next(each for each in facts.models if each.id == model)


def test_what_came_later_is_not_held_against_it(facts: Facts, ours: dict[str, Recipe], found: Article) -> None:
    """A rate, a price of the machine, idle watts of another machine; and a price that changed since: that of its day counts."""
    (rate,) = facts.exchange
    cost, idle = facts.hardware_prices[-1], next(row for row in facts.hardware_watts if row.state == "idle")
    later = msgspec.structs.replace(
        facts,
        exchange=(
            rate,
            msgspec.structs.replace(rate, day=DAY + datetime.timedelta(1), rate=Fact(value=2.0, sources=rate.rate.sources)),
        ),
        hardware_prices=(
            *facts.hardware_prices,
            msgspec.structs.replace(cost, since=datetime.date(2026, 6, 1), price=Fact(value=1.0, sources=cost.price.sources)),
        ),
        hardware_watts=(
            *facts.hardware_watts,
            msgspec.structs.replace(idle, machine="another", watts=Fact(value=900.0, sources=idle.watts.sources)),
        ),
    )
    then = sums(articles.article(later, ours, DAY))
    for claim in ("amortisation, months", "local energy, a day", "ratio in the table, closed to open rows"):
        assert (then[claim].own, then[claim].found) == (sums(found)[claim].own, sums(found)[claim].found), claim
    assert then["local energy, a day"].more == sums(found)["local energy, a day"].more
    moved = tuple(
        msgspec.structs.replace(model, own_price="mistral/mistral-large-4") if model.id == "claude-opus-4.7" else model
        for model in facts.models
    )
    day = datetime.date(2026, 10, 25)
    cell = cells(articles.article(msgspec.structs.replace(facts, models=moved), ours, day))[
        "three columns", "Claude Opus 4.7", "$/M output (cloud)"
    ]
    assert cell.known == "2.09"
    assert "4.18 on 2026-10-25" in cell.why


def test_no_number_is_typed() -> None:
    """In what makes the page no text has a digit, but names: machines, models, and the framework's own."""
    names = re.compile(
        r"GB10|Claude Opus 4\.7|claude-opus-4[.-]\d|mistral-small-4|Mistral Small 4 119B NVFP4|/ 60\)|/ 3\.6|of 100|^0$"
    )
    for path in [*(ROOT / "harness" / "article").glob("*.py"), ROOT / "harness" / "report" / "article.py"]:
        tree = ast.parse(path.read_text())
        docs = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                assert not re.search(r"\d", names.sub("", node.value)), f"{path.name}:{node.lineno}: {node.value}"
