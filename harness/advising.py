"""Self-host, cloud or hybrid: joins every stored system, every listed price and what is known of terms and ratings."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness import costs
from harness.board import measured, offers
from harness.facts import lookup, prices
from harness.measure import advise, conditions, cost_inputs
from harness.measure.cost_local import local_cost
from harness.measure.entries import is_number, number
from harness.schema.cost import Advice, Candidate, Condition, Demand
from harness.schema.facts import OLD_DAYS, Facts, Model, Rating
from harness.schema.result import Point, Summary
from harness.store import query

NOTHING = (
    "nothing that was measured here counts, so that this is among APIs alone: measure with harness bench RECIPE, then ask again"
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be served, and what must hold."""

    demand: Demand
    max_loss_elo: float | None = None
    """None: quality is not asked for."""
    must: tuple[Condition, ...] = ()
    seat: str | None = None
    """Where the machines stand and their owner sits; None: was not said."""
    more_copies: bool = True
    """Whether systems may be bought as often as the demand needs them."""


def advised(results: Path, ask: costs.Ask, wish: Wish, facts: Facts, day: datetime.date) -> Advice:
    """`results`: where they are stored. Raises `UsageError`."""
    homes, unsound = _homes(results, ask, wish, facts, day)
    clouds = list(_clouds(facts, day))
    systems, listed = [each.local for each in homes if each.local], [each.price for each in clouds if each.price]
    rates, lacking = costs.exchange(systems, listed, ask, facts, day)
    found = advise.advise(
        wish.demand,
        [*homes, *clouds],
        max_loss_elo=wish.max_loss_elo,
        must=wish.must,
        currency=ask.currency,
        rates=rates,
    )
    notes = [*([] if homes else [NOTHING]), *unsound, *lacking]
    named = found.ways[0].names if found.verdict != advise.NONE else ()
    said = (note for each in homes if each.name in named and each.local for note in each.local.notes)
    return msgspec.structs.replace(found, notes=(*notes, *said, *_old(found, day)))


def _old(found: Advice, day: datetime.date) -> Iterator[str]:
    dated = {name: entry.date for name, entry in found.inputs.items() if entry.date is not None}
    old = [f"{name.replace('_', ' ')} ({since})" for name, since in dated.items() if (day - since).days > OLD_DAYS]
    if old:
        yield f"older than {OLD_DAYS} days: {', '.join(old)}"


def _homes(results: Path, ask: costs.Ask, wish: Wish, facts: Facts, day: datetime.date) -> tuple[list[Candidate], list[str]]:
    """(of each system its newest result that counts, once more with as many copies as the demand needs; what is said of the others)"""
    found, unsound = [], []
    for newest_first in measured.systems(query.list_results(results)):
        about = newest_first[0]
        if about.server:
            continue
        name = f"{about.recipe} on {f'{about.nodes} × ' if about.nodes > 1 else ''}{about.hardware}"
        counting = next(((each, cells) for each in newest_first if (cells := cost_inputs.counting(each))), None)
        if counting is None:
            unsound.append(f"{name}: no cell has a speed that counts; harness results show {about.id} says why")
            continue
        one = _home(name, *counting, ask, wish, facts, day)
        found += [one, *(_copied(one, wish.demand) if wish.more_copies else ())]
    return found, unsound


def _home(
    name: str, summary: Summary, cells: list[Point], ask: costs.Ask, wish: Wish, facts: Facts, day: datetime.date
) -> Candidate:
    """By the busiest of its cells that tells how long the demand takes; else by the busiest, which says why not."""
    systems = [costs.system_of(summary, cell, ask, facts, day) for cell in cells]
    telling = (one for one in systems if is_number(local_cost(wish.demand, one, "").busy_h_per_day))
    return Candidate(
        name=name,
        local=next(telling, systems[0]),
        rating=_rating(facts, lookup.model_of(facts, summary.model)),
        terms=conditions.at_home(summary, seat=wish.seat, day=day),
    )


def _copied(one: Candidate, demand: Demand) -> Iterator[Candidate]:
    """As many as are sure to have the hours, where one has not."""
    assert one.local is not None
    needed = local_cost(demand, one.local, "").copies_needed
    if is_number(needed) and (copies := round(needed.high or number(needed))) > one.local.copies:
        yield msgspec.structs.replace(
            one, name=f"{copies} copies of {one.name}", local=msgspec.structs.replace(one.local, copies=copies)
        )


def _clouds(facts: Facts, day: datetime.date) -> Iterator[Candidate]:
    models = {model.id: model for model in facts.models}
    listed = prices.every(facts, day)
    count = Counter((price.model, price.provider) for price in listed)
    for price in listed:
        model = models[price.model]
        several = f" ({price.ref})" if count[price.model, price.provider] > 1 else ""
        yield Candidate(
            name=f"{price.model} @ {price.provider}{several}",
            price=price,
            rating=_rating(facts, model),
            terms=conditions.of_offer(offers.row_of_terms(facts, price), model),
        )


def _rating(facts: Facts, model: Model | None) -> Rating | None:
    return lookup.rating(facts, model.id) if model else None
