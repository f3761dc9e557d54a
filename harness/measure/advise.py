"""At home, in the cloud, or both: the cheapest way that keeps every condition. Unknown is never taken for kept.

A mixture sends as small a share to the cloud as quality and the machines' hours ask for, in whole percent and drawn without looking at the
requests; both its parts keep the conditions. Money counts with hardware over its lifetime.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.measure.cost import mixture
from harness.measure.cost_local import HOURS_PER_DAY, local_cost
from harness.measure.entries import computed, is_number, number, shown
from harness.measure.money import api_cost
from harness.measure.quality import ELO, elo_of, expected, gap, win_rate
from harness.schema.board import Entry
from harness.schema.cost import Advice, Candidate, Demand, Exchange, Local, Way
from harness.schema.facts import Price, Rating

SELF_HOST, CLOUD, HYBRID, NONE = "self-host", "cloud", "hybrid", "none"
Must = Mapping[str, Sequence[str]]
"""By the names of a candidate's terms: the words that will do."""


def advise(
    demand: Demand,
    candidates: Sequence[Candidate],
    *,
    max_loss_elo: float | None,
    must: Must,
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
    chosen = sorted((way for way in judged if not way.why_not), key=lambda way: number(way.per_day))
    others = [way for way in judged if way.why_not]
    return Advice(
        verdict=chosen[0].verdict if chosen else NONE,
        ways=(*chosen, *others),
        best=best.name if best else "",
    )


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The highest of the newest day's ratings."""
    rated = [each for each in candidates if each.rating is not None and each.rating.rating.value is not None]
    return max(rated, key=lambda each: (_rating(each).date, _rating(each).rating.value), default=None)


def _rating(candidate: Candidate) -> Rating:
    assert candidate.rating is not None
    return candidate.rating


def _loss(candidate: Candidate, best: Candidate | None) -> Entry:
    if best is None or candidate.rating is None:
        return Entry(unit=ELO, why=f"{candidate.name} is not rated")
    return gap(_rating(best), candidate.rating)


def _at_home(
    demand: Demand, each: Candidate, local: Local, best: Candidate | None, currency: str, rates: Sequence[Exchange]
) -> Way:
    per_day = local_cost(demand, local, currency, rates).with_hardware.per_day
    return Way(verdict=SELF_HOST, names=(each.name,), cloud_share=0.0, per_day=per_day, loss_elo=_loss(each, best))


def _in_cloud(
    demand: Demand, each: Candidate, price: Price, best: Candidate | None, currency: str, rates: Sequence[Exchange]
) -> Way:
    per_day = api_cost(demand, price, currency, rates).per_day
    return Way(verdict=CLOUD, names=(each.name,), cloud_share=1.0, per_day=per_day, loss_elo=_loss(each, best))


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
        verdict=HYBRID, names=(home[0].name, offer[0].name), cloud_share=share, per_day=mixed.cost.per_day, loss_elo=loss
    )


def _wins(candidate: Candidate, best: Candidate | None) -> Entry:
    if best is None or candidate.rating is None:
        return Entry(why=f"{candidate.name} is not rated")
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


def _judged(way: Way, parts: Sequence[Candidate], max_loss_elo: float | None, must: Must) -> Way:
    from msgspec.structs import replace

    return replace(way, why_not="; ".join(_against(way, parts, max_loss_elo, must)))


def _against(way: Way, parts: Sequence[Candidate], max_loss_elo: float | None, must: Must) -> Iterator[str]:
    for part in parts:
        for name, words in must.items():
            said = part.terms.get(name)
            if said not in words:
                yield f"{part.name}: {name} is {said or 'not known'}, and must be {' or '.join(words)}"
    if not is_number(way.per_day):
        yield f"its cost is not known: {way.per_day.why}"
    if max_loss_elo is not None:
        if not is_number(way.loss_elo):
            yield f"its quality is not known: {way.loss_elo.why}"
        elif number(way.loss_elo) > max_loss_elo + 1e-9:
            yield f"{shown(number(way.loss_elo))} Elo below the best, and {shown(max_loss_elo)} are allowed"
