"""Ratings → the quality columns of a model."""

from __future__ import annotations

from collections.abc import Iterable

from harness.facts import lookup, ratings
from harness.measure import quality
from harness.schema.board import Board, Entry
from harness.schema.facts import Facts, Model, Rating

NOT_NAMED = "no model of the facts has this name: harness facts list models"
PROPRIETARY = "proprietary"
"""In the dataset's column `license`, of a model whose weights are not to be had."""
NOT_RATED = "not rated in the ratings that are here: harness facts import"


def best_closed(facts: Facts, model: Model | None) -> tuple[Entry, Rating | None]:
    """(how far the model is below it; the best closed model of the table and day of its newest rating). Without one the entry says why."""
    own = lookup.rating(facts, model.id) if model else None
    if own is None:
        return Entry(unit="Elo", why=NOT_NAMED if model is None else NOT_RATED), None
    rated = list(lookup.same_day(facts, own))
    return quality.quality_tax(own, rated, _closed(rated, facts))


def entries(facts: Facts, model: Model | None) -> dict[str, Entry]:
    """Of its newest rating, against the best closed model of the same table and day."""
    own = lookup.rating(facts, model.id) if model else None
    tax, best = best_closed(facts, model)
    if own is None:
        why = tax.why
        return {
            "elo": Entry(unit="Elo", why=why),
            "elo_gap": Entry(unit="Elo", why=why),
            "win_rate": Entry(unit="share", why=why),
        }
    if best is None:
        win = Entry(unit="share", why=tax.why)
    elif best is own:
        win = Entry(unit="share", why="it is the best closed model of its table")
    else:
        win = quality.win_rate(own, best)
    return {"elo": quality.entry(own), "elo_gap": tax, "win_rate": win}


def _closed(rated: Iterable[Rating], facts: Facts) -> set[str]:
    """What the arena calls the closed models. Of one that the facts do not know its own column says it: the best may be newer than they."""
    weights = {model.id: model.open_weights.value for model in facts.models}

    def is_closed(one: Rating) -> bool:
        known = weights.get(one.model or "")
        return known is False or (known is None and one.licence.lower() == PROPRIETARY)

    return {one.arena_name for one in rated if is_closed(one)}


def notes(board: Board) -> list[str]:
    """Of which table and day the board's ratings are, the newest first: those of several days are on different scales."""
    rated: dict[tuple[str, str], dict[str, None]] = {}
    for row in board.rows:
        elo = row.entries["elo"]
        if elo.value is not None and elo.date:
            words = f"{elo.how.partition('; ')[0]}, {(board.day - elo.date).days} days old"
            rated.setdefault((str(elo.date), words), {})[row.id.partition(" @ ")[0]] = None
    several = len(rated) > 1
    said = [
        f"Elo of arena.ai, {words}" + (f": {', '.join(names)}" if several else "")
        for (_, words), names in sorted(rated.items(), key=lambda each: each[0], reverse=True)
    ]
    if several:
        said.append("Elo of different days is on different scales: compare the gaps, not the ratings")
    if any(source.url == ratings.DATASET for row in board.rows for source in row.entries["elo"].sources):
        said.append(f"Ratings: {ratings.ATTRIBUTION}")
    return said
