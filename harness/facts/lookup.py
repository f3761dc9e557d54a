"""Rows by what else they are called."""

from __future__ import annotations

from collections.abc import Iterable

from harness.schema.facts import Facts, Model, Provider, Rating

TEXT, OVERALL = "text", "overall"


def model_of(facts: Facts, name: str) -> Model | None:
    """By its id, or by what a recipe loads; letter by letter."""
    return next((model for model in facts.models if name == model.id or name in model.weights), None)


def rating(facts: Facts, model: str, *, config: str = TEXT, category: str = OVERALL) -> Rating | None:
    """The model's newest in that table of the arena."""
    found = (one for one in facts.ratings if (one.model, one.config, one.category) == (model, config, category))
    return max(found, key=lambda one: one.date, default=None)


def same_day(facts: Facts, of: Rating) -> Iterable[Rating]:
    """Those that it may be compared with."""
    return (one for one in facts.ratings if (one.date, one.config, one.category) == (of.date, of.config, of.category))


def terms(facts: Facts, price_list: str) -> list[Provider]:
    """What is known of a provider, by its name in price lists: its product's row first, then those for endpoints and models."""
    found = (provider for provider in facts.providers if price_list in provider.price_lists)
    return sorted(found, key=lambda provider: (provider.model is not None, provider.endpoint is not None))
