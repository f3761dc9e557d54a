"""What APIs list for models, from the data that the package genai-prices carries: its part that goes to the network is never started.

A trap of its own arithmetic is kept away from: asked for a million tokens at once, it takes the price of long requests. Here the prices are
read as they are listed, with the tiers beside them.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from harness.errors import FactsError, did_you_mean
from harness.schema.facts import Claim, Fact, Facts, Model, Price, Source, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, StartDateConstraint, TieredPrices

PACKAGE = "https://github.com/pydantic/genai-prices"
_WATCHED = "openrouter"
"""Its prices are read by the package's makers every few days and carry the day; other changes may be announced for days to come."""

CLAIMED = "$/M output (cloud)"
"""The article's column of prices."""


class Edition(NamedTuple):
    version: str
    date: datetime.date
    """Of the newest price in it that was observed: the package itself bears no date."""


@cache
def edition() -> Edition:
    from importlib.metadata import version

    dates = [constraint.start_date for constraint in _starts(_providers()[_WATCHED])]
    return Edition(version("genai-prices"), max(dates))


def has(ref: str) -> bool:
    provider, _, name = ref.partition("/")
    return provider in _providers() and name in _models(provider)


@cache
def listed(ref: str, day: datetime.date, *, model: str = "", dearest: bool = False) -> Price:
    """The price on that day (UTC) of `provider/reference`, which is matched letter by letter. Where it depends on the hour it is that of
    most hours, or of the dearest, and the note says the others. Raises `FactsError` for a reference that the package does not have."""
    provider, _, name = ref.partition("/")
    if not has(ref):
        known = [f"{provider}/{name}" for name in _models(provider)] if provider in _providers() else list(_providers())
        near = did_you_mean(ref, known)
        raise FactsError(
            f"genai-prices {edition().version} has no price for {ref}",
            f"did you mean '{near}'?" if near else "references are provider/name, as that package has them",
        )
    by_hour = [_rates(price) for price in _each_hour(_models(provider)[name], day)]
    usual = max(by_hour, key=_height) if dearest else Counter(by_hour).most_common(1)[0][0]
    source = Source(
        url=next(iter(_providers()[provider].pricing_urls or ()), PACKAGE),
        kind="package",
        date=edition().date,
        dated=f"genai-prices {edition().version}; its newest observed change is of that day",
    )
    (entry, cached, output), tiers = usual

    def fact(value: float | None) -> Fact[float]:
        return Fact(why="not listed") if value is None else Fact(value=value, sources=(source,))

    return Price(
        provider=provider,
        ref=name,
        model=model,
        currency="USD",
        input_mtok=fact(entry),
        cached_input_mtok=fact(cached),
        output_mtok=fact(output),
        tiers=Fact(value=tiers, sources=(source,)),
        note=_other_hours(by_hour, usual),
    )


def at(url: str, model: str, day: datetime.date) -> Price | None:
    """The price of what the endpoint at `url` calls `model`, by the package's own patterns; None: it knows no such endpoint or model."""
    ref = _ref(url, model)
    return listed(ref, day) if ref else None


def most(url: str, model: str, day: datetime.date) -> Price | None:
    """The same at the dearest hour. None also where each request is charged for too, whatever its tokens."""
    ref = _ref(url, model)
    if ref is None:
        return None
    provider, _, name = ref.partition("/")
    if any(price.requests_kcount for price in _each_hour(_models(provider)[name], day)):
        return None
    return listed(ref, day, dearest=True)


def _ref(url: str, model: str) -> str | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, found = get_snapshot().find_provider_model(model, None, None, url)
    except LookupError:
        return None
    return f"{provider.id}/{found.id}" if found.id in _models(provider.id) else None


def servers() -> frozenset[str]:
    """Addresses of the providers that have one for all: of those with one for each customer (Azure) it names the customer."""
    patterns = (provider.api_pattern.replace("\\.", ".") for provider in _providers().values())
    return frozenset(pattern for pattern in patterns if re.fullmatch(r"https://[a-z0-9.-]+[a-z]", pattern))


def of_model(model: Model, day: datetime.date, more: Sequence[Price] = ()) -> list[Price]:
    """Its maker's own price first, then those of others who serve it: from the package, and of `more` (`Facts.prices`) what is of it."""
    refs = [model.own_price, *model.hosted] if model.own_price else list(model.hosted)
    return [*(listed(ref, day, model=model.id) for ref in refs), *(price for price in more if price.model == model.id)]


def every(facts: Facts, day: datetime.date) -> list[Price]:
    """Of all models."""
    return [price for model in facts.models for price in of_model(model, day, facts.prices)]


def own(model: Model, day: datetime.date) -> Price | None:
    """Its maker's own price; None: none is known."""
    return listed(model.own_price, day, model=model.id) if model.own_price else None


class Beside(NamedTuple):
    """The article's price of a model's output tokens and what is listed."""

    claim: Claim
    listed: tuple[Price, ...]
    """As `of_model` gives them."""

    @property
    def ratio(self) -> float | None:
        """Claimed by the first that is listed; None: there is nothing to compare."""
        listed = next((price.output_mtok.value for price in self.listed if price.output_mtok.value), None)
        return self.claim.value.value / listed if listed and self.claim.value.value else None


def beside(facts: Facts, day: datetime.date) -> list[Beside]:
    """Every price that the article claims, with what is listed."""
    models = {model.id: model for model in facts.models}
    return [
        Beside(claim, tuple(of_model(models[claim.model], day, facts.prices)) if claim.model in models else ())
        for claim in claimed(facts.claims)
    ]


def claimed(claims: Iterable[msgspec.Struct]) -> list[Claim]:
    """The article's prices."""
    return [claim for claim in claims if isinstance(claim, Claim) and claim.column == CLAIMED]


@cache
def _providers() -> dict[str, Provider]:
    from genai_prices.data_snapshot import get_snapshot

    return {provider.id: provider for provider in get_snapshot().providers}


@cache
def _models(provider: str) -> dict[str, ModelInfo]:
    return {model.id: model for model in _providers()[provider].models}


def _starts(provider: Provider) -> Iterator[StartDateConstraint]:
    from genai_prices.types import StartDateConstraint

    for model in provider.models:
        for price in model.prices if isinstance(model.prices, list) else ():
            if isinstance(price.constraint, StartDateConstraint):
                yield price.constraint


def _each_hour(model: ModelInfo, day: datetime.date) -> Iterable[ModelPrice]:
    return (model.get_prices(datetime.datetime.combine(day, datetime.time(hour), datetime.UTC)) for hour in range(24))


_Rates = tuple[tuple[float | None, float | None, float | None], tuple[Tier, ...]]
"""(input, cached input, output) of short requests, and the tiers of longer ones."""


def _rates(price: ModelPrice) -> _Rates:
    from genai_prices.types import TieredPrices

    said = (price.input_mtok, price.cache_read_mtok, price.output_mtok)
    starts = sorted({tier.start for one in said if isinstance(one, TieredPrices) for tier in one.tiers})

    def at(one: Decimal | TieredPrices | None, tokens: int) -> float | None:
        if isinstance(one, TieredPrices):
            reached = [tier.price for tier in one.tiers if tokens >= tier.start]
            one = reached[-1] if reached else one.base
        return None if one is None else float(one)

    def row(tokens: int) -> tuple[float | None, float | None, float | None]:
        entry, cached, output = (at(one, tokens) for one in said)
        return entry, cached, output

    tiers = ((start, row(start)) for start in starts)
    return row(-1), tuple(
        Tier(above_tokens=start, input_mtok=i, cached_input_mtok=c, output_mtok=o) for start, (i, c, o) in tiers
    )


def _height(rates: _Rates) -> float:
    """Of input and output together: what is dearer by the hour is so in both."""
    (entry, _, output), _ = rates
    return (entry or 0.0) + (output or 0.0)


def _other_hours(by_hour: list[_Rates], usual: _Rates) -> str:
    others: dict[_Rates, list[int]] = {}
    for hour, one in enumerate(by_hour):
        if one != usual:
            others.setdefault(one, []).append(hour)
    return "; ".join(
        f"in the hours from {', '.join(map(str, hours))} o'clock UTC {', '.join('–' if rate is None else f'{rate:g}' for rate in one[0])}"
        " (input, cached input, output)"
        for one, hours in others.items()
    )
