"""The arena's ratings: the CSV, and real Parquet as the public dataset has it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from harness.errors import FactsError
from harness.facts import bring, load, lookup, ratings
from harness.schema.facts import NO_SOURCE, Rating, Source

HEADER = ",".join(ratings.COLUMNS)
PAGE = Source(url="https://example.org", kind="mirror", date=datetime.date(2026, 9, 13))
DAY = datetime.date(2026, 11, 25)
ROWS = [
    ("claude-opus-4-7", "anthropic", "proprietary", 1511.25, 1507.5, 1515.0, 3.7, 21345, 4, "overall", "2026-11-01"),
    ("claude-opus-4-7", "anthropic", "proprietary", 1540.0, 1530.0, 1550.0, 25.0, 2345, 2, "coding", "2026-11-01"),
    ("never-heard-of", None, None, 1200.5, None, None, None, 12, None, "overall", "2026-11-01"),
    ("claude-opus-4-7", "anthropic", "proprietary", 1499.0, 1495.0, 1503.0, 4.0, 9000, 1, "overall", "2026-05-01"),
]


def read(*lines: str) -> tuple[Rating, ...]:
    return ratings.read("\n".join((HEADER, *lines)) + "\n", "x.csv", {"page": PAGE})


def parquet(path: Path, rows: Sequence[tuple[object, ...]] = ROWS, *, drop: str | None = None) -> Path:
    """As the dataset has it: doubles, big integers, the day as text."""
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE t (model_name VARCHAR, organization VARCHAR, license VARCHAR, rating DOUBLE, rating_lower DOUBLE,"
        " rating_upper DOUBLE, variance DOUBLE, vote_count BIGINT, rank BIGINT, category VARCHAR,"
        " leaderboard_publish_date VARCHAR)"
    )
    if rows:
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    if drop:
        db.execute(f"ALTER TABLE t DROP COLUMN {drop}")
    db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


def test_a_row_with_and_without_interval_and_votes() -> None:
    one, other = read(
        "text,m,org,MIT,1500.5,1490,1511,1234,7,overall,2026-09-13,about,page",
        "text,n,,,1400,,,,,overall,2026-09-13,,page",
    )
    fact = one.rating
    assert (fact.value, fact.low, fact.high, fact.note, fact.sources) == (1500.5, 1490, 1511, "about", (PAGE,))
    assert (one.votes, one.rank, one.organization, one.licence) == (1234, 7, "org", "MIT")
    assert (other.rating.value, other.rating.low, other.votes, other.rank, other.model) == (1400, None, None, None, None)


def test_a_rating_without_a_source_is_unknown() -> None:
    (one,) = read("text,m,,,1500,,,,,overall,2026-09-13,,")
    assert (one.rating.value, one.rating.why) == (None, NO_SOURCE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text,m,,,high,,,,,overall,2026-09-13,,page", "x.csv:2: could not convert string to float: 'high'"),
        ("text,m,,,nan,,,,,overall,2026-09-13,,page", "x.csv:2: nan is no rating"),
        ("text,m,,,1e999,,,,,overall,2026-09-13,,page", "x.csv:2: 1e999 is no rating"),
        ("text,m,,,1500,1600,1700,,,overall,2026-09-13,,page", "x.csv:2: the rating 1500 is not within 1600 to 1700"),
        ("text,m,,,1500,,,some,,overall,2026-09-13,,page", "x.csv:2: invalid literal for int()"),
        ("text,m,,,1500,,,,,overall,yesterday,,page", "x.csv:2: Invalid isoformat string"),
        ("text,m,,,1500,,,,,overall,2026-09-13,,nobody", "x.csv:2: there is no source 'nobody'"),
        ("text,,,,1500,,,,,overall,2026-09-13,,page", "x.csv:2: model_name, config and category must be said"),
        ("text,m", "x.csv:2: it has not the 13 columns"),
        ("text,m,,,1,,,,,overall,2026-09-13,,page\ntext,m,,,2,,,,,overall,2026-09-13,,page", "x.csv:3: the same row stands"),
        ("text,m,,,1,,,,,overall,2026-09-13,,page,more", "x.csv:2: it has not the 13 columns"),
    ],
)
def test_refused_with_its_line(line: str, message: str) -> None:
    with pytest.raises(FactsError) as wrong:
        read(line)
    assert wrong.value.message.startswith(message)


def test_other_columns_are_refused() -> None:
    for text in ("", "a,b\n1,2\n"):
        with pytest.raises(FactsError, match=r"x\.csv:1: the columns are not config, model_name"):
            ratings.read(text, "x.csv", {})


def test_parquet_becomes_ratings_of_its_newest_day(tmp_path: Path) -> None:
    own = tmp_path / "own"
    brought = bring.bring(
        parquet(tmp_path / "latest.parquet"), own, config="text", day=DAY, force=False
    )  # fmt: skip
    assert brought.path == own / "arena-text-2026-11-01.yaml"
    assert (len(brought.facts.ratings), brought.left_out) == (3, 1)
    facts = load.load(own)
    found = lookup.rating(facts, "claude-opus-4.7")
    assert found is not None
    assert (found.rating.value, found.rating.low, found.rating.high) == (1511.25, 1507.5, 1515.0)
    assert (found.votes, found.rank, found.licence, found.date) == (21345, 4, "proprietary", datetime.date(2026, 11, 1))
    (source,) = found.rating.sources
    assert (source.kind, source.date, source.url) == ("primary", datetime.date(2026, 11, 1), ratings.DATASET)
    assert "LMArena leaderboard dataset (CC-BY-4.0)" in source.dated
    assert "latest.parquet, sha256 " in source.dated
    coding = lookup.rating(facts, "claude-opus-4.7", category="coding")
    assert coding is not None
    assert coding.rating.value == 1540
    unnamed = [rating for rating in facts.ratings if rating.arena_name == "never-heard-of"]
    assert [(rating.model, rating.rating.low, rating.rank) for rating in unnamed] == [(None, None, None)]
    earlier = [rating.date.isoformat() for rating in facts.ratings if rating.model == "claude-opus-4.7"]
    assert sorted(earlier) == ["2026-04-29", "2026-11-01", "2026-11-01"], "what was there stays"


@pytest.mark.parametrize("day", ["DATE", "TIMESTAMP", "VARCHAR"])
def test_what_is_no_number_is_not_known(tmp_path: Path, day: str) -> None:
    """Written by programs that have no whole number for nothing, and days in several forms."""
    duckdb.execute(
        "COPY (SELECT 'a' AS model_name, 'o' AS organization, 'l' AS license, 1500.5 AS rating, 'nan'::DOUBLE AS rating_lower,"
        " 'nan'::DOUBLE AS rating_upper, 1.0 AS variance, 'nan'::DOUBLE AS vote_count, 3.0::DOUBLE AS rank,"
        f" 'overall' AS category, '2026-11-01'::{day} AS leaderboard_publish_date) TO '{tmp_path / 'x.parquet'}' (FORMAT parquet)"
    )
    brought = bring.bring(tmp_path / "x.parquet", tmp_path / "own", config="text", day=DAY, force=False)
    (found,) = brought.facts.ratings
    assert (found.rating.value, found.rating.low, found.rating.high, found.votes, found.rank) == (1500.5, None, None, None, 3)


def test_ratings_of_a_file_go_with_it(tmp_path: Path) -> None:
    """A table beside is part of the file: one that differs is not replaced unasked, and none is left behind."""
    bring.bring(parquet(tmp_path / "x.parquet"), tmp_path / "made", config="text", day=DAY, force=False)
    (source,), own = (tmp_path / "made").glob("*.yaml"), tmp_path / "own"
    bring.bring(source, own, config="text", day=DAY, force=False)
    table = source.with_suffix(".csv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(FactsError, match="there is another file of that name"):
        bring.bring(source, own, config="text", day=DAY, force=False)
    assert len(load.file(own / source.name).ratings) == 3
    bring.bring(source, own, config="text", day=DAY, force=True)
    assert len(load.file(own / source.name).ratings) == 1
    table.unlink()
    bring.bring(source, own, config="text", day=DAY, force=True)
    assert load.file(own / source.name).ratings == ()


def test_names_are_matched_letter_by_letter(tmp_path: Path) -> None:
    rows = [("Claude-Opus-4-7", *ROWS[0][1:]), ("claude-opus-4-7-20260416", *ROWS[0][1:])]
    bring.bring(parquet(tmp_path / "x.parquet", rows), tmp_path / "own", config="text", day=DAY, force=False)
    found = [rating for rating in load.load(tmp_path / "own").ratings if rating.date == datetime.date(2026, 11, 1)]
    assert [rating.model for rating in found] == [None, None]


def test_other_tables_of_the_arena_stand_beside(tmp_path: Path) -> None:
    source, own = parquet(tmp_path / "x.parquet"), tmp_path / "own"
    for config in ("text", "text_style_control"):
        bring.bring(source, own, config=config, day=DAY, force=False)
    assert len(load.load(own).ratings) == len(load.load().ratings) + 6


def test_a_table_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    for config in ("../text", "", "a b"):
        with pytest.raises(FactsError, match="is no table of the arena"):
            bring.bring(parquet(tmp_path / "x.parquet"), tmp_path / "own", config=config, day=DAY, force=False)


@pytest.mark.parametrize("drop", ["rating", "vote_count", "leaderboard_publish_date", "category"])
def test_parquet_of_something_else_is_refused(tmp_path: Path, drop: str) -> None:
    with pytest.raises(FactsError, match=f"not the arena's Parquet: .*{drop}") as wrong:
        bring.bring(parquet(tmp_path / "x.parquet", drop=drop), tmp_path / "own", config="text", day=DAY, force=False)
    assert "text/latest-00000-of-00001.parquet" in wrong.value.hint
    assert not (tmp_path / "own").exists()


def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "x.parquet").read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("head", b"PAR1"), ("noise", b"PAR1" + bytes(range(256)) + b"PAR1")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FactsError, match="not the arena's Parquet"):
            bring.bring(tmp_path / name, tmp_path / "own", config="text", day=DAY, force=False)
    with pytest.raises(FactsError, match="it has no rows"):
        bring.bring(parquet(tmp_path / "none", []), tmp_path / "own", config="text", day=DAY, force=False)
    assert not (tmp_path / "own").exists()


def test_a_rating_outside_its_interval_is_refused(tmp_path: Path) -> None:
    rows = [(*ROWS[0][:4], 1600.0, 1700.0, *ROWS[0][6:])]
    with pytest.raises(FactsError, match=r"the rating 1511\.25 is not within 1600 to 1700"):
        bring.bring(parquet(tmp_path / "x.parquet", rows), tmp_path / "own", config="text", day=DAY, force=False)
    assert not (tmp_path / "own").exists()


def test_ten_thousand_rows(tmp_path: Path) -> None:
    """The size of the dataset's newest day."""
    db = duckdb.connect()
    db.execute(
        "COPY (SELECT 'model-' || (n % 400) AS model_name, 'o' AS organization, 'l' AS license, 1500.0 AS rating,"
        " 1490.0 AS rating_lower, 1510.0 AS rating_upper, 1.0 AS variance, n AS vote_count, n AS rank,"
        " 'category-' || (n // 400) AS category, '2026-11-01' AS leaderboard_publish_date FROM range(10600) r(n))"
        f" TO '{tmp_path / 'x.parquet'}' (FORMAT parquet)"
    )
    brought = bring.bring(tmp_path / "x.parquet", tmp_path / "own", config="text", day=DAY, force=False)
    assert len(brought.facts.ratings) == 10_600
    assert len(load.load(tmp_path / "own").ratings) == 10_600 + len(load.load().ratings)
