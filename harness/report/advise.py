"""What `harness advise` prints: the verdict, the ways from the cheapest up, the arithmetic of the first, and why others are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.measure.advise import CLOUD, COST, HYBRID, NONE, QUALITY, cheapest, nearest
from harness.measure.conditions import LEAVES
from harness.measure.entries import is_number, shown
from harness.report import text
from harness.report.cost import Block, asked, drawn, point, rests_on, said
from harness.schema.board import Entry
from harness.schema.cost import Advice, Check, Way

NAMED = 8
"""Names in one group, and groups of one condition; `--json --all` has all."""


def render(found: Advice, *, width: int, color: bool, every: bool = False) -> str:
    """`every`: way that may be taken, not the cheapest alone."""
    return drawn(_blocks(found, every), width=width, color=color)


def _blocks(found: Advice, every: bool) -> Iterator[Block]:
    kept = [way for way in found.ways if not way.against]
    yield Block(_verdict(found, kept), lines=list(_asked(found)))
    if kept:
        shown = kept if every else cheapest(found)
        yield Block(
            "The ways that may be taken, the cheapest first; with hardware over its lifetime",
            *_table(found, shown),
            lines=[f"and {len(kept) - len(shown)} more: --all has them"] if len(kept) > len(shown) else [],
        )
        sums = [f"{name}: {each.how} = {said(each)} {each.unit}" for name, each in found.arithmetic.items() if is_number(each)]
        yield Block("The arithmetic", lines=sums)
        yield Block("What it rests on", *rests_on(found.inputs))
        if found.conditions:
            yield Block("How it keeps the conditions", lines=list(_keeping(found, kept[0])))
    else:
        yield Block("Nearest to it", lines=list(_nearest(found)) or ["nothing that has a known cost"])
    if out := list(_kept_out(found)):
        yield Block("Kept out", lines=out)
    if found.notes:
        yield Block("To know", lines=list(dict.fromkeys(found.notes)))


def _verdict(found: Advice, kept: list[Way]) -> str:
    if not kept:
        return f"{NONE}: no way {'keeps every condition' if found.ways else 'is known'}"
    day = kept[0].per_day
    ways = f"the cheapest of {len(kept)} ways" if len(kept) > 1 else "the only way"
    return f"{kept[0].verdict}: {_what(kept[0])}; {said(day)} {day.unit.replace('/', ' a ')}, {ways} that would do"


def _what(way: Way) -> str:
    if way.verdict == HYBRID:
        home, offer = way.names
        return f"{way.cloud_share:.0%} of the requests to {offer}, the rest to {home}"
    return way.names[0]


def _asked(found: Advice) -> Iterator[str]:
    yield asked(found.demand)
    must = [condition.asked for condition in found.conditions]
    if found.max_loss_elo is not None:
        must.append(f"at most {shown(found.max_loss_elo)} Elo below the best")
    yield f"asked: {', '.join(must)}" if must else "nothing else was asked: --max-quality-loss and --must ask more of it"
    best = found.best
    if best is None:
        yield "no model here is rated: harness facts list ratings"
    else:
        where = f"{best.config}, {best.category}, {best.date}"
        yield f"the best that is rated is {best.model or best.arena_name}: {best.rating.value:g} ({where})"


def _table(found: Advice, ways: list[Way]) -> tuple[list[text.Column], list[list[str]]]:
    columns: list[text.Column] = [
        ("", "left"),
        ("", "left"),
        (f"{found.currency}/day", "right"),
        ("Elo below\nthe best", "right"),
        ("leaves\nthe desk", "left"),
    ]
    return columns, [[way.verdict, _what(way), said(way.per_day), point(way.loss_elo), _leaves(found, way)] for way in ways]


def _leaves(found: Advice, way: Way) -> str:
    if way.verdict == CLOUD:
        return "all"
    here = found.terms[way.names[0]].get(LEAVES, Entry()).value
    if way.verdict == HYBRID:
        return f"{way.cloud_share:.0%}{'' if here == 'no' else ' at least'}"
    return {"no": "nothing", "yes": "it was online"}.get(str(here), "not known")


def _keeping(found: Advice, way: Way) -> Iterator[str]:
    for name in way.names:
        for condition in found.conditions:
            known = found.terms[name][condition.term]
            option = "an option, which has to be chosen" if known.value == "option" else ""
            where = known.sources[0].url if known.sources else ""
            words = (f"{known.origin} {known.date}" if known.date else known.origin, option, known.how, where)
            yield f"{condition.asked}, {name}: {known.value} ({'; '.join(filter(None, words))})"


def _nearest(found: Advice) -> Iterator[str]:
    for way in nearest(found):
        fails = dict.fromkeys(f"{check.asked} ({check.said})" for check in way.against)
        yield f"{way.verdict}: {_what(way)}; {said(way.per_day)} {way.per_day.unit}, but it fails {', '.join(fails)}"


def _kept_out(found: Advice) -> Iterator[str]:
    """By what was asked and what is known instead; mixtures go with their parts."""
    alone = [way for way in found.ways if way.verdict != HYBRID]
    for asked_for in [*(each.asked for each in found.conditions), QUALITY, COST]:
        groups: dict[str, Counter[str]] = {}
        for way in alone:
            for check in way.against:
                if check.asked == asked_for:
                    why, name = _group(found, way, check)
                    groups.setdefault(why, Counter())[name] += 1
        listed = sorted(groups.items(), key=lambda group: -group[1].total())
        yield from (f"{asked_for}: {why}: {_names(names)}" for why, names in listed[:NAMED])
        if len(listed) > NAMED:
            yield f"{asked_for}: and {len(listed) - NAMED} reasons more: --json --all has them"


def _group(found: Advice, way: Way, check: Check) -> tuple[str, str]:
    """(what it has in common with others, what it is called there): terms are a provider's."""
    if check.part:
        return check.said, way.provider or check.part
    if check.asked == QUALITY and is_number(way.loss_elo):
        return (
            f"more than {shown(found.max_loss_elo or 0.0)} Elo below the best",
            f"{way.names[0]}: {point(way.loss_elo)}",
        )
    return check.said, way.names[0]


def _names(names: Counter[str]) -> str:
    every = [f"{name} ({count})" if count > 1 else name for name, count in names.items()]
    if len(every) <= NAMED + 1:
        return ", ".join(every)
    return f"{', '.join(every[:NAMED])} and {len(every) - NAMED} others"
