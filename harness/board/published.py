"""Figures that recipes carry as published → the board's rows."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from harness.board.columns import COLUMNS
from harness.board.measured import AGENTIC
from harness.board.own import Own
from harness.measure.cost_inputs import SCOPES, WHOLE
from harness.measure.entries import given
from harness.schema.board import Entry, Row
from harness.schema.cost import Local
from harness.schema.facts import Source
from harness.schema.recipe import Published, Recipe
from harness.schema.sensors import POWER_SCOPES

HARDWARE = "GB10"
NOT_PUBLISHED = "not published"
PAID = ("output_tok_s", "decode_tok_s", "prefill_tok_s")
"""What costs are reckoned from; of speeds that of all streams first."""


def rows(recipes: Iterable[tuple[Recipe, str]], own: Own | None = None) -> list[Row]:
    """One for each (recipe, its engine) with published figures. All of these are of GB10s. `own`: as `measured.rows` has it."""
    return [_row(recipe, engine, own) for recipe, engine in recipes if recipe.harness.published]


def _row(recipe: Recipe, engine: str, own: Own | None) -> Row:
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
        entries[f"{scope}_w"] = _power(said, scope, load)
        entries[f"{scope}_j_tok"] = Entry(unit="J/tok", why=NOT_PUBLISHED)
    if own is not None:
        entries |= own.of_published(_paid(recipe, said, own), _no_watts(said), recipe.model)
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


def _power(said: dict[str, list[Published]], scope: str, load: Sequence[Published]) -> Entry:
    """Watts stand beside the streams that they were drawn by; those of another load, or of nobody knows which, only as known besides."""
    figures = sorted(said.get(f"{scope}_w", ()), key=lambda watts: bool(load) and _same_requests(watts, load[0]), reverse=True)
    watts = _entry(f"{scope}_w", figures)
    if watts.value is None:
        return watts if figures else Entry(unit="W", why=_no_scope(said))
    if load and not _same_requests(figures[0], load[0]):
        why = f"{watts.value:g} W were published, of another load or of none that is said"
        return Entry(unit="W", why=why, also=(msgspec.structs.replace(watts, also=()), *watts.also))
    return watts


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


def _paid(recipe: Recipe, said: dict[str, list[Published]], own: Own) -> tuple[Local, float, float] | None:
    """(the system, input and output tokens of a request) of watts and a speed that were published of one and the same load."""
    for scope, watts in _watts(said):
        load = [figure for name in PAID for figure in said.get(name, ()) if _same_load(watts, figure)]
        speed = next((figure for figure in load if _is_speed(figure)), None)
        if speed is None or watts.pp is None or not watts.tg:
            continue
        prompt = (watts.depth or 0) + watts.pp
        idle = next(
            (one for one in said.get(f"{scope}_idle_w", ()) if (one.source, one.date) == (watts.source, watts.date)), None
        )
        prefill = next((figure for figure in load if figure.metric == "prefill_tok_s"), None)
        local = Local(
            name=recipe.name,
            output_tok_s=figure(speed),
            concurrency=speed.concurrency or 1,
            input_tokens_per_output_token=prompt / watts.tg if speed.metric == "output_tok_s" else 0.0,
            prefill_tok_s=figure(prefill) if prefill else given(None, "tok/s", "not published"),
            active_w=figure(watts),
            idle_w=figure(idle) if idle else given(None, "W", "not published"),
            power_scope=scope,
            electricity_per_kwh=own.sums.electricity_per_kwh,
            machine_price=own.sums.machine_price(HARDWARE),
            machines=recipe.min_nodes,
            lifetime_years=own.sums.lifetime_years,
            notes=tuple(_notes(speed, scope)),
        )
        return local, prompt, watts.tg
    return None


def _watts(said: dict[str, list[Published]]) -> Iterator[tuple[str, Published]]:
    """The widest scope first."""
    yield from ((scope, watts) for scope in SCOPES for watts in said.get(f"{scope}_w", ()) if watts.value is not None)


def _same_load(one: Published, other: Published) -> bool:
    """Whether they are said of the same requests by the same people, and of this setup."""
    return _same_requests(one, other) and None not in (one.value, other.value) and not (one.not_tested or other.not_tested)


def _same_requests(one: Published, other: Published) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("source", "date", "depth", "pp", "tg", "concurrency"))


def _is_speed(figure: Published) -> bool:
    return figure.metric == "output_tok_s" or (figure.metric == "decode_tok_s" and figure.concurrency in (None, 1))


def _notes(speed: Published, scope: str) -> Iterator[str]:
    yield "of published watts and speed, not measured here"
    if speed.concurrency is None:
        yield "how many streams there were is not said: reckoned for one, with more it would be less"
    if scope not in WHOLE:
        yield f"the watts are of {scope} scope: the machine draws more"


def _no_watts(said: dict[str, list[Published]]) -> str:
    """Why there is nothing to reckon costs of."""
    for scope, watts in _watts(said):
        doubt = f": {watts.not_tested}" if watts.not_tested else ""
        return f"{watts.value:g} W of {scope} scope were published, but not with a speed of the same load{doubt}"
    return f"no watts of a known scope were published: {_no_scope(said)}" if "power_w" in said else "no watts were published"
