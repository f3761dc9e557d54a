"""From a stored result, facts and what somebody says to all that is said of costs: joins store, facts and the cost model."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness.board.costs import GIVEN, electricity, machine_price, rates
from harness.errors import StoreError, UsageError, did_you_mean
from harness.facts import lookup, prices
from harness.measure import cost, cost_inputs
from harness.measure.cost_local import saturated
from harness.measure.entries import Undefined, given
from harness.measure.quality import win_rate
from harness.schema.board import Entry
from harness.schema.cost import Assumed, Comparison, Demand, Exchange, Local
from harness.schema.facts import Facts, Model, Price, Rating
from harness.schema.result import Point, Result, Summary
from harness.store import folder, index

SATURATED = "no number of requests was given: as many as fit into a day"


class Ask(Assumed, frozen=True, kw_only=True):
    """What was said. None: it is taken from the result or the facts."""

    requests_per_day: float | None = None
    input_tokens_per_request: float | None = None
    output_tokens_per_request: float | None = None
    cached_input_share: float | None = None
    cell: str | None = None
    output_tok_s: float | None = None
    concurrency: float | None = None
    prefill_tok_s: float | None = None
    active_w: float | None = None
    idle_w: float | None = None
    machines: int | None = None
    copies: int = 1
    model: str | None = None
    against: tuple[str, ...] = ()
    """Ids of models, at their makers' prices."""
    hosted: tuple[str, ...] = ()
    """`provider:model` of those who serve them."""


def of_result(path: Path, ask: Ask, facts: Facts, day: datetime.date) -> Comparison:
    """Raises `UsageError`, `StoreError`."""
    result = folder.read_result(path)
    summary = index.summary(result, path)
    cell = _named(result, summary, ask.cell) if ask.cell else cost_inputs.busiest(summary)
    if cell is None:
        raise StoreError(f"result {result.id} has no cell whose speed counts", "harness results show says why; or give --tok-s")
    system = system_of(summary, cell, ask, facts, day)
    lengths = cost_inputs.mean_lengths(cell)
    return _compared(system, lengths, lookup.model_of(facts, ask.model or result.model), ask, facts, day)


def system_of(summary: Summary, cell: Point, ask: Ask, facts: Facts, day: datetime.date) -> Local:
    """As that cell measured it, but for what was said. Raises `UsageError`."""
    system = cost_inputs.of_cell(
        summary,
        cell,
        electricity_per_kwh=electricity(ask, facts, day),
        machine_price=machine_price(ask, facts, day, summary.hardware),
        machines=ask.machines,
        copies=ask.copies,
        lifetime_years=ask.lifetime_years,
    )
    return _overridden(system, ask, day)


def of_words(ask: Ask, facts: Facts, day: datetime.date) -> Comparison:
    """Without a result: by what was said alone. Raises `UsageError`."""
    unsaid = "not given"
    system = Local(
        name=ask.model or "what was described",
        output_tok_s=given(None, "tok/s", unsaid),
        concurrency=ask.concurrency,
        prefill_tok_s=given(None, "tok/s", unsaid),
        active_w=given(None, "W", unsaid),
        idle_w=given(None, "W", unsaid),
        power_scope="scope not given",
        electricity_per_kwh=electricity(ask, facts, day),
        machine_price=machine_price(ask, facts, day, ""),
        machines=ask.machines or 1,
        copies=ask.copies,
        lifetime_years=ask.lifetime_years,
    )
    model = None if ask.model is None else _model(facts, ask.model)
    return _compared(_overridden(system, ask, day), None, model, ask, facts, day)


def _named(result: Result, summary: Summary, name: str) -> Point:
    """By the cell's id, or its load where only one cell has that: `c8`. Raises `UsageError`."""
    cells = [each.cell for each in result.cells]
    fitting = [place for place, cell in enumerate(cells) if cell.id == name]
    fitting = fitting or [place for place, cell in enumerate(cells) if cell.load == name]
    if len(fitting) != 1:
        known = ", ".join(cell.id for cell in cells)
        raise UsageError(f"result {result.id} has no one cell called '{name}'", f"one of {known}")
    return summary.points[fitting[0]]


def offers(ask: Ask, facts: Facts, day: datetime.date, own: Model | None) -> list[Price]:
    """Those asked for; where none is, everybody who serves the same weights. Raises `UsageError`."""
    if not ask.against and not ask.hosted:
        return prices.of_model(own, day, facts.prices) if own else []
    found = []
    for name in ask.against:
        price = prices.own(_model(facts, name), day)
        if price is None:
            raise UsageError(
                f"no price of its maker is known of {name}", "harness facts list prices has those that are; or --hosted"
            )
        found.append(price)
    return found + [_hosted(name, facts, day) for name in ask.hosted]


def _compared(
    system: Local,
    lengths: tuple[float, float, float] | None,
    own: Model | None,
    ask: Ask,
    facts: Facts,
    day: datetime.date,
) -> Comparison:
    """`lengths`: of the requests that were measured."""
    demand, notes = _demand(ask, system, lengths)
    listed = offers(ask, facts, day, own)
    known, lacking = exchange([system], listed, ask, facts, day)
    won = _win_rate(facts, own.id if own else None, listed[0].model) if listed else cost.NO_RATING
    found = cost.compare(demand, system, listed, ask.currency, known, win_rate=won)
    return msgspec.structs.replace(found, notes=(*notes, *system.notes, *lacking, *_alone(listed, own)))


def _demand(ask: Ask, system: Local, lengths: tuple[float, float, float] | None) -> tuple[Demand, list[str]]:
    measured = lengths or (0.0, None, 0.0)
    asked = (ask.input_tokens_per_request, ask.output_tokens_per_request, ask.cached_input_share)
    input_, output, cached = (theirs if ours is None else ours for ours, theirs in zip(asked, measured, strict=True))
    if output is None:
        raise UsageError("how long the answers are is not said", "give --output-tokens N, of one request")
    notes = []
    if lengths is not None and None in asked[:2]:
        notes.append("requests as long as those that were measured, where nothing else was said")
    if ask.requests_per_day is not None:
        one = Demand(
            requests_per_day=ask.requests_per_day,
            input_tokens_per_request=input_ or 0.0,
            output_tokens_per_request=output,
            cached_input_share=cached or 0.0,
        )
        return one, notes
    try:
        full = saturated(system, input_tokens=input_ or 0.0, output_tokens=output, cached_input_share=cached or 0.0)
    except Undefined as error:
        raise UsageError(
            f"how many requests fit into a day is not known: {error}", "give --requests-per-day N, or what is missing"
        ) from None
    return full, [*notes, SATURATED]


def _overridden(system: Local, ask: Ask, day: datetime.date) -> Local:
    said = {
        "output_tok_s": (ask.output_tok_s, "tok/s"),
        "prefill_tok_s": (ask.prefill_tok_s, "tok/s"),
        "active_w": (ask.active_w, "W"),
        "idle_w": (ask.idle_w, "W"),
    }
    changes: dict[str, object] = {
        name: given(value, unit, GIVEN, day) for name, (value, unit) in said.items() if value is not None
    }
    if "output_tok_s" in changes:
        changes |= {"input_tokens_per_output_token": 0.0, "concurrency": ask.concurrency}
    powers = {"active_w", "idle_w"}
    if changes.keys() & powers:
        changes["power_scope"] = "as given"
        for name in powers - changes.keys():
            if getattr(system, name).value is not None:  # watts of two scopes are never put together
                changes[name] = given(None, "W", f"not given, and the measured ones are of scope {system.power_scope}")
    return msgspec.structs.replace(system, **changes)


def _win_rate(facts: Facts, own: str | None, other: str) -> Entry:
    """By the newest table of the arena that has both."""
    if own is None:
        return Entry(why="no model of the facts is named: --model")
    pairs = [(mine, theirs) for mine in _ratings(facts, own) for theirs in _ratings(facts, other) if mine.date == theirs.date]
    newest = max(pairs, key=lambda pair: pair[0].date, default=None)
    if newest is None:
        return Entry(why=f"no day's ratings ({lookup.TEXT}, {lookup.OVERALL}) have both {own} and {other}")
    return win_rate(*newest)


def _ratings(facts: Facts, model: str) -> list[Rating]:
    return [
        each
        for each in facts.ratings
        if (each.model, each.config, each.category) == (model, lookup.TEXT, lookup.OVERALL) and each.rating.value is not None
    ]


def _model(facts: Facts, name: str) -> Model:
    found = lookup.model_of(facts, name)
    if found is None:
        near = did_you_mean(name, [model.id for model in facts.models])
        raise UsageError(
            f"no model is called '{name}'", f"did you mean '{near}'?" if near else "harness facts list models has their names"
        )
    return found


def _hosted(name: str, facts: Facts, day: datetime.date) -> Price:
    provider, _, model = name.partition(":")
    every = prices.every(facts, day)
    found = [price for price in every if price.provider == provider and model in (price.ref, price.model)]
    if not found:
        known = [f"{price.provider}:{price.model}" for price in every]
        near = did_you_mean(name, known)
        raise UsageError(
            f"no price is known of '{name}'",
            f"did you mean '{near}'?" if near else "write PROVIDER:MODEL as harness facts list prices has them",
        )
    return found[0]


def exchange(
    systems: Sequence[Local], listed: Sequence[Price], ask: Ask, facts: Facts, day: datetime.date
) -> tuple[list[Exchange], list[str]]:
    """(what turns their amounts into the currency asked for, what is said of the others)"""
    own = {entry.unit.split("/")[0] for each in systems for entry in (each.electricity_per_kwh, each.machine_price)}
    foreign = (own | {price.currency for price in listed}) - {ask.currency}
    known = [each for each in rates(ask, facts, day) if ask.currency in (each.of, each.to) and foreign & {each.of, each.to}]
    lacking = sorted(foreign - {of for each in known for of in (each.of, each.to)})
    said = f"are not known in {ask.currency}: give --fx"
    return known, [f"amounts in {of} {said} {of}=RATE, what one {of} is in {ask.currency}" for of in lacking]


def _alone(listed: Sequence[Price], own: Model | None) -> Iterator[str]:
    if not listed:
        yield "nobody else's price is beside it: give --against MODEL or --hosted PROVIDER:MODEL" + (
            "" if own else "; the model is none of the facts, so that who serves its weights is not known"
        )
