"""What `harness cost` prints: sums, what they rest on, what matters most, mixtures, and the arithmetic; as text or Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from harness.measure.entries import is_number, number, shown
from harness.report import text
from harness.schema.board import Entry
from harness.schema.cost import Comparison, Cost, Demand, LocalCost

UNKNOWN = "-"
NEVER = "never"
STEP_OFFERS = 2
"""Offers whose break-even stands in the table of what matters; `--format json` has all."""
LABELS = {
    "output_tok_s": "output",
    "prefill_tok_s": "prefill",
    "active_w": "at work",
    "idle_w": "idle",
    "electricity_per_kwh": "electricity",
    "machine_price": "machine",
    "requests_per_day": "requests",
    "lifetime_years": "lifetime",
}
YEAR_DAYS, MANY_DAYS = 365, 3650
FINEST, UNEVEN = 0.005, 0.1
"""Of a value: intervals below this are not shown. Of an interval's half: how far its middle may be from the value."""
LEGEND = (
    "$/M: everything, input too, per million output tokens, and per million of all. times here: as dear as here with hardware. break-even: "
    "until what is saved, idle hours counted, has paid the machines. Intervals hold all values of the measured ones, each at its worst at "
    "once. docs/cost.md explains it."
)


class Block(msgspec.Struct, frozen=True):
    title: str
    columns: list[text.Column] = []
    rows: list[list[str]] = []
    lines: list[str] = []


def render(found: Comparison, *, width: int, color: bool) -> str:
    return drawn([*_blocks(found), Block(_legend(found))], width=width, color=color)


def drawn(blocks: Iterable[Block], *, width: int, color: bool) -> str:
    from rich.markup import escape

    parts = []
    for block in blocks:
        rows = [[escape(entry) for entry in row] for row in block.rows]
        table = [text.table(block.columns, rows, width=width, color=color)] if rows else []
        lines = [text.wrapped(line, width=width, indent="  ") for line in block.lines]
        parts.append("\n".join([text.wrapped(block.title, width=width), *table, *lines]))
    return "\n\n".join(parts)


def markdown(found: Comparison) -> str:
    parts = []
    for block in _blocks(found):
        lines = [f"## {block.title}"]
        if block.rows:
            lines += ["", _line([head for head, _ in block.columns])]
            lines.append(_line([":--" if side == "left" else "--:" for _, side in block.columns]))
            lines += [_line(row) for row in block.rows]
        if block.lines:
            lines += ["", *(f"- {line}" for line in block.lines)]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _legend(found)])


def _blocks(found: Comparison) -> Iterator[Block]:
    demand, local = found.demand, found.local
    other = [f"{each.name}: not reckoned with: {each.note}" for each in found.offers if each.note]
    yield Block(f"{local.name}: {asked(demand)}", *_costs(found), lines=[*_work(local), *other])
    yield Block("What it rests on", *rests_on(found.inputs), lines=list(dict.fromkeys(found.notes)))
    if is_number(local.with_idle.per_day):
        yield Block("If one input were another", *_steps(found))
    if found.mixtures:
        title = f"With a share of the requests to {found.offers[0].name}, on machines that stand here in any case"
        yield Block(title, *_mixtures(found))
    yield Block("The arithmetic", lines=list(_arithmetic(found)))
    if why := list(_reasons(found)):
        yield Block("Not known", lines=why)


def asked(demand: Demand) -> str:
    cached = f", {demand.cached_input_share:.0%} of the input cached" if demand.cached_input_share else ""
    return (
        f"{shown(demand.requests_per_day)} requests a day of {shown(demand.input_tokens_per_request)} tokens in and "
        f"{shown(demand.output_tokens_per_request)} out{cached}"
    )


def _costs(found: Comparison) -> tuple[list[text.Column], list[list[str]]]:
    unit = found.local.currency
    columns: list[text.Column] = [
        ("", "left"),
        (f"{unit}/day", "right"),
        (f"{unit}/month", "right"),
        (f"{unit}/M output", "right"),
        (f"{unit}/M all", "right"),
        ("times here", "right"),
        ("break-even", "right"),
    ]
    local = found.local
    ways = (("at work", local.electricity), ("+ idle", local.with_idle), ("+ hardware", local.with_hardware))
    rows = [[name, *_sums(cost), "", ""] for name, cost in ways]
    rows += [
        [each.name, *_sums(each.cost), said(each.times_with_hardware), days(each.break_even_days)] for each in found.offers
    ]
    return columns, rows


def _sums(cost: Cost) -> list[str]:
    return [said(entry) for entry in (cost.per_day, cost.per_month, cost.per_mtok_output, cost.per_mtok)]


def _work(local: LocalCost) -> list[str]:
    busy = local.busy_h_per_day
    parts = [f"busy {said(busy)} h of 24"] if is_number(busy) else []
    if is_number(local.copies_needed) and number(local.copies_needed) > 1:
        parts.append(f"{said(local.copies_needed)} copies would do it")
    if is_number(local.active_wh_per_day):
        parts.append(f"{said(local.active_wh_per_day)} Wh a day at work")
    if is_number(local.idle_wh_per_day):
        parts.append(f"{said(local.idle_wh_per_day)} Wh idle")
    for entry, words in ((local.active_j_per_output_token, "at work"), (local.j_per_output_token, "with idle hours")):
        if is_number(entry):
            parts.append(f"{said(entry)} J per output token {words}")
    return ["; ".join(parts)] if parts else []


def rests_on(inputs: Mapping[str, Entry]) -> tuple[list[text.Column], list[list[str]]]:
    columns: list[text.Column] = [("input", "left"), ("value", "right"), ("unit", "left"), ("from", "left"), ("date", "left")]
    rows = [
        [
            LABELS.get(name, name),
            said(entry),
            entry.unit,
            ": ".join(filter(None, (entry.origin, entry.how))) or entry.why,
            _date(entry),
        ]
        for name, entry in inputs.items()
    ]
    return columns, rows


def _steps(found: Comparison) -> tuple[list[text.Column], list[list[str]]]:
    """Values alone: how wide their intervals are stands above."""
    unit, names = found.local.currency, [each.name for each in found.offers[:STEP_OFFERS]]
    columns: list[text.Column] = [
        ("input", "left"),
        ("value", "right"),
        ("", "left"),
        (f"{unit}/M output\n+ idle", "right"),
        (f"{unit}/M output\n+ hardware", "right"),
        *((f"break-even\n{name}", "right") for name in names),
    ]
    rows = [
        [
            LABELS.get(step.input, step.input),
            *((point(step.value), step.value.unit) if is_number(step.value) else ("", "")),
            point(step.with_idle_per_mtok_output),
            point(step.with_hardware_per_mtok_output),
            *(days(step.break_even_days[name]) for name in names),
        ]
        for step in found.sensitivity
    ]
    return columns, rows


def _mixtures(found: Comparison) -> tuple[list[text.Column], list[list[str]]]:
    unit = found.local.currency
    columns: list[text.Column] = [
        ("share", "right"),
        (f"{unit}/day", "right"),
        (f"{unit}/M output", "right"),
        ("win rate", "right"),
        ("input tok/day\nthat leave", "right"),
        ("output tok/day\nmade there", "right"),
    ]
    rows = [
        [
            f"{each.cloud_share:.0%}",
            said(each.cost.per_day),
            said(each.cost.per_mtok_output),
            said(each.win_rate),
            shown(number(each.input_tokens_leaving_per_day)),
            shown(number(each.output_tokens_from_outside_per_day)),
        ]
        for each in found.mixtures
    ]
    return columns, rows


def _arithmetic(found: Comparison) -> Iterator[str]:
    yield from (f"{name}: {entry.how} = {said(entry)} {entry.unit}" for name, entry in _named(found) if is_number(entry))
    if found.mixtures and is_number(found.mixtures[0].win_rate):
        yield f"win rate of {found.local.name} against {found.offers[0].name}: {said(found.mixtures[0].win_rate)}, ties aside"


def _reasons(found: Comparison) -> Iterator[str]:
    """The same of several figures once."""
    named = [*_named(found), *(("mixture", each.win_rate) for each in found.mixtures[:1])]
    whys: dict[str, list[str]] = {}
    for name, entry in named:
        if not is_number(entry):
            whys.setdefault(entry.why, []).append(name)
    yield from (f"{', '.join(names)}: {why}" for why, names in whys.items())


def _named(found: Comparison) -> Iterator[tuple[str, Entry]]:
    """The figures that have arithmetic of their own."""
    local = found.local
    yield "busy", local.busy_h_per_day
    yield "at work", local.electricity.per_day
    yield "+ idle", local.with_idle.per_day
    yield "+ hardware", local.with_hardware.per_day
    for each in found.offers:
        yield each.name, each.cost.per_day
        yield f"break-even, {each.name}", each.break_even_days
        yield f"break-even without idle hours, {each.name}", each.break_even_days_electricity


def said(entry: Entry) -> str:
    """`0.142 ±0.011`, or both ends where they are not as far from it; the value alone where its interval is finer than money is; a dash
    where there is none."""
    if not is_number(entry):
        return UNKNOWN
    value = number(entry)
    half = 0.0 if entry.low is None or entry.high is None else (entry.high - entry.low) / 2
    if entry.low is None or entry.high is None or half < FINEST * abs(value):
        return text.number(value)
    if abs(entry.high + entry.low - 2 * value) < UNEVEN * half:
        return f"{text.number(value, half)} ±{text.number(half, half)}"
    return f"{text.number(value, half)} ({text.number(entry.low, half)} to {text.number(entry.high, half)})"


def point(entry: Entry) -> str:
    """The value alone."""
    return text.number(number(entry)) if is_number(entry) else UNKNOWN


def days(entry: Entry) -> str:
    """The value alone: `385 d`, `82 years`, `never`."""
    if not is_number(entry):
        return NEVER if entry.why.startswith(NEVER) else UNKNOWN
    value = number(entry)
    return f"{text.number(value / YEAR_DAYS)} years" if value > MANY_DAYS else f"{point(entry)} d"


def _date(entry: Entry) -> str:
    return str(entry.date) if entry.date else ""


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("\n", " ").replace("|", "\\|") for entry in entries) + " |"


def _legend(found: Comparison) -> str:
    return LEGEND.replace("$", found.local.currency)
