"""Ratings → the quality columns of a model."""

from __future__ import annotations

from harness.facts import lookup
from harness.measure import quality
from harness.schema.board import Entry
from harness.schema.facts import Facts, Model, Rating

NOT_NAMED = "no model of the facts has this name: harness facts list models"
NOT_RATED = "not rated in the ratings that are here: harness facts import"


def best_closed(facts: Facts, model: Model | None) -> tuple[Entry, Rating | None]:
    """(how far the model is below it; the best closed model of the table and day of its newest rating). Without one the entry says why."""
    own = lookup.rating(facts, model.id) if model else None
    if own is None:
        return Entry(unit="Elo", why=NOT_NAMED if model is None else NOT_RATED), None
    closed = {one.id for one in facts.models if one.open_weights.value is False}
    return quality.quality_tax(own, list(lookup.same_day(facts, own)), closed)


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
