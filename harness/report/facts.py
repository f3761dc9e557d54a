"""Facts as text: what tables there are, their rows, and of one row each claim with its evidence."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from harness.report import text
from harness.schema.facts import Claim, Fact, Price, Source, claims, row_id

Tables = Mapping[str, Sequence[msgspec.Struct]]

ATTRIBUTION = "Ratings: LMArena leaderboard dataset (CC-BY-4.0). Copies of vendors' terms: Open Terms Archive (ODC-BY 1.0)."


def tables(found: Tables, day: datetime.date, *, width: int, color: bool) -> str:
    """A line for each table."""
    columns: list[text.Column] = [
        ("table", "left"), ("rows", "right"), ("known", "right"), ("unknown", "right"), ("newest", "right"), ("oldest", "right")
    ]  # fmt: skip
    lines = []
    for name, rows in found.items():
        facts = [fact for row in rows for _, fact in claims(row)]
        dates = [fact.date for fact in facts if fact.date]
        known = sum(map(_is_known, facts))
        ages = [age(max(dates), day), age(min(dates), day)] if dates else ["", ""]
        lines.append([name, str(len(rows)), str(known), str(len(facts) - known), *ages])
    return f"{text.table(columns, lines, width=width, color=color)}\n\n{text.wrapped(ATTRIBUTION, width=width)}"


def rows(
    name: str, found: Sequence[msgspec.Struct], day: datetime.date, *, width: int, color: bool, claimed: Mapping[str, str]
) -> str:
    """A line for each row; the age is that of its oldest fact. `claimed`: what the article says of a model's price, by the model."""
    columns: list[text.Column] = [(name, "left"), ("says", "left"), ("the article", "right"), ("age", "right")]
    lines = [
        [row_id(row), says(row), claimed.get(row.model, "") if isinstance(row, Price) else "", oldest(row, day)]
        for row in found
    ]
    return text.table(columns, lines, width=width, color=color)


def row(name: str, found: msgspec.Struct, day: datetime.date, *, width: int) -> str:
    """Every field, with quotes, sources and dates."""
    plain = [
        f"{field}: {said(value)}"
        for field in found.__struct_fields__
        if not isinstance(value := getattr(found, field), Fact) and value not in (None, "", ())
    ]
    lines = [f"{name}/{row_id(found)}", *(text.wrapped(line, width=width, indent="  ") for line in plain)]
    for field, fact in claims(found):
        lines.append("")
        lines += [text.wrapped(line, width=width, indent="  ") for line in _claim(field, fact)]
        lines += [text.wrapped(_evidence(source, day), width=width, indent="    ") for source in fact.sources]
    return "\n".join(lines)


def said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, tuple):
        return ", ".join(map(said, value)) or "none"
    if isinstance(value, msgspec.Struct):
        return " ".join(f"{name} {said(part)}" for name, part in msgspec.structs.asdict(value).items() if part is not None)
    return str(value)


def known(fact: Fact[Any]) -> str:
    """Its value, its range, or why there is neither."""
    if fact.value is not None:
        interval = f" ({fact.low:g} to {fact.high:g})" if fact.low is not None and fact.high is not None else ""
        return f"{said(fact.value)}{interval}"
    if fact.low is not None and fact.high is not None:
        return f"{fact.low:g} to {fact.high:g}"
    return f"unknown: {fact.why}"


def _claim(field: str, fact: Fact[Any]) -> Iterator[str]:
    yield f"{field}: {known(fact)}"
    if fact.note:
        yield f"note: {fact.note}"


def _evidence(source: Source, day: datetime.date) -> str:
    quote = f"“{source.quote}” " if source.quote else ""
    dated = f"; {source.dated}" if source.dated else ""
    return f"{quote}{source.url} ({source.kind}, {source.date}, {age(source.date, day)}{dated})"


def says(row: msgspec.Struct) -> str:
    if isinstance(row, Claim):
        return known(row.said)
    if isinstance(row, Price):
        parts = (("in", row.input_mtok), ("cached", row.cached_input_mtok), ("out", row.output_mtok))
        prices = ", ".join(f"{fact.value:g} {name}" for name, fact in parts if fact.value is not None)
        return f"{prices or 'not listed'} {row.currency}/Mtok" + (" and tiers" if row.tiers.value else "")
    facts = [fact for _, fact in claims(row)]
    return known(facts[0]) if len(facts) == 1 else f"{sum(map(_is_known, facts))} of {len(facts)} known"


def _is_known(fact: Fact[Any]) -> bool:
    return fact.value is not None or fact.low is not None


def oldest(row: msgspec.Struct, day: datetime.date) -> str:
    dates = [fact.date for _, fact in claims(row) if fact.date]
    return age(min(dates), day) if dates else ""


def age(date: datetime.date, day: datetime.date) -> str:
    return f"{(day - date).days} d"
