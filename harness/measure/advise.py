"""At home, in the cloud, or both: the cheapest way that keeps every condition. Unknown is never taken for kept.

A mixture sends as small a share to the cloud as quality and the machines' hours ask for, in whole percent and drawn without looking at the
requests; both its parts keep the conditions. Money counts with hardware over its lifetime.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from harness.measure import conditions
from harness.measure.cost import INPUTS, mixture
from harness.measure.cost_local import HOURS_PER_DAY, local_cost
from harness.measure.entries import computed, is_number, number, of_fact, shown
from harness.measure.money import api_cost
from harness.measure.quality import ELO, elo_of, entry, expected, gap, win_rate
from harness.schema.board import Entry
from harness.schema.cost import Advice, Candidate, Check, Condition, Demand, Exchange, Local, Rest, Way
from harness.schema.facts import Price, Rating

SELF_HOST, CLOUD, HYBRID, NONE = "self-host", "cloud", "hybrid", "none"
QUALITY, COST = "quality", "cost"
NOT_RATED = "not rated"
NO_TERM = Entry(why="nothing is known of it")
SHOWN = 10
"""Of the ways that may be chosen, unless all are asked for."""


def advise(
    demand: Demand,
    candidates: Sequence[Candidate],
    *,
    max_loss_elo: float | None,
    must: Sequence[Condition],
    currency: str,
    rates: Sequence[Exchange] = (),
) -> Advice:
    """`max_loss_elo`: how far below the best candidate's rating the answers may be; None: quality is not asked for."""
    best = _best(candidates)
    homes = [(each, each.local) for each in candidates if each.local is not None]
    offers = [(each, each.price) for each in candidates if each.price is not None]
    ways = [_at_home(demand, each, local, best, currency, rates) for each, local in homes]
    ways += [_in_cloud(demand, each, price, best, currency, rates) for each, price in offers]
    ways += [
        way
        for home in homes
        for offer in offers
        if (way := _mixed(demand, home, offer, best, max_loss_elo, currency, rates)) is not None
    ]
    by_name = {each.name: each for each in candidates}
    judged = [_judged(way, [by_name[name] for name in way.names], max_loss_elo, must) for way in ways]
    chosen = sorted((way for way in judged if not way.against), key=lambda way: number(way.per_day))
    first = chosen[0] if chosen else None
    parts = [by_name[name] for name in first.names] if first else []
    return Advice(
        verdict=first.verdict if first else NONE,
        demand=demand,
        currency=currency,
        conditions=tuple(must),
        max_loss_elo=max_loss_elo,
        best=best.rating if best else None,
        ways=(*chosen, *(way for way in judged if way.against)),
        arithmetic=dict(_arithmetic(demand, first, parts, currency, rates)) if first else {},
        inputs=dict(_inputs(demand, parts, currency, rates)),
        terms={each.name: each.terms for each in candidates},
    )


def brief(found: Advice) -> Advice:
    """What matters of it: the cheapest ways and the nearest of the others; the rest are counted."""
    listed = [*cheapest(found), *nearest(found)]
    places = {id(way) for way in listed}
    rest = Counter(
        (way.verdict, tuple(dict.fromkeys(check.asked for check in way.against))) for way in found.ways if id(way) not in places
    )
    names = {name for way in listed for name in way.names}
    return msgspec.structs.replace(
        found,
        ways=tuple(listed),
        rest=tuple(Rest(verdict=verdict, fails=fails, count=count) for (verdict, fails), count in rest.items()),
        terms={name: terms for name, terms in found.terms.items() if name in names},
    )


def cheapest(found: Advice) -> list[Way]:
    """That may be chosen, and the first of each kind."""
    kept = [way for way in found.ways if not way.against]
    firsts = [next((way for way in kept if way.verdict == verdict), None) for verdict in (SELF_HOST, CLOUD, HYBRID)]
    return [way for index, way in enumerate(kept) if index < SHOWN or way in firsts]


def nearest(found: Advice) -> Iterator[Way]:
    """Of each kind the one that fails in the fewest things, by what it costs."""
    for verdict in (SELF_HOST, CLOUD, HYBRID):
        ways = [way for way in found.ways if way.verdict == verdict and way.against and is_number(way.per_day)]
        way = min(ways, key=lambda way: (len({check.asked for check in way.against}), number(way.per_day)), default=None)
        if way is not None:
            yield way


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The highest of the newest day's ratings."""
    rated = [each for each in candidates if each.rating is not None and each.rating.rating.value is not None]
    return max(rated, key=lambda each: (_rating(each).date, _rating(each).rating.value), default=None)


def _rating(candidate: Candidate) -> Rating:
    assert candidate.rating is not None
    return candidate.rating


def _loss(candidate: Candidate, best: Candidate | None) -> Entry:
    if best is None or candidate.rating is None:
        return Entry(unit=ELO, why=NOT_RATED)
    return gap(_rating(best), candidate.rating)


def _at_home(
    demand: Demand, each: Candidate, local: Local, best: Candidate | None, currency: str, rates: Sequence[Exchange]
) -> Way:
    per_day = local_cost(demand, local, currency, rates).with_hardware.per_day
    return Way(verdict=SELF_HOST, names=(each.name,), cloud_share=0.0, per_day=per_day, loss_elo=_loss(each, best))


def _in_cloud(
    demand: Demand, each: Candidate, price: Price, best: Candidate | None, currency: str, rates: Sequence[Exchange]
) -> Way:
    return Way(
        verdict=CLOUD,
        names=(each.name,),
        cloud_share=1.0,
        provider=price.provider,
        per_day=api_cost(demand, price, currency, rates).per_day,
        loss_elo=_loss(each, best),
    )


def _mixed(
    demand: Demand,
    home: tuple[Candidate, Local],
    offer: tuple[Candidate, Price],
    best: Candidate | None,
    max_loss_elo: float | None,
    currency: str,
    rates: Sequence[Exchange],
) -> Way | None:
    """None: no mixture does what neither does alone."""
    here, there = (_wins(each, best) for each, _ in (home, offer))
    shares = [_share_for_hours(demand, home[1])]
    if max_loss_elo is not None:
        if not is_number(here) or not is_number(there):
            return None
        shares.append(_share_for_quality(number(here), number(there), expected(-max_loss_elo)))
    share = math.ceil(max(shares) * 100 - 1e-9) / 100
    if not 0 < share < 1:
        return None
    mixed = mixture(demand, home[1], offer[1], share, currency, rates)
    loss = computed(
        ELO,
        lambda v: -elo_of(share * v["there"] + (1 - share) * v["here"]),
        {"here": here, "there": there},
        lambda v, value: (
            f"win rate against {best.name if best else ''} {share:.4g} × {shown(v['there'])} + {1 - share:.4g} × {shown(v['here'])}, as Elo"
        ),
    )
    return Way(
        verdict=HYBRID,
        names=(home[0].name, offer[0].name),
        cloud_share=share,
        provider=offer[1].provider,
        per_day=mixed.cost.per_day,
        loss_elo=loss,
    )


def _wins(candidate: Candidate, best: Candidate | None) -> Entry:
    if best is None or candidate.rating is None:
        return Entry(why=NOT_RATED)
    return win_rate(candidate.rating, _rating(best))


def _share_for_quality(here: float, there: float, least: float) -> float:
    """Of the requests, to the cloud; 1 or more: it cannot be."""
    if here >= least:
        return 0.0
    return (least - here) / (there - here) if there > here else 1.0


def _share_for_hours(demand: Demand, local: Local) -> float:
    """What the machines have no time for, at the slow end of their speed."""
    busy = local_cost(demand, local, "").busy_h_per_day
    if not is_number(busy):
        return 0.0
    hours = number(busy) if busy.high is None else busy.high
    return max(0.0, 1 - HOURS_PER_DAY / hours) if hours else 0.0


def _judged(way: Way, parts: Sequence[Candidate], max_loss_elo: float | None, must: Sequence[Condition]) -> Way:
    return msgspec.structs.replace(way, checks=tuple(_checks(way, parts, max_loss_elo, must)))


def _checks(way: Way, parts: Sequence[Candidate], max_loss_elo: float | None, must: Sequence[Condition]) -> Iterator[Check]:
    for part in parts:
        for condition in must:
            known = part.terms.get(condition.term, NO_TERM)
            said = (
                shown(number(known))
                if is_number(known)
                else f"not known: {known.why}"
                if known.value is None
                else str(known.value)
            )
            yield Check(part=part.name, asked=condition.asked, kept=conditions.keeps(condition, known), said=said)
    priced = is_number(way.per_day)
    yield Check(
        part="", asked=COST, kept=priced, said=shown(number(way.per_day)) if priced else f"not known: {way.per_day.why}"
    )
    if max_loss_elo is None:
        return
    if not is_number(way.loss_elo):
        yield Check(part="", asked=QUALITY, kept=False, said=f"not known: {way.loss_elo.why}")
        return
    loss = number(way.loss_elo)
    yield Check(part="", asked=QUALITY, kept=loss <= max_loss_elo + 1e-9, said=f"{shown(loss)} Elo below the best")


def _arithmetic(
    demand: Demand, way: Way, parts: Sequence[Candidate], currency: str, rates: Sequence[Exchange]
) -> Iterator[tuple[str, Entry]]:
    for part in parts:
        if part.local is not None:
            rest = msgspec.structs.replace(demand, requests_per_day=demand.requests_per_day * (1 - way.cloud_share))
            cost = local_cost(rest, part.local, currency, rates)
            yield f"{part.name}, busy", cost.busy_h_per_day
            yield part.name, cost.with_hardware.per_day
        if part.price is not None:
            whole = ", if all went there" if way.cloud_share < 1 else ""
            yield f"{part.name}{whole}", api_cost(demand, part.price, currency, rates).per_day
    if len(parts) > 1:
        yield "together", way.per_day
    if is_number(way.loss_elo):
        yield "below the best", way.loss_elo


def _inputs(
    demand: Demand, parts: Sequence[Candidate], currency: str, rates: Sequence[Exchange]
) -> Iterator[tuple[str, Entry]]:
    currencies = {currency}
    for part in parts:
        if part.local is not None:
            yield from ((name, value) for name in INPUTS if is_number(value := getattr(part.local, name)))
            currencies |= {each.unit.split("/")[0] for each in (part.local.electricity_per_kwh, part.local.machine_price)}
        if part.price is not None:
            yield from _listed(demand, part.price)
            currencies.add(part.price.currency)
        if part.rating is not None:
            yield f"rating of {part.rating.model or part.rating.arena_name}", entry(part.rating)
    yield from ((each.of, each.rate) for each in rates if {each.of, each.to} <= currencies)


def _listed(demand: Demand, price: Price) -> Iterator[tuple[str, Entry]]:
    used = {
        "input": demand.input_tokens_per_request * (1 - demand.cached_input_share),
        "cached_input": demand.input_tokens_per_request * demand.cached_input_share,
        "output": demand.output_tokens_per_request,
    }
    how = f"{price.provider}: {price.ref}"
    for name in (name for name, tokens in used.items() if tokens):
        yield (
            f"{name.replace('_', ' ')} there",
            of_fact(getattr(price, f"{name}_mtok"), f"{price.currency}/Mtok", "listed", how),
        )
