"""What is wrong with facts, or merely old."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.errors import FactsError
from harness.facts import load, prices, tables
from harness.facts.reading import Read
from harness.schema.facts import NO_SOURCE, OLD_DAYS, Claim, Facts, Price, Provider, Source, claims, row_id

MOST_WORDS = 30
"""Of a quote: enough to find the place, and no more than may be quoted."""
AGELESS = ("claims", "weightings", "criteria")
"""What was said on one day, and a framework's version, do not grow old."""
ERROR, WARNING, NOTE = "error", "warning", "note"


class Finding(NamedTuple):
    severity: str
    """`error`: the facts are not to be used so; `warning`: whoever shows the fact says this too; `note`."""
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.text}"


def check(own: Path | None, day: datetime.date) -> list[Finding]:
    """Of the shipped facts and the user's. A file that cannot be read is a finding."""
    found: list[Finding] = []
    parts: list[Facts] = []
    for folder in (load.SHIPPED, own):
        inside = [part for path in load.files(folder) if (part := _read(path, day, found))]
        found += _twice(inside)
        parts += inside
    facts = load.merged(parts)
    return [*found, *_names(facts), *_without_source(facts), *_ages(facts, day), *_unnamed(facts)]


def of_file(path: Path, own: Path, day: datetime.date) -> list[Finding]:
    """Of one file: by itself, and what is wrong with all facts once it lies in `own`, and was not before. Raises `FactsError` when
    another file there cannot be read."""
    found: list[Finding] = []
    new = _read(path, day, found)
    shipped = [load.file(file) for file in load.files(load.SHIPPED)]
    others = [load.file(file) for file in load.files(own) if file.stem != path.stem]
    before = [*_twice(others), *_names(load.merged([*shipped, *others]))]
    if new is not None:
        after = [*_twice([*others, new]), *_names(load.merged([*shipped, *others, new]))]
        found += [finding for finding in after if finding not in before]
    return found


def _read(path: Path, day: datetime.date, found: list[Finding]) -> Facts | None:
    try:
        facts = load.file(path)
        named = tables.sources(Read(path.read_bytes(), str(path)))
    except FactsError as error:
        where, _, text = error.message.partition(": ")
        found.append(Finding(ERROR, where, f"{text} ({error.hint})"))
        return None
    used = {source for _, row in _rows(facts) for _, fact in claims(row) for source in fact.sources}
    for name, source in named.items():
        found += [Finding(severity, f"{path}: source {name}", text) for severity, text in _source(source, day)]
        if source not in used:
            found.append(Finding(WARNING, f"{path}: source {name}", "nothing rests on it"))
    return facts


def _source(source: Source, day: datetime.date) -> Iterator[tuple[str, str]]:
    words = len(source.quote.split())
    if words > MOST_WORDS:
        yield ERROR, f"its quote has {words} words, more than {MOST_WORDS}"
    if source.date > day:
        yield ERROR, f"it is of {source.date}, after {day}"


def _rows(facts: Facts) -> Iterator[tuple[str, msgspec.Struct]]:
    for name in tables.TABLES:
        for row in getattr(facts, name):
            yield name, row


def _twice(parts: Iterable[Facts]) -> Iterator[Finding]:
    """Rows of one folder's files that are the same."""
    seen: set[tuple[str, tuple[object, ...]]] = set()
    for part in parts:
        for name, row in _rows(part):
            mark = (name, tables.key(row))
            if mark in seen:
                yield Finding(ERROR, f"{name}/{row_id(row)}", "two files have this row")
            seen.add(mark)


def _names(facts: Facts) -> Iterator[Finding]:
    """Names that lead nowhere, or to two models."""
    models = {model.id for model in facts.models}
    for kind in ("arena", "weights"):
        owners: dict[str, str] = {}
        for model in facts.models:
            for alias in getattr(model, kind):
                if owners.setdefault(alias, model.id) != model.id:
                    yield Finding(ERROR, f"models/{model.id}", f"'{alias}' is a name of {owners[alias]} too")
    for model in facts.models:
        for ref in filter(None, (model.own_price, *model.hosted)):
            if not prices.has(ref):
                yield Finding(ERROR, f"models/{model.id}", f"genai-prices {prices.edition().version} has no price for {ref}")
    for name, row in _rows(facts):
        said = row.models if isinstance(row, Provider) else (row.model,) if isinstance(row, Price | Claim) and row.model else ()
        for model_id in said:
            if model_id not in models:
                yield Finding(ERROR, f"{name}/{row_id(row)}", f"there is no model '{model_id}'")


def _without_source(facts: Facts) -> Iterator[Finding]:
    for name, row in _rows(facts):
        for field, fact in claims(row):
            if fact.why == NO_SOURCE:
                yield Finding(WARNING, f"{name}/{row_id(row)}", f"{field} has a value and no source: it counts as unknown")


def _ages(facts: Facts, day: datetime.date) -> Iterator[Finding]:
    """Of providers and models one for each row, else one for the table."""
    for name in (name for name in tables.TABLES if name not in AGELESS):
        rows = getattr(facts, name)
        old = {row_id(row): found for row in rows if (found := _old(row, day))}
        if name in ("providers", "models"):
            for row, found in old.items():
                yield Finding(WARNING, f"{name}/{row}", f"{', '.join(found)}: up to {max(found.values())} days old")
        elif old:
            most, row = max((max(found.values()), row) for row, found in old.items())
            yield Finding(WARNING, name, f"{len(old)} of {len(rows)} rows are over {OLD_DAYS} days old, {row} {most}")


def _old(row: msgspec.Struct, day: datetime.date) -> dict[str, int]:
    """Days, by the name of the fact."""
    return {field: (day - fact.date).days for field, fact in claims(row) if fact.date and fact.is_old(day)}


def _unnamed(facts: Facts) -> Iterator[Finding]:
    names = {rating.arena_name for rating in facts.ratings if rating.model is None}
    if names:
        some = ", ".join(sorted(names)[:3])
        yield Finding(
            NOTE, "ratings", f"{len(names)} arena names are of no model here ({some}{', …' if len(names) > 3 else ''})"
        )
