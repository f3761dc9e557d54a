"""One demand here and by APIs: how many times as dear, when the machines are paid, what matters most, and what a mixture of both costs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.measure.cost_local import Work, local_cost
from harness.measure.entries import Undefined, Values, computed, given, is_number, number, shown
from harness.measure.money import YEAR_DAYS, api_cost, forms
from harness.schema.board import Entry
from harness.schema.cost import Comparison, Demand, Exchange, Local, LocalCost, Mixture, Offer, Step
from harness.schema.facts import Price

FACTORS = (0.5, 2.0)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
NO_RATING = Entry(unit="", why="no ratings of both models are given")
AS_IT_IS, AS_ASKED = "as it is", "as it was asked"
INPUTS = ("output_tok_s", "prefill_tok_s", "active_w", "idle_w", "electricity_per_kwh", "machine_price")
"""Of `Local`."""
REQUESTS, LIFETIME = "requests_per_day", "lifetime_years"


def compare(
    demand: Demand,
    local: Local,
    prices: Sequence[Price],
    currency: str,
    rates: Sequence[Exchange] = (),
    *,
    win_rate: Entry = NO_RATING,
    shares: Sequence[float] = SHARES,
) -> Comparison:
    """All of it. `win_rate`: of the local model against that of the first price, which the mixtures are with."""
    here = local_cost(demand, local, currency, rates)
    mixed = [mixture(demand, local, prices[0], share, currency, rates, win_rate=win_rate) for share in shares if prices]
    return Comparison(
        demand=demand,
        local=here,
        inputs={name: getattr(local, name) for name in INPUTS} | {exchange.of: exchange.rate for exchange in rates},
        offers=tuple(offer(demand, local, price, currency, rates, here=here) for price in prices),
        sensitivity=tuple(sensitivity(demand, local, prices, currency, rates)),
        mixtures=tuple(mixed),
    )


def offer(
    demand: Demand,
    local: Local,
    price: Price,
    currency: str,
    rates: Sequence[Exchange] = (),
    *,
    here: LocalCost | None = None,
) -> Offer:
    here = here or local_cost(demand, local, currency, rates)
    there = api_cost(demand, price, currency, rates)
    name = offer_name(price)

    def times(own: Entry) -> Entry:
        return computed(
            "times",
            lambda v: _over_positive(v["there"], v["here"]),
            {"there": there.per_day, "here": own},
            lambda v, value: f"{shown(v['there'])} / {shown(v['here'])} {currency}/day",
        )

    return Offer(
        name=name,
        cost=there,
        times_electricity=times(here.electricity.per_day),
        times_with_hardware=times(here.with_hardware.per_day),
        break_even_days=break_even(demand, local, there.per_day, name, currency, rates),
        break_even_days_electricity=break_even(demand, local, there.per_day, name, currency, rates, idle=False),
        note=price.note,
    )


def offer_name(price: Price) -> str:
    return f"{price.provider}: {price.ref}"


def break_even(
    demand: Demand,
    local: Local,
    other_per_day: Entry,
    name: str,
    currency: str,
    rates: Sequence[Exchange] = (),
    *,
    idle: bool = True,
) -> Entry:
    """Days until what is saved has paid the machines; unknown, with `never: …`, where nothing is saved. `idle`: idle hours counted."""
    work = Work(demand, local, currency, rates)
    inputs = work.speeds | {"active_w": local.active_w} | work.tariff | work.price | {"other": other_per_day}
    if idle:
        inputs |= {"idle_w": local.idle_w}
    running = work.with_idle if idle else work.electricity

    def days(v: Values) -> float:
        saved = v["other"] - running(v)
        if saved <= 0:
            raise Undefined(
                f"never: saves nothing per day ({shown(running(v))} {currency} of electricity here, {shown(v['other'])} at {name})"
            )
        return work.hardware(v) / saved

    def words(v: Values, value: float) -> str:
        late = value > local.lifetime_years * YEAR_DAYS
        after = f" (after the end of their {shown(local.lifetime_years)} years)" if late else ""
        return f"{work.say_hardware(v)} / ({shown(v['other'])} - {shown(running(v))} {currency}/day){after}"

    return computed("days", days, inputs, words)


def sensitivity(
    demand: Demand,
    local: Local,
    prices: Sequence[Price],
    currency: str,
    rates: Sequence[Exchange] = (),
    factors: Sequence[float] = FACTORS,
) -> list[Step]:
    """The inputs as they are, then each by itself times each factor; those that are unknown, or do not count here, are left out."""
    found = [_step(AS_IT_IS, 1.0, Entry(why="nothing is changed"), demand, local, prices, currency, rates)]
    unused = {"output_tok_s", "prefill_tok_s"} - Work(demand, local, currency, rates).speeds.keys()
    known = [name for name in INPUTS if name not in unused and is_number(getattr(local, name))]
    for name in (*known, REQUESTS, LIFETIME):
        for factor in factors:
            value, then, there = _changed(name, factor, demand, local)
            found.append(_step(name, factor, value, then, there, prices, currency, rates))
    return found


def mixture(
    demand: Demand,
    local: Local,
    price: Price,
    cloud_share: float,
    currency: str,
    rates: Sequence[Exchange] = (),
    *,
    win_rate: Entry = NO_RATING,
) -> Mixture:
    """`win_rate`: of the local model against the API's (`quality.win_rate`)."""
    there = api_cost(demand, price, currency, rates).per_day
    rest = msgspec.structs.replace(demand, requests_per_day=demand.requests_per_day * (1 - cloud_share))
    here = local_cost(rest, local, currency, rates).with_hardware.per_day
    inputs = {"here": here} | ({"there": there} if cloud_share else {})
    total = computed(
        f"{currency}/day",
        lambda v: v["here"] + cloud_share * v.get("there", 0.0),
        inputs,
        lambda v, value: f"{shown(v['here'])} here + {cloud_share:.4g} × {shown(v.get('there', 0.0))} {currency}/day there",
    )
    won = computed(
        "",
        lambda v: cloud_share / 2 + (1 - cloud_share) * v["win_rate"],
        {"win_rate": win_rate},
        lambda v, value: f"{cloud_share:.4g} × 0.5 + {1 - cloud_share:.4g} × {shown(v['win_rate'])}",
    )
    return Mixture(
        cloud_share=cloud_share,
        cost=forms(demand, total, currency),
        win_rate=won,
        input_tokens_leaving_per_day=_tokens(cloud_share, demand.input_tokens_per_day),
        output_tokens_from_outside_per_day=_tokens(cloud_share, demand.output_tokens_per_day),
        provider=price.provider,
    )


def _tokens(share: float, per_day: float) -> Entry:
    return Entry(value=share * per_day, unit="tok/day", origin="computed", how=f"{share:.4g} × {shown(per_day)} tok/day")


def _over_positive(above: float, below: float) -> float:
    if below <= 0:
        raise Undefined("it costs nothing here")
    return above / below


def _step(
    name: str,
    factor: float,
    value: Entry,
    demand: Demand,
    local: Local,
    prices: Sequence[Price],
    currency: str,
    rates: Sequence[Exchange],
) -> Step:
    here = local_cost(demand, local, currency, rates)
    days = {}
    for price in prices:
        there = api_cost(demand, price, currency, rates).per_day
        days[offer_name(price)] = break_even(demand, local, there, offer_name(price), currency, rates)
    return Step(
        input=name,
        factor=factor,
        value=value,
        with_idle_per_mtok_output=here.with_idle.per_mtok_output,
        with_hardware_per_mtok_output=here.with_hardware.per_mtok_output,
        break_even_days=days,
    )


def _changed(name: str, factor: float, demand: Demand, local: Local) -> tuple[Entry, Demand, Local]:
    """(the input as it is then, …)"""
    if name == REQUESTS:
        demand = msgspec.structs.replace(demand, requests_per_day=demand.requests_per_day * factor)
        return given(demand.requests_per_day, "/day", AS_ASKED), demand, local
    if name == LIFETIME:
        local = msgspec.structs.replace(local, lifetime_years=local.lifetime_years * factor)
        return given(local.lifetime_years, "years", AS_ASKED), demand, local
    entry: Entry = getattr(local, name)
    low, high = (None if each is None else each * factor for each in (entry.low, entry.high))
    entry = msgspec.structs.replace(entry, value=number(entry) * factor, low=low, high=high)
    return entry, demand, msgspec.structs.replace(local, **{name: entry})
