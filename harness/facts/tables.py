"""Plain values of a facts file → typed rows. A file names its sources once, by an id; each claim names the ids that it rests on:

    sources:
      terms: {url: https://…, quote: …, kind: primary, date: 2026-08-22, dated: effective 2026-01-01}
    providers:
      - provider: Example
        retention_days: {value: 30, by: [terms], note: …}
        zero_retention: {why: nothing is said of it}

A row's own `by` stands for claims in it that are written as bare values. A claim without a source is unknown, whatever its value. A
provider's row for one endpoint or model takes what it does not say from the product's own row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from harness.errors import did_you_mean
from harness.facts.reading import Read, Where
from harness.schema.facts import COUNTRIES, KINDS, NO_SOURCE, NOT_FOUND, ONLY_A_RANGE, Fact, Facts, Source
from harness.typed import converted

Row = TypeVar("Row", bound=msgspec.Struct)

TABLES: dict[str, type[msgspec.Struct]] = {name: get_args(hint)[0] for name, hint in get_type_hints(Facts).items()}
"""What a row of each is."""

SOURCES = "sources"

WORDS = {
    "residency_eu": ("yes", "option", "no"),
    "zero_retention": ("default", "self-serve", "approval", "no"),
    "trains_on_data": ("no", "opt-in", "opt-out", "yes"),
    "weights_self_hostable": ("yes", "some", "no"),
    "cloud_act": ("direct", "indirect", "none"),
    "state": ("idle", "load", "rated"),
    "scope": ("wall", "system", "soc", "gpu", "adapter"),
    "customer": ("household", "business"),
    "verdict": ("holds", "rounded", "differs", "depends on"),
}
"""The only words that may stand in these fields."""

COUNTRY = {"parent_seat": COUNTRIES, "maker_seat": COUNTRIES, "country": COUNTRIES | {"EU"}}
"""Fields that take a country's code."""

_CLAIM = ("value", "low", "high", "by", "note", "why")


def key(row: msgspec.Struct) -> tuple[object, ...]:
    """What tells a row from the others of its table."""
    return tuple(getattr(row, name) for name in row.KEY)  # type: ignore[attr-defined]


def rows(read: Read) -> Facts:
    """Raises `FactsError` with file and line."""
    unknown = [name for name in read.value if name != SOURCES and name not in TABLES]
    if unknown:
        near = did_you_mean(str(unknown[0]), [SOURCES, *TABLES])
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join([SOURCES, *TABLES])}"
        raise read.error((str(unknown[0]),), f"there is no table '{unknown[0]}'", hint)
    known = sources(read)
    found = {name: _table(read, name, kind, known) for name, kind in TABLES.items() if read.value.get(name)}
    return Facts(**found)  # type: ignore[arg-type]


def sources(read: Read) -> dict[str, Source]:
    """By their ids. Raises `FactsError`."""
    named = read.value.get(SOURCES) or {}
    if not isinstance(named, dict):
        raise read.error((SOURCES,), "sources are no mapping", "write each as `id: {url: …, kind: …, date: …}`")
    found = {str(name): _convert(read, (SOURCES, str(name)), value, Source) for name, value in named.items()}
    for name, source in found.items():
        if source.kind not in KINDS:
            raise read.error((SOURCES, name, "kind"), f"'{source.kind}' is no kind of source", f"one of {', '.join(KINDS)}")
        if not source.url:
            raise read.error((SOURCES, name), "it has no address", "a source without one cannot be looked up, and is left out")
    return found


def _table(read: Read, name: str, kind: type[Row], known: Mapping[str, Source]) -> tuple[Row, ...]:
    listed = read.value[name]
    if not isinstance(listed, list):
        raise read.error((name,), f"'{name}' is no list of rows", "write each row behind a dash")
    found: dict[tuple[object, ...], Row] = {}
    for index, values in enumerate(listed):
        where = (name, index)
        if not isinstance(values, dict):
            raise read.error(where, "a row is no mapping", "write its fields as `name: value`")
        values = _general(listed, values) | values
        row = _convert(read, where, _resolved(read, where, values, kind, known), kind)
        _check_words(read, where, row)
        if (mark := key(row)) in found:
            raise read.error(where, "the same row stands above", f"what tells rows apart: {', '.join(kind.KEY)}")  # type: ignore[attr-defined]
        found[mark] = row
    return tuple(found.values())


def _general(listed: list[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Of a product's row for one endpoint or model: the row of the product itself, which says what this one does not."""
    if "product" not in values or not (values.get("endpoint") or values.get("model")):
        return {}
    own = (row for row in listed if isinstance(row, dict) and not (row.get("endpoint") or row.get("model")))
    return next((row for row in own if all(row.get(name) == values.get(name) for name in ("provider", "product"))), {})


def _resolved(
    read: Read, where: Where, values: dict[str, Any], kind: type[msgspec.Struct], known: Mapping[str, Source]
) -> dict[str, Any]:
    plain = {name: value for name, value in values.items() if name not in _facts_of(kind) and name != "by"}
    return plain | {name: _fact(read, (*where, name), values.get(name), values.get("by"), known) for name in _facts_of(kind)}


def _fact(read: Read, where: Where, said: object, by: object, known: Mapping[str, Source]) -> dict[str, Any]:
    if said is None:
        return {"why": NOT_FOUND}
    claim: dict[str, Any] = said if isinstance(said, dict) else {"value": said}
    if unknown := [str(part) for part in claim if part not in _CLAIM]:
        raise read.error((*where, unknown[0]), f"a claim has no '{unknown[0]}'", f"it has {', '.join(_CLAIM)}")
    ids = claim.get("by", by) or []
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise read.error((*where, "by"), "it is no list of sources", "write it like by: [terms, page]")
    if any(isinstance(number := claim.get(part), float) and not math.isfinite(number) for part in ("value", "low", "high")):
        raise read.error(where, "it is no finite number", "leave it out where nothing is known")
    for name in ids:
        if name not in known:
            near = did_you_mean(name, list(known))
            hint = f"did you mean '{near}'?" if near else "name it under sources: first"
            raise read.error((*where, "by"), f"there is no source '{name}'", hint)
    if not ids or all(claim.get(part) is None for part in ("value", "low", "high")):
        return {"why": claim.get("why") or (NOT_FOUND if ids else NO_SOURCE), "sources": [known[name] for name in ids]}
    why = "" if claim.get("value") is not None else ONLY_A_RANGE
    return {part: value for part, value in claim.items() if part != "by"} | {
        "why": why,
        "sources": [known[name] for name in ids],
    }


@cache
def _facts_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Its fields that are claims."""
    return tuple(name for name, hint in get_type_hints(kind).items() if get_origin(hint) is Fact)


def _convert(read: Read, where: Where, values: object, kind: type[Row]) -> Row:
    try:
        return converted(values, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".").split(".")[0].split("[")[0] if path else ""
        hint = (
            "put yes, no, on and off in quotes: YAML takes them for true and false"
            if "got `bool`" in message
            else "see docs/facts.md"
        )
        at = (*where, field) if field else where
        raise read.error(at, f"{field}: {message}" if field else message, hint) from None


def _check_words(read: Read, where: Where, row: msgspec.Struct) -> None:
    for name, words in (WORDS | COUNTRY).items():
        said = getattr(row, name, None)
        word = said.value if isinstance(said, Fact) else said
        if word is not None and word not in words:
            if name in COUNTRY:
                raise read.error(
                    (*where, name), f"{name}: '{word}' is no country", "two letters, as ISO 3166 has them: DE, FR, US"
                )
            raise read.error((*where, name), f"{name}: '{word}' is none of its words", f"one of {', '.join(words)}")
