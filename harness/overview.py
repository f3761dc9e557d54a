"""All that is known, joined: what is stored, published, listed and promised. It reads, the board joins. No network."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.board import foreign, imported, join, measured, offers, own, published
from harness.facts import prices
from harness.recipe import catalog, load
from harness.recipe.resolve import engine_of
from harness.schema.board import Board
from harness.schema.cost import Assumed
from harness.schema.facts import Facts
from harness.schema.result import Summary
from harness.store import imports


def board(
    results: Path,
    summaries: Sequence[Summary],
    facts: Facts,
    recipe_folders: Sequence[Path],
    day: datetime.date,
    machines: Assumed = own.BY_FACTS,
    seat: str | None = None,
) -> Board:
    """`summaries`: of what is stored in `results`, whose imports are read. `machines`, `seat`: what is said of one's own."""
    recipes = [load.load(path) for path in catalog.paths(recipe_folders)]
    listed = prices.every(facts, day)
    ours = own.Own(facts, day, machines, seat=seat)
    kept, broken = imports.every(results)
    return join.board(
        [
            offers.named(row, prices.at(row.provider, row.model, day), listed) if row.provider else row
            for row in measured.rows(summaries, ours)
        ],
        published.rows(((recipe, engine_of(recipe) or recipe.runtime) for recipe in recipes), ours),
        day=day,
        facts=facts,
        offers=offers.rows(facts, listed),
        imported=imported.rows((about, foreign.read(data, about.name)) for about, data in kept),
        notes=(*broken, ours.note),
    )


def tables(facts: Facts, day: datetime.date) -> dict[str, tuple[msgspec.Struct, ...]]:
    """The facts by table, with the prices of the package among those of the files."""
    return {name: getattr(facts, name) for name in facts.__struct_fields__} | {"prices": tuple(prices.every(facts, day))}
