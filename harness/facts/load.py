"""All facts: those that came with the harness, and over them the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.errors import FactsError
from harness.facts import ratings, tables
from harness.facts.reading import Read
from harness.schema.facts import Facts, Rating

SHIPPED = Path(__file__).parent / "data"


def load(own: Path | None = None) -> Facts:
    """`own` is the user's folder, which need not exist. A row there takes the place of the shipped one that it is the same as
    (`tables.TABLES` says by which fields). Raises `FactsError`."""
    return merged([file(path) for path in [*files(SHIPPED), *files(own)]])


def files(folder: Path | None) -> list[Path]:
    return sorted(folder.glob("*.yaml")) if folder else []


def file(path: Path) -> Facts:
    """One file's rows, with those of the CSV of the same name. Raises `FactsError`."""
    try:
        data = path.read_bytes()
        beside = path.with_suffix(".csv")
        text = beside.read_text() if beside.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise FactsError(f"{path}: {error}", "check the file, or remove it") from None
    return parse(data, str(path), text)


def parse(data: bytes, path: str, table: str | None = None) -> Facts:
    """`table` is the CSV of ratings beside it. Raises `FactsError`."""
    read = Read(data, path)
    found = tables.rows(read)
    if table is None:
        return found
    beside = str(Path(path).with_suffix(".csv"))
    return msgspec.structs.replace(found, ratings=found.ratings + ratings.read(table, beside, tables.sources(read)))


def merged(parts: list[Facts]) -> Facts:
    """Of two rows that are the same, the later one. Ratings learn which model they are of, by the aliases of all files."""
    found: dict[str, dict[tuple[object, ...], Any]] = {name: {} for name in tables.TABLES}
    for part in parts:
        for name, rows in found.items():
            rows.update({tables.key(row): row for row in getattr(part, name)})
    models = {alias: model.id for model in found["models"].values() for alias in model.arena}
    found["ratings"] = {key: _named(rating, models) for key, rating in found["ratings"].items()}
    return Facts(**{name: tuple(rows.values()) for name, rows in found.items()})


def _named(rating: Rating, models: dict[str, str]) -> Rating:
    model = models.get(rating.arena_name)
    return msgspec.structs.replace(rating, model=model) if model else rating
