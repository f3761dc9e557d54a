"""The arena's ratings: a CSV of ours, and the public dataset's Parquet → such a CSV. The columns have the dataset's names, and three more:
`config`, `note`, and `by`, the id of a source in the YAML file of the same name."""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.errors import FactsError
from harness.schema.facts import NO_SOURCE, Fact, Rating, Source

DATASET = "https://huggingface.co/datasets/lmarena-ai/leaderboard-dataset"
"""CC-BY-4.0: whoever shows its ratings names it."""
ATTRIBUTION = "LMArena leaderboard dataset (CC-BY-4.0)"

_DATASET_COLUMNS = (
    "model_name",
    "organization",
    "license",
    "rating",
    "rating_lower",
    "rating_upper",
    "vote_count",
    "rank",
    "category",
    "leaderboard_publish_date",
)
_TYPES = {
    "rating": "DOUBLE",
    "rating_lower": "DOUBLE",
    "rating_upper": "DOUBLE",
    "vote_count": "BIGINT",
    "rank": "BIGINT",
    "leaderboard_publish_date": "DATE",
}


def _as_type(name: str) -> str:
    kind = _TYPES.get(name, "VARCHAR")
    given = (
        f"nullif(CAST({name} AS DOUBLE), 'nan')" if kind in ("DOUBLE", "BIGINT") else name
    )  # some write so that there is no number
    return f"CAST({given} AS {kind}) AS {name}"


_AS_TYPES = ", ".join(map(_as_type, _DATASET_COLUMNS))
COLUMNS = ("config", *_DATASET_COLUMNS, "note", "by")


def read(text: str, path: str, known: Mapping[str, Source]) -> tuple[Rating, ...]:
    """Raises `FactsError` with the line."""
    lines = csv.DictReader(io.StringIO(text))
    if lines.fieldnames is None or set(lines.fieldnames) != set(COLUMNS):
        raise FactsError(f"{path}:1: the columns are not {', '.join(COLUMNS)}", "see docs/facts.md for the format")
    found: dict[tuple[str, ...], Rating] = {}
    try:
        for row in lines:
            if None in row or None in row.values():
                raise ValueError(f"it has not the {len(COLUMNS)} columns of the first line")
            mark = tuple(row[name] for name in ("model_name", "config", "category", "leaderboard_publish_date"))
            if mark in found:
                raise ValueError("the same row stands above")
            found[mark] = _rating(row, known)
    except (ValueError, csv.Error) as error:
        raise FactsError(f"{path}:{lines.line_num}: {error}", "mend or remove that line") from None
    return tuple(found.values())


def _rating(row: dict[str, str], known: Mapping[str, Source]) -> Rating:
    if row["by"] and row["by"] not in known:
        raise ValueError(f"there is no source '{row['by']}'")
    if not row["model_name"] or not row["config"] or not row["category"]:
        raise ValueError("model_name, config and category must be said")
    value, low, high = (_number(row[name]) for name in ("rating", "rating_lower", "rating_upper"))
    if None not in (value, low, high) and not low <= value <= high:  # type: ignore[operator]
        raise ValueError(f"the rating {value:g} is not within {low:g} to {high:g}")
    rating: Fact[float] = Fact(why=NO_SOURCE)
    if row["by"] and value is not None:
        rating = Fact(value=value, low=low, high=high, sources=(known[row["by"]],), note=row["note"])
    return Rating(
        arena_name=row["model_name"],
        config=row["config"],
        category=row["category"],
        date=datetime.date.fromisoformat(row["leaderboard_publish_date"]),
        rating=rating,
        votes=int(row["vote_count"]) if row["vote_count"] else None,
        rank=int(row["rank"]) if row["rank"] else None,
        organization=row["organization"],
        licence=row["license"],
    )


def _number(text: str) -> float | None:
    if not text:
        return None
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no rating")
    return number


class Dump(NamedTuple):
    """The newest day of a Parquet file, as a CSV whose rows name the source `dataset`."""

    text: str
    date: datetime.date
    rows: int
    left_out: int
    """Rows of earlier days."""


def from_parquet(path: Path, config: str) -> Dump:
    """Raises `FactsError` for what is not the dataset's Parquet."""
    import duckdb

    hint = f"it is to be a file of {DATASET}, such as text/latest-00000-of-00001.parquet"
    if any(letter in str(path) for letter in "*?["):
        raise FactsError(f"{path}: a name with *, ? or [ stands for several files", "give it another name")
    db = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    try:
        db.execute(f"CREATE TABLE ratings AS SELECT {_AS_TYPES} FROM read_parquet(?)", [str(path)])
        newest, total = db.execute("SELECT max(leaderboard_publish_date), count(*) FROM ratings").fetchall()[0]
        rows = db.execute(
            "SELECT * FROM ratings WHERE leaderboard_publish_date = ? ORDER BY category, rank, model_name", [newest]
        ).fetchall()
    except duckdb.Error as error:
        raise FactsError(f"{path}: not the arena's Parquet: {str(error).splitlines()[0]}", hint) from None
    finally:
        db.close()
    if not rows:
        raise FactsError(f"{path}: it has no rows", hint)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((config, *("" if value is None else value for value in row), "", "dataset"))
    return Dump(out.getvalue(), newest, len(rows), total - len(rows))
