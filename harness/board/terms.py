"""On whose terms a model is served: by a provider, or on a machine of one's own, where there is no other party."""

from __future__ import annotations

import datetime

import msgspec

from harness.measure import egress, sovereignty
from harness.measure.conditions import NO_TERMS
from harness.measure.entries import of_fact
from harness.schema.board import Entry
from harness.schema.facts import ASKED, Fact, Facts, Model, Provider, Source
from harness.schema.result import Summary
from harness.schema.sovereignty import Assessment

OF_PROVIDERS = (
    "parent_seat",
    "contract_law",
    "residency",
    "residency_eu",
    "retention_days",
    "zero_retention",
    "trains_on_data",
    "dpa",
    "certifications",
    "weights_self_hostable",
    "weights_licence",
    "cloud_act",
)
"""Columns that are fields of `Provider` too."""
ASSESSED = ("sovereignty", "coverage", "seal", "seal_law", "seal_data")
OBJECTIVES = {"seal_law": "SOV-2", "seal_data": "SOV-3"}
NO_PROVIDER = "there is no provider: it runs on a machine of one's own"
NO_RUN = "only published: no run of it was looked at here"
NO_SEAT = "whose machine it is was not said: --seat"
NO_MODEL = "no model of the facts has this name: harness facts list models"


def of_provider(known: Provider | None, facts: Facts) -> dict[str, Entry]:
    if known is None:
        return dict.fromkeys((*OF_PROVIDERS, *ASSESSED), Entry(why=NO_TERMS))
    columns = sovereignty.columns(known)
    return {name: columns[name] for name in OF_PROVIDERS} | assessed(sovereignty.api(known, facts))


def of_run(summary: Summary, facts: Facts, *, seat: str | None, day: datetime.date) -> dict[str, Entry]:
    """Of a machine of one's own. `seat`, `day`: as `sovereignty.of_result` has them. Whoever has nothing of what was sent can neither keep
    it nor train on it; where something left, or may have, nothing is known of that."""
    left = egress.entry(summary)
    home = Entry(why=NO_SEAT if summary.launched else sovereignty.NOT_STARTED)
    if seat and summary.launched:
        home = Entry(value=seat.upper(), origin="given", date=day, sources=(Source(url="--seat", kind=ASKED, date=day),))
    return {
        **dict.fromkeys(OF_PROVIDERS, Entry(why=NO_PROVIDER)),
        **assessed(sovereignty.local(summary, facts, seat=seat, day=day)),
        "leaves_desk": left,
        "parent_seat": home,
        "residency": _if_nothing_left(left, "this machine", "measured", "nothing left it"),
        "residency_eu": _residency_eu(left, home),
        "trains_on_data": _if_nothing_left(left, "no", "computed", "nobody else had what was sent"),
    }


def of_published() -> dict[str, Entry]:
    return dict.fromkeys((*OF_PROVIDERS, *ASSESSED, "leaves_desk"), Entry(why=NO_RUN))


def of_weights(model: Model | None) -> dict[str, Entry]:
    """What is known of a model wherever it runs."""
    if model is None:
        return dict.fromkeys(("weights_self_hostable", "weights_licence"), Entry(why=NO_MODEL))
    return {
        "weights_self_hostable": of_fact(hostable(model), "", "listed"),
        "weights_licence": of_fact(model.licence, "", "listed"),
    }


def hostable(model: Model) -> Fact[str]:
    known = model.open_weights
    word = None if known.value is None else "yes" if known.value else "no"
    return Fact(value=word, sources=known.sources, note=known.note, why=known.why)


def assessed(found: Assessment) -> dict[str, Entry]:
    score = sovereignty.entry(found)
    entries = {"sovereignty": score, "coverage": score, "seal": score}
    if score.value is not None:
        plain = msgspec.structs.replace(score, low=None, high=None)
        level = sovereignty.seal(found.seal_low, found.seal_high)
        entries["coverage"] = msgspec.structs.replace(plain, value=round(found.coverage, 1), unit="%")
        entries["seal"] = msgspec.structs.replace(plain, value=level, unit="")
    return entries | {name: sovereignty.objective(found, ident) for name, ident in OBJECTIVES.items()}


def _if_nothing_left(left: Entry, value: str, origin: str, how: str) -> Entry:
    if left.value == "no":
        return msgspec.structs.replace(left, value=value, origin=origin, how=f"{how}: {left.how}")
    return Entry(why=left.why or f"something left the machine: {left.how}")


def _residency_eu(left: Entry, home: Entry) -> Entry:
    if home.value is None:
        return home
    inside = "yes" if home.value in sovereignty.EEA else "no"
    found = _if_nothing_left(left, inside, "computed", f"the machine stands in {home.value}, and nothing left it")
    return msgspec.structs.replace(found, sources=home.sources) if found.value is not None else found
