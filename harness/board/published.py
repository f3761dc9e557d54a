"""Figures that recipes carry as published → the board's rows."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from harness.board.columns import COLUMNS
from harness.board.measured import AGENTIC
from harness.schema.board import Entry, Row
from harness.schema.facts import Source
from harness.schema.recipe import Published, Recipe
from harness.schema.sensors import POWER_SCOPES

HARDWARE = "GB10"
NOT_PUBLISHED = "not published"


def rows(recipes: Iterable[tuple[Recipe, str]]) -> list[Row]:
    """One for each (recipe, its engine) with published figures. All of these are of GB10s."""
    return [_row(recipe, engine) for recipe, engine in recipes if recipe.harness.published]


def _row(recipe: Recipe, engine: str) -> Row:
    said: dict[str, list[Published]] = {}
    for figure in recipe.harness.published:
        said.setdefault(figure.metric, []).append(figure)
    decode = sorted(said.get("decode_tok_s", ()), key=_like_tg128, reverse=True)
    load = sorted(said.get("output_tok_s", ()), key=lambda figure: figure.concurrency or 0, reverse=True)
    entries = {
        "decode_tok_s": _entry("decode_tok_s", decode),
        "output_tok_s": _entry("output_tok_s", load),
        "concurrency": _streams(load),
        **{f"ttft_p{percent}_ms": Entry(unit="ms", why=_no_percentile(said)) for percent in (50, 90, 99)},
        AGENTIC: Entry(unit="ms", why=NOT_PUBLISHED),
    }
    for scope in POWER_SCOPES:
        watts = _entry(f"{scope}_w", said.get(f"{scope}_w", ()))
        entries[f"{scope}_w"] = watts if watts.value is not None else Entry(unit="W", why=_no_scope(said))
        entries[f"{scope}_j_tok"] = Entry(unit="J/tok", why=NOT_PUBLISHED)
    return Row(
        id=recipe.name,
        model=recipe.model,
        engine=engine,
        quantization=str(recipe.metadata.get("quantization") or ""),
        nodes=recipe.min_nodes,
        hardware=HARDWARE,
        entries=entries,
    )


def _like_tg128(figure: Published) -> tuple[bool, bool, bool, bool]:
    """How well it stands for one stream's decode of this very setup."""
    return (not figure.not_tested, figure.value is not None, figure.tg == 128, figure.concurrency == 1)


def _entry(name: str, figures: Sequence[Published]) -> Entry:
    """The first of them; the others beside it."""
    if not figures:
        return Entry(unit=COLUMNS[name].unit, why=NOT_PUBLISHED)
    first, *others = map(figure, figures)
    if first.value is None:
        return Entry(unit=first.unit, why=f"only a range was published: {first.low:g} to {first.high:g}", also=(first, *others))
    return Entry(
        value=first.value,
        unit=first.unit,
        low=first.low,
        high=first.high,
        origin=first.origin,
        date=first.date,
        how=first.how,
        sources=first.sources,
        also=tuple(others),
    )


def figure(said: Published) -> Entry:
    """One by itself. A range without a value stays one."""
    date = day(said.date)
    how = "; ".join(filter(None, (said.conditions, said.not_tested and f"not this setup: {said.not_tested}")))
    source = Source(url=said.source, kind="primary", date=date, dated="" if len(said.date) == 10 else said.date)
    return Entry(
        value=said.value,
        unit=said.unit,
        low=said.low,
        high=said.high,
        origin="published",
        date=date,
        how=how,
        sources=(source,),
        why="" if said.value is not None else "a range",
    )


def _streams(load: Sequence[Published]) -> Entry:
    if not load or load[0].concurrency is None:
        return Entry(why=NOT_PUBLISHED)
    found = figure(load[0])
    return Entry(value=load[0].concurrency, origin="published", date=found.date, how=found.how, sources=found.sources)


def _no_percentile(said: dict[str, list[Published]]) -> str:
    means = said.get("ttft_ms", ())
    for mean in means:
        what = f"{mean.value:g}" if mean.value is not None else f"{mean.low:g} to {mean.high:g}"
        return f"published as {what} ms without saying which percentile"
    return NOT_PUBLISHED


def _no_scope(said: dict[str, list[Published]]) -> str:
    watts = said.get("power_w", ())
    return f"{watts[0].value:g} W were published without saying of what" if watts and watts[0].value else NOT_PUBLISHED


def day(text: str) -> datetime.date:
    """A month is its first day: `2026-05`."""
    return datetime.date.fromisoformat(text if len(text) == 10 else f"{text}-01")
