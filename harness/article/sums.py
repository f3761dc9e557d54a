"""The claims of the article's text, each with its sum: by the article's own figures, and by what is listed or published instead."""

from __future__ import annotations

from collections.abc import Callable

from harness.article import cells, money
from harness.article.lines import AT_WALL, OWN, judged, plain
from harness.article.premises import Premises, around, entry, middle
from harness.board.published import figure
from harness.facts import lookup, prices
from harness.measure import quality, sovereignty
from harness.measure.entries import computed, shown
from harness.measure.verdict import DEPENDS, DIFFERS, UNCHECKED, Span
from harness.schema.article import Reckoning, Sum
from harness.schema.facts import Claim, Provider, Rating
from harness.schema.recipe import Published

TEXT = "text"


def reckoning(known: Premises, claim: Claim) -> Reckoning:
    work = RECKONED.get(claim.row)
    return work(known, claim) if work else _word(known, claim)


def _word(known: Premises, claim: Claim) -> Reckoning:
    found = cells.finding(known, claim)
    return Reckoning(claim=claim, found=Sum(what="", how=found.why, verdict=found.verdict, sources=found.sources))


def _workload(known: Premises, claim: Claim) -> Reckoning:
    return Reckoning(claim=claim, found=Sum(what="", how="it is what the article assumes", verdict=UNCHECKED))


def _hours(known: Premises, claim: Claim) -> Reckoning:
    speeds = middle(
        "tok/s", [figure(each) for each in _decoding(known, known.claim("this stack", "Output throughput", "single-stream"))]
    )
    return Reckoning(
        claim=claim,
        own=judged(claim, OWN, known.local().busy_h_per_day),
        found=judged(
            claim,
            "at the median of the speeds published of the same system, whatever was written (behind it: by all of them)",
            known.local(known.system(tok_s=speeds)).busy_h_per_day,
        ),
        notes=(
            "Decoding alone, one stream. The time to each first token comes on top, of how many requests is not said, and tokens of "
            "reasoning are output, too.",
        ),
    )


def _decoding(known: Premises, claim: Claim) -> list[Published]:
    """All that others, or the author later, published of its system, whatever was generated."""
    recipe, day = known.recipes.get(claim.recipe), str(known.written)
    published = recipe.harness.published if recipe else []
    return [each for each in published if each.metric == "decode_tok_s" and each.date != day]


def _energy(known: Premises, claim: Claim) -> Reckoning:
    local, walled = known.local(), known.local(known.system(watts=known.at_the_wall()))
    claimed = known.claim("this stack", "Power draw", "under load").value.value
    rated = [row.scope for row in known.facts.hardware_watts if row.state == "rated" and row.watts.value == claimed]
    note = f" They are the rated power {cells.SCOPES[rated[0]]}." if rated else ""
    return Reckoning(
        claim=claim,
        own=judged(claim, OWN, local.active_wh_per_day),
        found=judged(claim, AT_WALL, walled.active_wh_per_day),
        more=(plain("left out, the rest of the day, idle", local.idle_wh_per_day),),
        notes=(f"What the article's watts are of is not said.{note}",),
    )


def _gap(known: Premises, claim: Claim) -> Reckoning:
    def rated(model: str) -> Rating | None:
        found = (
            each
            for each in known.facts.ratings
            if each.model == model and each.date == known.written and each.category == lookup.OVERALL
        )
        return next(found, None)

    one, other = rated(money.OPUS), rated(money.SMALL)
    if one is None or other is None:
        return _word(known, claim)
    won = quality.win_rate(other, one)
    return Reckoning(
        claim=claim,
        own=judged(claim, "by its table", quality.gap(one, other)),
        more=(plain("how often the local answer is preferred, then", won),),
        notes=("No intervals are printed, so whether the gap is more than chance cannot be checked.",),
    )


def _nodes(known: Premises, claim: Claim) -> Reckoning:
    """A speed on several machines, and beside it what these brought against one."""
    found = cells.finding(known, claim)
    recipe = known.recipes.get(claim.recipe)
    alone = next(
        (each for each in known.recipes.values() if recipe and each.model == recipe.model and each.min_nodes == 1), None
    )
    one = next(
        (
            figure(each)
            for each in (alone.harness.published if alone else ())
            if each.metric == "decode_tok_s" and each.tg and not each.not_tested
        ),
        None,
    )
    more = []
    if recipe and one:
        count = recipe.min_nodes
        brought = computed(
            "",
            lambda v: v["several"] / v["one"] / count,
            {"several": entry(claim), "one": one},
            lambda v, _: f"{shown(v['several'])} tok/s / ({count} × {shown(v['one'])} tok/s of one machine)",
        )
        more.append(plain("of what as many would give each by itself", brought))
    return Reckoning(
        claim=claim, found=Sum(what="", how=found.why, verdict=found.verdict, sources=found.sources), more=tuple(more)
    )


def _agentic(known: Premises, claim: Claim) -> Reckoning:
    asked, speed = entry(known.text("agentic load", "completions a minute")), entry(known.text("agentic load", "speed"))
    tokens = computed(
        "tokens a completion",
        lambda v: v["speed"] / (v["asked"] / 60),
        {"speed": speed, "asked": asked},
        lambda v, _: f"{shown(v['speed'])} tok/s / ({shown(v['asked'])} a minute / 60)",
    )
    found = Sum(what="", how="how long a completion is, which it does not say, and on how many run at once", verdict=DEPENDS)
    return Reckoning(claim=claim, found=found, more=(plain("one after another that speed is enough for", tokens),))


def _bottom(known: Premises, claim: Claim) -> Reckoning:
    """Of the makers of closed weights and of those who serve open ones: what is known of their terms."""
    lists = {price.provider: known.closed(price.model) is not None for price in prices.every(known.facts, known.day)}
    rows = [(closed, terms[0]) for name, closed in lists.items() if (terms := lookup.terms(known.facts, name))]
    shut, open_ = ([_score(known, row) for closed, row in rows if closed is kind] for kind in (True, False))
    spans = around(filter(None, shut)), around(filter(None, open_))
    trains = {
        word: sorted({row.provider for _, row in rows if row.trains_on_data.value == word}) for word in ("yes", "opt-out")
    }
    who = "; ".join(f"{', '.join(names)} ({word})" for word, names in trains.items() if names) or "nobody that is known"
    if None in spans:
        return _word(known, claim)
    best, worst = max(each.low for each in shut if each), min(each.low for each in open_ if each)
    how = (
        f"in the EU's framework APIs of closed weights have {cells.said(spans[0])} of 100, self-assessed, those that serve open ones "
        f"{cells.said(spans[1])}: the spans overlap, and the best low end of the former ({shown(best)}) is above the worst of the latter "
        f"({shown(worst)}). Who trains on what paying customers send, unless told not to: {who}"
    )
    sources = dict.fromkeys(
        source for _, row in rows if row.trains_on_data.value in trains for source in row.trains_on_data.sources
    )
    return Reckoning(
        claim=claim, found=Sum(what="", how=how, verdict=DIFFERS if best > worst else DEPENDS, sources=tuple(sources))
    )


def _score(known: Premises, row: Provider) -> Span | None:
    found = sovereignty.entry(sovereignty.api(row, known.facts))
    return Span(found.low, found.high) if found.low is not None and found.high is not None else None


RECKONED: dict[str, Callable[[Premises, Claim], Reckoning]] = {
    "workload": _workload,
    "list price": money.list_price,
    "cloud cost": money.cloud,
    "local time": _hours,
    "local energy": _energy,
    "local cost": money.cents,
    "electricity": money.tariff,
    "amortisation": money.months,
    "ratio per token": money.per_token,
    "ratio in the table": money.in_table,
    "quality gap": _gap,
    "scaling": _nodes,
    "agentic load": _agentic,
    "closed rows": _bottom,
}
"""By the claim's row. Others are words."""
