"""The article's system and workload as inputs of the cost model: 500,000 output tokens a day, 41 tok/s, 140 W, 0.30 a kWh."""

from __future__ import annotations

import datetime
from typing import TypeVar

from harness.measure.entries import given
from harness.schema.board import Entry
from harness.schema.cost import Demand, Local
from harness.schema.facts import Fact, Price, Source, Tier

T = TypeVar("T")
DAY = datetime.date(2026, 11, 23)
SOURCE = Source(url="https://example.org/prices", kind="package", date=DAY)


def of(value: float | None, unit: str, low: float | None = None, high: float | None = None) -> Entry:
    if value is None:
        return given(None, unit, "nobody said")
    return Entry(value=value, unit=unit, low=low, high=high, origin="given", date=DAY)


def demand(output_tokens: float = 500.0, requests: float = 1000.0, *, input_tokens: float = 0.0, cached: float = 0.0) -> Demand:
    return Demand(
        requests_per_day=requests,
        input_tokens_per_request=input_tokens,
        output_tokens_per_request=output_tokens,
        cached_input_share=cached,
    )


def local(
    *,
    tok_s: Entry | float = 41.0,
    prefill: Entry | float | None = None,
    active_w: Entry | float = 140.0,
    idle_w: Entry | float | None = 25.0,
    kwh: Entry | float = 0.30,
    kwh_unit: str = "USD/kWh",
    price: Entry | float | None = 4699.0,
    years: float = 3.0,
    machines: int = 1,
    copies: int = 1,
    input_per_output: float = 0.0,
) -> Local:
    """At parity of dollar and euro, as the article reckons."""

    def entry(value: Entry | float | None, unit: str) -> Entry:
        return value if isinstance(value, Entry) else of(value, unit)

    return Local(
        name="Mistral Small 4 on one GB10",
        output_tok_s=entry(tok_s, "tok/s"),
        concurrency=1,
        input_tokens_per_output_token=input_per_output,
        prefill_tok_s=entry(prefill, "tok/s"),
        active_w=entry(active_w, "W"),
        idle_w=entry(idle_w, "W"),
        power_scope="wall",
        electricity_per_kwh=entry(kwh, kwh_unit),
        machine_price=entry(price, "USD"),
        machines=machines,
        copies=copies,
        lifetime_years=years,
    )


def fact(value: T | None) -> Fact[T]:
    return Fact(why="not listed") if value is None else Fact(value=value, sources=(SOURCE,))


def price(
    output: float | None,
    input_: float | None = 0.0,
    cached: float | None = None,
    *,
    tiers: tuple[Tier, ...] | None = (),
    provider: str = "p",
    ref: str = "m",
    currency: str = "USD",
) -> Price:
    return Price(
        provider=provider,
        ref=ref,
        model=ref,
        currency=currency,
        input_mtok=fact(input_),
        cached_input_mtok=fact(cached),
        output_mtok=fact(output),
        tiers=Fact(why="not listed") if tiers is None else Fact(value=tiers, sources=(SOURCE,)),
    )
