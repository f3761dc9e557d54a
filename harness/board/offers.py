"""Price lists and terms of APIs → the board's rows: one for each model at each who serves it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.board import costs, quality, terms
from harness.board.measured import AGENTIC, LOAD
from harness.facts import lookup
from harness.measure.entries import of_fact
from harness.schema.board import Entry, Row
from harness.schema.facts import Fact, Facts, Model, Price, Provider
from harness.schema.sensors import POWER_SCOPES

NOT_MEASURED = "not measured here: harness bench --url https://…"
ITS_OWN = "it runs on the provider's machines"


def rows(facts: Facts, prices: Iterable[Price]) -> list[Row]:
    models = {model.id: model for model in facts.models}
    return [_row(facts, models[price.model], price) for price in prices if price.model in models]


def _row(facts: Facts, model: Model, price: Price) -> Row:
    known = row_of_terms(facts, price)
    return Row(
        id=_id(price),
        model=model.name,
        provider=f"{known.provider}, {known.product}" if known else price.provider,
        entries={
            **quality.entries(facts, model),
            **dict.fromkeys(("decode_tok_s", *LOAD, "concurrency", AGENTIC), Entry(why=NOT_MEASURED)),
            **dict.fromkeys((f"{scope}_{name}" for scope in POWER_SCOPES for name in ("w", "j_tok")), Entry(why=ITS_OWN)),
            "usd_mtok_in": _price(price, price.input_mtok),
            "usd_mtok_out": _price(price, price.output_mtok),
            **dict.fromkeys(costs.UNITS, Entry(why=ITS_OWN)),
            **terms.of_provider(known, facts),
            "weights_licence": of_fact(model.licence, "", "listed"),
            "leaves_desk": Entry(
                value="yes", origin="listed", date=price.output_mtok.date, how="it is an API", sources=price.output_mtok.sources
            ),
        },
    )


def named(row: Row, price: Price | None, listed: Iterable[Price]) -> Row:
    """A measured row by the name of the offer that it was measured of. Where several models have one price (efforts), the first."""
    if price is None:
        return row
    found = next((one for one in listed if (one.provider, one.ref) == (price.provider, price.ref)), None)
    return msgspec.structs.replace(row, id=_id(found)) if found else row


def _id(price: Price) -> str:
    return f"{price.model} @ {price.provider}"


def row_of_terms(facts: Facts, price: Price) -> Provider | None:
    """The row of terms for this model where there is one of its own, else the product's."""
    found = lookup.terms(facts, price.provider)
    return next((one for one in reversed(found) if one.model == price.model), next(iter(found), None))


def _price(price: Price, listed: Fact[float]) -> Entry:
    if price.currency != "USD":
        return Entry(unit="$/M", why=f"listed in {price.currency}")
    return of_fact(listed, "$/M", "listed", "; ".join(filter(None, (f"{price.provider}: {price.ref}", price.note))))
