"""`--must residency=EU,trains=no,retention<=30`: what may be asked of whoever gets the prompts, and what is known of an offer, or of a
machine of one's own, that it is held against. A term that is not known keeps no condition.

At home there is nobody else who could keep anything or train on it, if a run was seen to send nothing anywhere; else that is not known.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from harness.errors import UsageError, did_you_mean
from harness.measure import egress, sovereignty
from harness.measure.entries import is_number, number, of_fact
from harness.measure.sovereignty import EEA
from harness.schema.board import Entry
from harness.schema.cost import Condition
from harness.schema.facts import Model, Provider
from harness.schema.result import Summary

EU = "EU"
LEAVES = "leaves_desk"


class Rule(NamedTuple):
    term: str
    """`Provider`'s, or `LEAVES`."""
    values: Mapping[str, tuple[str, ...]]
    """What may be asked → the words that keep it; none: a number of days."""


RULES = {
    "residency": Rule("residency_eu", {EU: ("yes", "option")}),
    "trains": Rule("trains_on_data", {"no": ("no", "opt-in"), "opt-out": ("no", "opt-in", "opt-out")}),
    "retention": Rule("retention_days", {}),
    "zero-retention": Rule(
        "zero_retention",
        {
            "default": ("default",),
            "self-serve": ("default", "self-serve"),
            "approval": ("default", "self-serve", "approval"),
        },
    ),
    "seat": Rule("parent_seat", {EU: (EU, *sorted(EEA))}),
    "law": Rule("contract_eu", {EU: ("yes",)}),
    "self-hostable": Rule("weights_self_hostable", {"yes": ("yes",)}),
    "cloud-act": Rule("cloud_act", {"none": ("none",), "indirect": ("none", "indirect")}),
    "leaves-desk": Rule(LEAVES, {"no": ("no",)}),
}
COUNTRY = re.compile("[A-Z]{2}")
NO_TERMS = "the facts have no terms of this provider"
WEIGHTS_HERE = Entry(value="yes", origin="measured", how="it ran here")


def parse(texts: Iterable[str]) -> tuple[Condition, ...]:
    """Raises `UsageError`."""
    found: dict[str, Condition] = {}
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        left, _, value = (part.strip() for part in text.partition("="))
        name = left.removesuffix("<").rstrip()
        rule = RULES.get(name)
        if rule is None:
            near = did_you_mean(name, list(RULES))
            raise UsageError(
                f"--must {text}: there is no condition '{name}'",
                f"did you mean '{near}'?" if near else f"one of {', '.join(RULES)}",
            )
        if name in found:
            raise UsageError(f"--must {text}: {name} is said twice", "leave one out")
        found[name] = _word(text, name, value, rule) if rule.values else _days(text, name, value, rule)
    return tuple(found.values())


def _word(text: str, name: str, value: str, rule: Rule) -> Condition:
    spelt = {each.casefold(): each for each in rule.values}
    value = spelt.get(value.casefold(), value)
    words = rule.values.get(value, ())
    if rule.term == "parent_seat" and not words and COUNTRY.fullmatch(value.upper()):
        value = value.upper()
        words = (value,)
    if text.partition("=")[0].endswith("<") or not words:
        more = ", or a country such as DE" if rule.term == "parent_seat" else ""
        known = " or ".join(f"{name}={each}" for each in rule.values)
        raise UsageError(f"--must {text}: {name} has no '{value}'", f"write {known}{more}")
    return Condition(asked=f"{name}={value}", term=rule.term, words=words)


def _days(text: str, name: str, value: str, rule: Rule) -> Condition:
    try:
        days = float(value)
    except ValueError:
        days = math.nan
    if not (math.isfinite(days) and days >= 0) or not text.partition("=")[0].endswith("<"):
        raise UsageError(f"--must {text}: not a number of days that it may be at most", f"write it like {name}<=30")
    return Condition(asked=f"{name}<={days:g}", term=rule.term, at_most=days)


def keeps(condition: Condition, known: Entry) -> bool:
    if condition.at_most is not None:
        return is_number(known) and number(known) <= condition.at_most
    return known.value in condition.words


def of_offer(terms: Provider | None, model: Model | None) -> dict[str, Entry]:
    """`terms`: the row that holds for it; None: there is none."""
    weights = _weights(model, terms)
    names = [rule.term for rule in RULES.values()]
    listed = sovereignty.columns(terms) if terms else dict.fromkeys(names, Entry(why=NO_TERMS))
    away = Entry(value="yes", origin="listed", how="it is an API")
    return {name: _as_word(listed[name]) for name in names if name in listed} | {"weights_self_hostable": weights, LEAVES: away}


def at_home(summary: Summary, *, seat: str | None, day: datetime.date) -> dict[str, Entry]:
    """`seat`: the country where the machine stands and its owner sits, as its owner says; None: was not said. Of a server that the harness
    did not start nothing is known: it may be anybody's."""
    left = egress.entry(summary)
    names = [rule.term for rule in RULES.values()]
    if not summary.launched:
        return dict.fromkeys(names, Entry(why=sovereignty.NOT_STARTED)) | {LEAVES: left}

    def own(value: str | None, how: str) -> Entry:
        return Entry(why=how) if value is None else Entry(value=value, origin="given", date=day, how=how)

    def alone(value: str | float | None, how: str) -> Entry:
        """As long as nobody else gets anything."""
        if value is None:
            return Entry(why=how)
        if left.value != "no":
            return Entry(why=left.why or f"it was online: {left.how}")
        return msgspec.structs.replace(left, value=value, origin="computed", how=how)

    inside = None if seat is None else "yes" if seat in (EU, *EEA) else "no"
    unsaid = "where the machine stands was not said: --seat"
    nobody = "nothing left the machine, so that nobody else has it"
    abroad = f"whether 18 U.S.C. 2713 reaches an owner in {seat} is not known"
    return {
        "residency_eu": alone(inside, f"it stands in {seat}, and nothing left it" if seat else unsaid),
        "trains_on_data": alone("no", nobody),
        "retention_days": alone(0.0, nobody),
        "zero_retention": alone("default", nobody),
        "parent_seat": own(seat, f"its owner is in {seat}" if seat else unsaid),
        "contract_eu": own(inside, f"its owner's own law, in {seat}" if seat else unsaid),
        "weights_self_hostable": msgspec.structs.replace(WEIGHTS_HERE, result=summary.id),
        "cloud_act": alone(
            "none" if inside == "yes" else None, "no provider has anything" if inside == "yes" else abroad if seat else unsaid
        ),
        LEAVES: left,
    }


def _weights(model: Model | None, terms: Provider | None) -> Entry:
    """The model's own, else what its provider says of all."""
    if model is not None and model.open_weights.value is not None:
        return _as_word(of_fact(model.open_weights, "", "listed", f"the weights of {model.id}"))
    return sovereignty.columns(terms)["weights_self_hostable"] if terms else Entry(why="the facts do not say it of the model")


def _as_word(entry: Entry) -> Entry:
    words = {True: "yes", False: "no"}
    return msgspec.structs.replace(entry, value=words[entry.value]) if isinstance(entry.value, bool) else entry
