"""Systems of one's own → what a million tokens of theirs cost, and when they have paid for themselves: the sums of `harness cost`, of as
many requests as are sure to fit into a day, as long as the measured ones."""

from __future__ import annotations

import datetime

import msgspec

from harness.board import quality
from harness.errors import UsageError
from harness.facts import lookup, prices
from harness.measure import cost, cost_inputs
from harness.measure.cost_local import local_cost, saturated
from harness.measure.entries import Undefined, given, is_number, number, of_fact
from harness.measure.money import api_cost
from harness.schema.board import Entry
from harness.schema.cost import Assumed, Demand, Exchange, Local
from harness.schema.facts import Facts, Model, Price
from harness.schema.result import Point, Summary

UNITS = {
    "usd_mtok_electricity": "$/M",
    "usd_mtok_idle": "$/M",
    "usd_mtok_hardware": "$/M",
    "break_even_closed_days": "d",
    "break_even_hosted_days": "d",
}
MACHINES = {"GB10": "DGX Spark"}
"""Whose price stands for a machine, by `Summary.hardware`, unless one is named. Makers of its twins ask other prices."""
GIVEN = "as given"
NOT_HOSTED = "nobody is known to serve the same weights"


class Sums:
    """By one country's electricity and one table of exchange, looked up once for all rows."""

    def __init__(self, facts: Facts, day: datetime.date, assumed: Assumed) -> None:
        """Raises `UsageError` for a country without a price."""
        self._facts, self._day, self._assumed = facts, day, assumed
        self.electricity_per_kwh = electricity(assumed, facts, day)
        self._rates = rates(assumed, facts, day)
        self.lifetime_years = assumed.lifetime_years

    def machine_price(self, hardware: str) -> Entry:
        return machine_price(self._assumed, self._facts, self._day, hardware)

    def of_cell(self, summary: Summary, cell: Point) -> dict[str, Entry]:
        local = cost_inputs.of_cell(
            summary,
            cell,
            electricity_per_kwh=self.electricity_per_kwh,
            machine_price=self.machine_price(summary.hardware),
            lifetime_years=self.lifetime_years,
        )
        return self.of(local, cost_inputs.mean_lengths(cell), summary.model)

    def of(self, local: Local, lengths: tuple[float, float, float], model: str) -> dict[str, Entry]:
        """`lengths`: of a request, as `cost_inputs.mean_lengths` has them. `model`: as a recipe calls it."""
        own = lookup.model_of(self._facts, model)
        try:
            demand = saturated(local, input_tokens=lengths[0], output_tokens=lengths[1], cached_input_share=lengths[2])
        except Undefined as error:
            return unknown(str(error))
        currency = self._assumed.currency
        here = local_cost(demand, local, currency, self._rates)
        found = {
            "usd_mtok_electricity": here.electricity.per_mtok_output,
            "usd_mtok_idle": here.with_idle.per_mtok_output,
            "usd_mtok_hardware": here.with_hardware.per_mtok_output,
            "break_even_closed_days": self._break_even(demand, local, *self._closed(own)),
            "break_even_hosted_days": self._break_even(demand, local, *self._hosted(demand, own)),
        }
        return {name: _beside(entry, UNITS[name], local.notes) for name, entry in found.items()}

    def _break_even(self, demand: Demand, local: Local, price: Price | None, chosen_by: Entry) -> Entry:
        """`chosen_by`: why it is against that price, or that there is none."""
        if price is None:
            return chosen_by
        name, currency = cost.offer_name(price), self._assumed.currency
        there = api_cost(demand, price, currency, self._rates).per_day
        found = cost.break_even(demand, local, there, name, currency, self._rates)
        if not is_number(found):
            return found
        sources = tuple(dict.fromkeys((*found.sources, *chosen_by.sources)))
        return msgspec.structs.replace(found, how=f"against {name}: {found.how}", sources=sources)

    def _closed(self, own: Model | None) -> tuple[Price | None, Entry]:
        """The list price of the model that the quality columns compare with."""
        tax, best = quality.best_closed(self._facts, own)
        model = lookup.model_of(self._facts, best.model or "") if best else None
        if model is None or not is_number(tax):
            return None, tax
        price = prices.own(model, self._day)
        return price, tax if price else Entry(why=f"no price of its maker is known of {model.id}")

    def _hosted(self, demand: Demand, own: Model | None) -> tuple[Price | None, Entry]:
        """The cheapest for this demand."""
        if own is None:
            return None, Entry(why=quality.NOT_NAMED)
        listed = prices.of_model(own, self._day, self._facts.prices)
        sums = [(api_cost(demand, price, self._assumed.currency, self._rates).per_day, price) for price in listed]
        known = [(number(entry), price) for entry, price in sums if is_number(entry)]
        return min(known, key=lambda pair: pair[0], default=(0.0, None))[1], Entry(why=NOT_HOSTED)


def unknown(why: str) -> dict[str, Entry]:
    return {name: Entry(unit=unit, why=why) for name, unit in UNITS.items()}


def _beside(entry: Entry, unit: str, notes: tuple[str, ...]) -> Entry:
    """In the column's words."""
    how = "; ".join((entry.how, *notes)) if is_number(entry) else entry.how
    return msgspec.structs.replace(entry, unit=unit, how=how)


def electricity(assumed: Assumed, facts: Facts, day: datetime.date) -> Entry:
    """As given, else the newest of the country. Raises `UsageError` for a country without one."""
    if assumed.electricity_per_kwh is not None:
        return given(assumed.electricity_per_kwh, f"{assumed.currency}/kWh", GIVEN, day)
    newest = lookup.electricity(facts, assumed.country, assumed.customer)
    if newest is None:
        known = ", ".join(sorted({row.country for row in facts.electricity if row.customer == assumed.customer})) or "none"
        raise UsageError(
            f"no {assumed.customer} price of electricity is known of {assumed.country}", f"known: {known}; or --price-kwh"
        )
    how = f"{newest.country}, {newest.customer}, {newest.period}"
    return of_fact(newest.per_kwh, f"{newest.currency}/kWh", "published", how)


def machine_price(assumed: Assumed, facts: Facts, day: datetime.date, hardware: str) -> Entry:
    """As given, else that of `--hardware`, else of the machine whose GPU is `hardware`, on that day. Raises `UsageError` for a `--hardware`
    without one."""
    if assumed.machine_price is not None:
        return given(assumed.machine_price, assumed.currency, GIVEN, day)
    name = assumed.hardware or MACHINES.get(hardware)
    if name is None:
        why = f"no price is known of a machine with {hardware}" if hardware else "no machine is named"
        return given(None, assumed.currency, f"{why}: --hardware-price")
    newest = lookup.hardware_price(facts, name, day)
    if newest is None and assumed.hardware is None:
        return given(None, assumed.currency, f"no price is known of '{name}' on {day}: --hardware-price")
    if newest is None:
        known = ", ".join(sorted({row.machine for row in facts.hardware_prices})) or "none"
        raise UsageError(f"no price is known of '{name}'", f"known: {known}; or --hardware-price")
    return of_fact(newest.price, newest.currency, "listed", f"{newest.machine}, since {newest.since}")


def rates(assumed: Assumed, facts: Facts, day: datetime.date) -> list[Exchange]:
    """As given, else the newest of the facts up to that day."""
    said = [
        Exchange(of=of, to=assumed.currency, rate=given(rate, f"{assumed.currency}/{of}", GIVEN, since))
        for of, (rate, since) in assumed.rates.items()
    ]
    return said + [
        Exchange(of=row.of, to=row.to, rate=of_fact(row.rate, f"{row.to}/{row.of}", "published", f"of {row.day}"))
        for row in lookup.exchange(facts, day)
        if not assumed.rates.keys() & {row.of, row.to}
    ]


def assumptions(assumed: Assumed, facts: Facts, day: datetime.date) -> str:
    """What the columns of costs rest on besides measurements, in a sentence."""
    kwh = electricity(assumed, facts, day)
    known = {each.of: each.rate for each in rates(assumed, facts, day)}
    rate = known.get(kwh.unit.split("/")[0])
    into = f", {rate.value:g} {rate.unit} {rate.how}" if rate is not None and is_number(rate) else ""
    price = f"{kwh.value:g} {kwh.unit}" if is_number(kwh) else "electricity whose price is not known"
    return (
        "costs of machines of one's own: as many requests as are sure to fit into a day, as long as the measured ones; watts of the widest "
        f"scope that was measured, {price} ({kwh.how}){into}, machines last {assumed.lifetime_years:g} years; docs/cost.md"
    )
