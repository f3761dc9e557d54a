"""Sums of money: per what they are said, in which currency, and what an API lists."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.entries import Values, computed, given, of_fact, scaled, shown
from harness.schema.board import Entry
from harness.schema.cost import Cost, Demand, Exchange
from harness.schema.facts import Price, Tier

MONTH_DAYS, YEAR_DAYS = 30, 365
MTOK = 1e6
NO_OUTPUT, NO_TOKENS, NO_REQUESTS = "no output tokens are asked for", "no tokens are asked for", "no requests are asked for"
_WORDS = {"output_mtok": "output tok", "cached_input_mtok": "cached input tok", "input_mtok": "input tok"}


def forms(demand: Demand, per_day: Entry, currency: str) -> Cost:
    """A sum a day, said per what people compare."""
    output = demand.output_tokens_per_day
    tokens = output + demand.input_tokens_per_day

    def per(count: float, unit: str, none: str, words: str) -> Entry:
        unit = f"{currency}/{unit}"
        return scaled(per_day, 1 / count, unit, words) if count else Entry(unit=unit, why=none)

    return Cost(
        per_day=per_day,
        per_month=scaled(per_day, MONTH_DAYS, f"{currency}/month", f"× {MONTH_DAYS} days"),
        per_request=per(demand.requests_per_day, "request", NO_REQUESTS, f"/ {shown(demand.requests_per_day)} requests/day"),
        per_mtok_output=per(output / MTOK, "Mtok", NO_OUTPUT, f"/ {shown(output / MTOK)} M output tok/day"),
        per_mtok=per(tokens / MTOK, "Mtok", NO_TOKENS, f"/ {shown(tokens / MTOK)} M tok/day, input and output"),
    )


def api_cost(demand: Demand, price: Price, currency: str, rates: Sequence[Exchange] = ()) -> Cost:
    """By the prices that hold for a request of the mean size."""
    tier = price.tier(demand.input_tokens_per_request)
    unit = f"{price.currency}/Mtok"
    cached = demand.input_tokens_per_request * demand.cached_input_share
    counts = {"output_mtok": demand.output_tokens_per_request, "cached_input_mtok": cached}
    counts["input_mtok"] = demand.input_tokens_per_request - cached
    asked = {name: count for name, count in counts.items() if count}
    listed = {name: _listed(price, tier, name, unit) for name in asked}
    rate = exchange("rate", Entry(unit=price.currency), currency, rates)

    def per_day(v: Values) -> float:
        return sum(count * v[name] for name, count in asked.items()) / MTOK * demand.requests_per_day * v.get("rate", 1.0)

    def words(v: Values, value: float) -> str:
        sums = " + ".join(f"{shown(count)} {_WORDS[name]} × {shown(v[name])}" for name, count in asked.items())
        into = f" × {shown(v['rate'])} {currency}/{price.currency}" if rate else ""
        long = f" (prices above {tier.above_tokens:,} input tokens)" if tier else ""
        note = "" if price.tiers.value is not None else "; whether long inputs cost more is not known"
        return f"({sums}) {unit} / 1e6 × {shown(demand.requests_per_day)} requests/day{into}{long}{note}"

    return forms(demand, computed(f"{currency}/day", per_day, listed | rate, words), currency)


def exchange(name: str, amount: Entry, currency: str, rates: Sequence[Exchange]) -> dict[str, Entry]:
    """What turns an amount into `currency`, under that name; nothing where it is in it already. Never a guess: without a rate it is
    unknown."""
    of = amount.unit.split("/")[0]
    if of == currency:
        return {}
    for rate in rates:
        if (rate.of, rate.to) == (of, currency):
            return {name: rate.rate}
        if (rate.of, rate.to) == (currency, of):
            return {
                name: computed(
                    f"{currency}/{of}", lambda v: 1 / v["rate"], {"rate": rate.rate}, lambda v, _: f"1 / {v['rate']}"
                )
            }
    return {name: given(None, f"{currency}/{of}", f"no rate from {of} to {currency} is given")}


def _listed(price: Price, tier: Tier | None, name: str, unit: str) -> Entry:
    if tier is None:
        return of_fact(getattr(price, name), unit, "listed")
    value = getattr(tier, name)
    if value is None:
        return Entry(unit=unit, why=f"not listed above {tier.above_tokens:,} input tokens")
    tiers = price.tiers
    return Entry(value=value, unit=unit, origin="listed", date=tiers.date, how=tiers.note, sources=tiers.sources)
