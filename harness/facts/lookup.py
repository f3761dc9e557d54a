"""Rows by what else they are called."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from harness.schema.facts import Electricity, ExchangeRate, Facts, HardwarePrice, Model, Provider, Rating

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


def electricity(facts: Facts, country: str, customer: str) -> Electricity | None:
    """The newest."""
    found = (row for row in facts.electricity if (row.country, row.customer) == (country, customer))
    return max(found, key=lambda row: row.period, default=None)


def hardware_price(facts: Facts, machine: str, day: datetime.date) -> HardwarePrice | None:
    """What it costs on that day."""
    found = (row for row in facts.hardware_prices if row.machine == machine and row.since <= day)
    return max(found, key=lambda row: row.since, default=None)


def exchange(facts: Facts, day: datetime.date) -> list[ExchangeRate]:
    """Of each pair of currencies the newest up to that day."""
    until = sorted((row for row in facts.exchange if row.day <= day), key=lambda row: row.day)
    return list({(row.of, row.to): row for row in until}.values())


def terms(facts: Facts, price_list: str) -> list[Provider]:
    """What is known of a provider, by its name in price lists: its product's row first, then those for endpoints and models."""
    found = (provider for provider in facts.providers if price_list in provider.price_lists)
    return sorted(found, key=lambda provider: (provider.model is not None, provider.endpoint is not None))
