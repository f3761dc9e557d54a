"""Ratings → the quality columns of a model."""

from __future__ import annotations

from harness.facts import lookup
from harness.measure import quality
from harness.schema.board import Entry
from harness.schema.facts import Facts, Model

NOT_NAMED = "no model of the facts has this name: harness facts list models"
NOT_RATED = "not rated in the ratings that are here: harness facts import"


def entries(facts: Facts, model: Model | None) -> dict[str, Entry]:
    """Of its newest rating, against the best closed model of the same table and day."""
    own = lookup.rating(facts, model.id) if model else None
    if model is None or own is None:
        why = NOT_NAMED if model is None else NOT_RATED
        return {
            "elo": Entry(unit="Elo", why=why),
            "elo_gap": Entry(unit="Elo", why=why),
            "win_rate": Entry(unit="share", why=why),
        }
    closed = {one.id for one in facts.models if one.open_weights.value is False}
    tax, best = quality.quality_tax(own, list(lookup.same_day(facts, own)), closed)
    if best is None:
        win = Entry(unit="share", why=tax.why)
    elif best is own:
        win = Entry(unit="share", why="it is the best closed model of its table")
    else:
        win = quality.win_rate(own, best)
    return {"elo": quality.entry(own), "elo_gap": tax, "win_rate": win}
