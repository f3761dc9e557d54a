"""What the article reckons with, as inputs of the cost model, and what is known instead."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from harness.board.costs import SPARK
from harness.facts import prices
from harness.measure.cost_local import local_cost
from harness.measure.entries import given, of_fact, scaled
from harness.measure.verdict import Span
from harness.schema.board import Entry
from harness.schema.cost import Demand, Exchange, Local, LocalCost
from harness.schema.facts import Claim, Fact, Facts, HardwarePrice, Model, Price
from harness.schema.recipe import Recipe
from harness.schema.sensors import WALL

EURO, DOLLAR = "EUR", "USD"
SCOPE = "taken as at the wall"
"""The article's watts, of which it says no scope: the idle ones that are put beside them are at the wall, and so is the bill."""
YEARS = 3.0


class Premises:
    def __init__(self, facts: Facts, recipes: Mapping[str, Recipe], day: datetime.date) -> None:
        self.facts, self.recipes, self.day = facts, recipes, day
        self.models = {model.id: model for model in facts.models}
        self._claims = {(claim.table, claim.row, claim.column): claim for claim in facts.claims}
        self.written = max((source.date for claim in facts.claims for source in claim.said.sources), default=day)
        """The article's own day."""
        self.claimed_price = self.text("list price", "Claude Opus 4.7")
        self.demand = Demand(
            requests_per_day=1.0,
            input_tokens_per_request=0.0,
            output_tokens_per_request=self.text("workload", "tokens a day").value.value or 0.0,
        )
        """Output alone, as the article counts."""
        self.at_par = [Exchange(of=EURO, to=DOLLAR, rate=given(1.0, f"{DOLLAR}/{EURO}", "at par"))]
        self.rates = [
            Exchange(of=row.of, to=row.to, rate=of_fact(row.rate, f"{row.to}/{row.of}", "published", str(row.day)))
            for row in sorted(facts.exchange, key=lambda row: row.day, reverse=True)
            if row.day <= day
        ]
        """The newest first."""

    def assumed(self) -> tuple[str, ...]:
        rate = next(iter(self.rates), None)
        here = f"one is {rate.rate.value} {rate.to}/{rate.of} ({rate.rate.how})" if rate else "no rate is known"
        return (
            f"By its own figures {EURO} and {DOLLAR} are at par, as the article has them, without saying so; everywhere else {here}.",
            "Output tokens alone are counted, as the article does; input costs time and money, too.",
            f"It does not say what its watts are of: they are {SCOPE}, where idle ones and the bill are.",
            f"Where the machine's price is in it, it lasts {YEARS:g} years.",
        )

    def claim(self, table: str, row: str, column: str) -> Claim:
        """Of one that is not there nothing is known."""
        none = Fact[str](why="the facts do not have this claim")
        missing = Claim(table=table, row=row, column=column, said=none, value=Fact(why=none.why), known=none)
        return self._claims.get((table, row, column), missing)

    def text(self, row: str, column: str) -> Claim:
        return self.claim("text", row, column)

    def system(
        self,
        *,
        machines: int = 1,
        tok_s: Entry | None = None,
        watts: Entry | None = None,
        machine: HardwarePrice | None = None,
    ) -> Local:
        """The article's, by its own figures or by another's. Each machine draws its watts."""
        machine = machine or self.machine(self.day)
        return Local(
            name=SPARK,
            output_tok_s=tok_s or entry(self.claim("this stack", "Output throughput", "single-stream")),
            concurrency=1,
            prefill_tok_s=given(None, "tok/s", "no input is counted"),
            active_w=_times(watts or entry(self.claim("this stack", "Power draw", "under load")), machines),
            idle_w=self.idle(),
            power_scope=SCOPE if watts is None else WALL,
            electricity_per_kwh=entry(self.text("electricity", "price")),
            machine_price=of_fact(machine.price, machine.currency, "listed") if machine else given(None, DOLLAR, "no price"),
            machines=machines,
            lifetime_years=YEARS,
        )

    def local(
        self, system: Local | None = None, *, currency: str = DOLLAR, at_par: bool = False, demand: Demand | None = None
    ) -> LocalCost:
        return local_cost(demand or self.demand, system or self.system(), currency, self.at_par if at_par else self.rates)

    def idle(self) -> Entry:
        return middle("W", self.watts("idle", machine=SPARK))

    def at_the_wall(self) -> Entry:
        """Of machines with this chip at work."""
        return middle("W", self.watts("load"))

    def watts(self, state: str, machine: str | None = None) -> list[Entry]:
        """At the wall."""
        rows = (row for row in self.facts.hardware_watts if (row.state, row.scope) == (state, WALL))
        return [of_fact(row.watts, "W", "published") for row in rows if machine in (None, row.machine)]

    def machine(self, day: datetime.date) -> HardwarePrice | None:
        """What one cost on that day."""
        rows = (row for row in self.facts.hardware_prices if row.machine == SPARK and row.since <= day)
        return max(rows, key=lambda row: row.since, default=None)

    def own_price(self, model: str, day: datetime.date | None = None) -> Price | None:
        found = self.models.get(model)
        return prices.own(found, day or self.day) if found else None

    def as_claimed(self, claim: Claim) -> Price | None:
        """The maker's price with the article's figure for the output."""
        own = self.own_price(claim.model)
        return own and msgspec.structs.replace(own, output_mtok=claim.value)

    def offered(self, model: str, day: datetime.date | None = None) -> list[Price]:
        """By whomever, with a price for output in dollars."""
        found = self.models.get(model)
        every = prices.of_model(found, day or self.day, self.facts.prices) if found else []
        return [price for price in every if price.output_mtok.value is not None and price.currency == DOLLAR]

    def closed(self, model: str) -> Model | None:
        """The model, if its weights are known not to be published."""
        found = self.models.get(model)
        return found if found and found.open_weights.value is False else None


def entry(claim: Claim) -> Entry:
    return of_fact(claim.value, claim.unit, "claimed")


def span(fact: Fact[float] | Entry) -> Span | None:
    value = fact.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Span(value, value)
    return Span(fact.low, fact.high) if fact.low is not None and fact.high is not None else None


def around(spans: Iterable[Span]) -> Span | None:
    """The range that has all of them in it."""
    found = list(spans)
    return Span(min(each.low for each in found), max(each.high for each in found)) if found else None


def middle(unit: str, published: Sequence[Entry]) -> Entry:
    """The median of what was published, and all of it as the range; a range counts by its middle."""
    known = [(each, found) for each in published if (found := span(each)) is not None]
    whole = around(found for _, found in known)
    if whole is None:
        return given(None, unit, "nobody published it")
    return Entry(
        value=median((found.low + found.high) / 2 for _, found in known),
        unit=unit,
        low=whole.low,
        high=whole.high,
        origin="published",
        date=max(each.date for each, _ in known if each.date),
        sources=tuple(dict.fromkeys(source for each, _ in known for source in each.sources)),
    )


def _times(one: Entry, count: int) -> Entry:
    return scaled(one, count, one.unit, f"× {count}") if count > 1 else one
