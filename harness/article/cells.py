"""The cells of the article's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.article.premises import Premises, around, entry, span
from harness.board.published import figure
from harness.facts import lookup, prices
from harness.measure import sovereignty
from harness.measure.entries import is_number, number, shown
from harness.measure.sovereignty_rules import IN, LOCAL, OUT
from harness.measure.verdict import DEPENDS, DIFFERS, HOLDS, ROUNDED, UNCHECKED, Span, at, how_far, of
from harness.schema.article import Finding
from harness.schema.board import Entry
from harness.schema.facts import Claim, Fact, Model, Price, Source
from harness.schema.sensors import GPU as GPU_SCOPE
from harness.schema.sensors import SOC, WALL

GPU = "NVIDIA GB10"
NO_OTHER_DAY = "no other copy of that day's table is here, and ratings of other days are on other scales"
NOT_PUBLISHED = "nobody else's figure of this system is here"
NO_SOURCE = "no source was found that says so or denies it"
SCOPES = {WALL: "at the wall", SOC: "of the chip", GPU_SCOPE: "of the GPU", "adapter": "of the power supply"}
METRICS = {"tok/s": "decode_tok_s", "ms": "ttft_ms"}
"""Of recipes' published figures, by the claim's unit."""


def finding(known: Premises, claim: Claim) -> Finding:
    if (word := by_word(claim)) is not None:
        return word
    if claim.column == prices.CLAIMED:
        return _price(known, claim)
    if claim.column == "Sovereign?":
        return _sovereign(known, claim)
    if claim.unit == "Elo":
        return _rating(known, claim)
    if claim.unit in METRICS:
        return _speed(known, claim)
    if claim.unit == "W":
        return _watts(known, claim)
    return Finding(claim=claim, verdict=UNCHECKED, why=NO_SOURCE)


def by_word(claim: Claim) -> Finding | None:
    """What was found that is no figure, with the verdict that it allows; None: nothing, or without a source."""
    if claim.known.value is None or claim.verdict is None:
        return None
    return Finding(claim=claim, verdict=claim.verdict, why=claim.known.value, sources=claim.known.sources)


def _price(known: Premises, claim: Claim) -> Finding:
    if known.closed(claim.model):
        return _makers_price(known, claim)
    hosts, here = known.offered(claim.model), _electricity(known, claim)
    asked = around(at(price.output_mtok.value) for price in hosts if price.output_mtok.value is not None)
    beside = asked or span(here)
    hosted = f"hosted by {len(hosts)} providers at {said(asked)} {claim.unit}" if asked else "nobody is known to host it"
    power = (
        f"by electricity here {here.how} = {shown(number(here))} {here.unit} at par"
        if is_number(here)
        else f"by electricity: {here.why}"
    )
    verdict = of(span(claim.value), beside)
    return Finding(
        claim=claim,
        verdict=verdict,
        known=said(beside) if beside else "",
        far=_off(claim, beside),
        why=f"{'who is asked; ' if verdict == DEPENDS else ''}{hosted}; {power}",
        sources=_ends(hosts),
    )


def _electricity(known: Premises, claim: Claim) -> Entry:
    """Of a million tokens at the row's speed and the article's watts for each machine, euro and dollar at par as it has them. In words
    shorter than the cost model's: watts by tokens a second are joules a token, and a million of these 1 / 3.6 kWh."""
    recipe = known.recipes.get(claim.recipe)
    machines = recipe.min_nodes if recipe else 1
    speed = entry(known.claim(claim.table, claim.row, "spark-arena tok/s"))
    system = known.system(machines=machines, tok_s=speed)
    found = known.local(system, at_par=True).electricity.per_mtok_output
    if not is_number(found):
        return found
    watts, tariff = number(system.active_w), system.electricity_per_kwh
    how = f"{shown(watts)} W / {shown(number(speed))} tok/s / 3.6 × {shown(number(tariff))} {tariff.unit}"
    return msgspec.structs.replace(found, how=how)


def _makers_price(known: Premises, claim: Claim) -> Finding:
    """Of the article's day; today's beside it where it is another."""
    then, now = known.own_price(claim.model, known.written), known.own_price(claim.model)
    listed = span(then.output_mtok) if then else None
    if then is None or now is None or listed is None:
        return Finding(claim=claim, verdict=UNCHECKED, why="no price of its maker is known")
    today = span(now.output_mtok)
    parts = [f"{then.provider} lists {then.ref} at {said(listed)} {claim.unit}"]
    parts += [f"{said(today)} on {known.day}"] if today != listed else []
    parts += [
        f"{shown(tier.output_mtok)} above {tier.above_tokens:,} input tokens"
        for tier in then.tiers.value or ()
        if tier.output_mtok
    ]
    return Finding(
        claim=claim,
        verdict=of(span(claim.value), listed),
        known=said(listed),
        far=_off(claim, listed),
        why="; ".join(parts),
        sources=now.output_mtok.sources,
    )


def _ends(hosts: Sequence[Price]) -> tuple[Source, ...]:
    """Of the cheapest and the dearest."""
    ranked = sorted(hosts, key=lambda price: price.output_mtok.value or 0.0)
    return tuple(dict.fromkeys(source for price in ranked[:1] + ranked[-1:] for source in price.output_mtok.sources))


def _rating(known: Premises, claim: Claim) -> Finding:
    same = [
        each
        for each in known.facts.claims
        if each.model == claim.model and each.unit == claim.unit and each.table not in ("text", claim.table)
    ]
    other = next((each for each in same if each.value.value != claim.value.value), None)
    if other is not None:
        return Finding(claim=claim, verdict=DIFFERS, why=f"the article itself says elsewhere: “{other.said.value}”")
    more = f"; {claim.known.value}" if claim.known.value else ""
    return Finding(claim=claim, verdict=UNCHECKED, why=NO_OTHER_DAY + more, sources=claim.known.sources)


def _speed(known: Premises, claim: Claim) -> Finding:
    claimed = span(claim.value)
    if claimed is None and (closed := known.closed(claim.model)):
        return Finding(claim=claim, verdict=HOLDS, why="its weights are not published", sources=closed.open_weights.sources[:1])
    if claim.table == "sizes":
        whole = next((each for each in _speeds(known, "three columns") if each.recipe == claim.recipe), None)
        exact = span(whole.value) if whole else None
        why = "beside its own table, where that figure is judged"
        return Finding(claim=claim, verdict=of(claimed, exact), known=said(exact) if exact else "", why=why)
    if faster := _faster(known, claim):
        why = f"the article's other table has a faster one that is not among these: {faster}"
        return Finding(claim=claim, verdict=DIFFERS, why=why)
    return _published(known, claim, claimed)


def _speeds(known: Premises, table: str) -> list[Claim]:
    return [each for each in known.facts.claims if (each.table, each.unit) == (table, "tok/s") and each.value.value is not None]


def _published(known: Premises, claim: Claim, claimed: Span | None) -> Finding:
    """Beside other figures of the same system; else of other systems of that model, which can only be what it depends on."""
    own = _others(known, [claim.recipe], claim)
    rest = [] if own or claim.unit != "ms" else _others(known, [name for name in known.recipes if name != claim.recipe], claim)
    found = [(each, by) for each in own or rest if (by := span(each)) is not None]
    if not found:
        return Finding(claim=claim, verdict=UNCHECKED, why=NOT_PUBLISHED)
    verdicts = [of(claimed, by) for _, by in found]
    verdict = next((word for word in (HOLDS, ROUNDED) if word in verdicts and own), DEPENDS)
    listed = "; ".join(f"{said(by)} {claim.unit} ({each.how})" for each, by in found)
    lead = "the conditions; " if verdict == DEPENDS else ""
    return Finding(
        claim=claim,
        verdict=verdict,
        known=", ".join(said(by) for _, by in found),
        why=f"{lead}published of {'this system' if own else 'the same model in others'}: {listed}",
        sources=tuple(dict.fromkeys(source for each, _ in found for source in each.sources)),
    )


def _others(known: Premises, recipes: Iterable[str], claim: Claim) -> list[Entry]:
    """Figures that somebody else published, or the author later, of these recipes of its model."""
    day = str(known.written)
    return [
        figure(each)
        for name in recipes
        if (recipe := known.recipes.get(name)) and (model := known.models.get(claim.model)) and recipe.model in model.weights
        for each in recipe.harness.published
        if each.metric == METRICS[claim.unit] and each.date != day and not each.not_tested
    ]


def _faster(known: Premises, claim: Claim) -> str:
    """Of a place on the list of the five fastest: who is faster by the other table and has no place."""
    if claim.table != "top five":
        return ""
    placed = {each.recipe for each in _speeds(known, claim.table)}
    rows = _speeds(known, "three columns")
    passed = [each for each in rows if each.recipe not in placed and (each.value.value or 0) > (claim.value.value or 0)]
    mine = next((f"; this one is “{each.said.value}” there" for each in rows if each.recipe == claim.recipe), "")
    return ", ".join(f"{each.row} “{each.said.value}”" for each in passed) + mine if passed else ""


def _watts(known: Premises, claim: Claim) -> Finding:
    found = [(row, by) for row in known.facts.hardware_watts if row.state in ("load", "rated") and (by := span(row.watts))]
    listed = [
        f"{said(by)} W {SCOPES.get(row.scope, row.scope)} ({row.machine}, {row.state}: {row.conditions})" for row, by in found
    ]
    within = around(by for row, by in found if row.scope == WALL)
    return Finding(
        claim=claim,
        verdict=DEPENDS if listed else UNCHECKED,
        known=f"{said(within)} at the wall" if within else "",
        why=f"the meter, which it does not name, and the load: {'; '.join(listed)}" if listed else NO_SOURCE,
        sources=tuple(dict.fromkeys(source for row, _ in found for source in row.watts.sources)),
    )


def _sovereign(known: Premises, claim: Claim) -> Finding:
    model = known.models.get(claim.model)
    if model is None or model.open_weights.value is None:
        return Finding(claim=claim, verdict=UNCHECKED, why="whether its weights are published is not known")
    return _here(known, claim, model) if model.open_weights.value else _there(known, claim, model)


def _there(known: Premises, claim: Claim, model: Model) -> Finding:
    """Weights that are not to be had; beside them the score of their maker's API."""
    terms = lookup.terms(known.facts, model.own_price.partition("/")[0])
    score = sovereignty.entry(sovereignty.api(terms[0], known.facts)) if terms else Entry()
    rate = f"{score.low:g}–{score.high:g} of 100" if score.low is not None else ""
    why = "its weights are not published; beside it the score of its maker's API in the EU's framework, self-assessed"
    return Finding(claim=claim, verdict=HOLDS, known=rate, why=why, sources=model.open_weights.sources[:1])


def _here(known: Premises, claim: Claim, model: Model) -> Finding:
    """Weights on a machine of one's own, in the EU or not: what its parts allow at the most."""
    chip = next((chip for chip in known.facts.chips if chip.gpu == GPU), None)
    if chip is None or chip.maker_seat.value is None:
        return Finding(claim=claim, verdict=UNCHECKED, why="where the machine's chip is from is not known")
    facts: dict[str, Fact[Any]] = {
        "weights": model.open_weights,
        "licence": model.licence,
        "chip_seat": Fact(value=IN if chip.maker_seat.value in sovereignty.EEA else OUT, sources=chip.maker_seat.sources),
        "made_in_eu": chip.made_in_eu,
        "chip_software_open": chip.software_open,
    }
    level = sovereignty.assess(LOCAL, facts, known.facts, sovereignty.PROFILES[0]).seal_high
    made = "" if chip.made_in_eu.value else ", and it is not made in the EU"
    why = (
        f"what is asked: the weights are published, but the chip ({GPU}) is of a maker whose seat is {chip.maker_seat.value}{made}; in the "
        f"EU's framework, self-assessed, the whole comes to SEAL-{level} at the most, wherever it stands"
    )
    sources = (*model.open_weights.sources[:1], *chip.maker_seat.sources[:1], *chip.made_in_eu.sources[:1])
    return Finding(claim=claim, verdict=DEPENDS, known=f"SEAL-{level} at most", why=why, sources=sources)


def said(found: Span | None) -> str:
    if found is None:
        return "not known"
    return shown(found.low) if found.low == found.high else f"{shown(found.low)}–{shown(found.high)}"


def _off(claim: Claim, known: Span | None) -> str:
    claimed = span(claim.value)
    return how_far(claimed.low, known) if claimed and known and of(claimed, known) == DIFFERS else ""
