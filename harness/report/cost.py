"""What `harness cost` prints: sums, what they rest on, what matters most, mixtures, and the arithmetic; as text or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.measure.entries import is_number, number, shown
from harness.report import text
from harness.schema.board import Entry
from harness.schema.cost import Comparison, Cost, Demand, LocalCost

UNKNOWN = "-"
NEVER = "never"
YEAR_DAYS, MANY_DAYS = 365, 3650
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
    from rich.markup import escape

    parts = []
    for block in _blocks(found):
        rows = [[escape(entry) for entry in row] for row in block.rows]
        drawn = [text.table(block.columns, rows, width=width, color=color)] if rows else []
        lines = [text.wrapped(line, width=width, indent="  ") for line in block.lines]
        parts.append("\n".join([text.wrapped(block.title, width=width), *drawn, *lines]))
    return "\n\n".join([*parts, text.wrapped(_legend(found), width=width)])


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
    yield Block(f"{local.name}: {asked(demand)}", *_costs(found), lines=_work(local))
    yield Block("What it rests on", *_inputs(found), lines=list(dict.fromkeys(found.notes)))
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
    ways = (("electricity", local.electricity), ("+ idle hours", local.with_idle), ("+ hardware", local.with_hardware))
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


def _inputs(found: Comparison) -> tuple[list[text.Column], list[list[str]]]:
    columns: list[text.Column] = [("input", "left"), ("value", "right"), ("unit", "left"), ("from", "left"), ("date", "left")]
    rows = [
        [_words(name), said(entry), entry.unit, ": ".join(filter(None, (entry.origin, entry.how))) or entry.why, _date(entry)]
        for name, entry in found.inputs.items()
    ]
    return columns, rows


def _steps(found: Comparison) -> tuple[list[text.Column], list[list[str]]]:
    unit, names = found.local.currency, [each.name for each in found.offers]
    columns: list[text.Column] = [
        ("input", "left"),
        ("value", "right"),
        (f"{unit}/M output\n+ idle", "right"),
        (f"{unit}/M output\n+ hardware", "right"),
        *((f"break-even\n{name}", "right") for name in names),
    ]
    rows = [
        [
            _words(step.input),
            f"{said(step.value)} {step.value.unit}" if is_number(step.value) else "",
            said(step.with_idle_per_mtok_output),
            said(step.with_hardware_per_mtok_output),
            *(days(step.break_even_days[name]) for name in names),
        ]
        for step in found.sensitivity
        if step.factor == 1 or is_number(step.value)
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
    local = found.local
    named = [
        ("busy", local.busy_h_per_day),
        ("electricity", local.electricity.per_day),
        ("+ idle hours", local.with_idle.per_day),
    ]
    named.append(("+ hardware", local.with_hardware.per_day))
    for each in found.offers:
        named += [(each.name, each.cost.per_day), (f"break-even, {each.name}", each.break_even_days)]
        named.append((f"break-even without idle hours, {each.name}", each.break_even_days_electricity))
    yield from (f"{name}: {entry.how} = {said(entry)} {entry.unit}" for name, entry in named if is_number(entry))
    if found.mixtures and is_number(found.mixtures[0].win_rate):
        yield f"win rate of {local.name} against {found.offers[0].name}: {said(found.mixtures[0].win_rate)}, ties aside"


def _reasons(found: Comparison) -> Iterator[str]:
    """The same of several figures once."""
    local = found.local
    named = [
        ("busy hours", local.busy_h_per_day),
        ("electricity", local.electricity.per_day),
        ("idle hours", local.with_idle.per_day),
        ("hardware", local.with_hardware.per_day),
    ]
    for each in found.offers:
        named += [(each.name, each.cost.per_day), (f"break-even, {each.name}", each.break_even_days)]
        named.append((f"break-even without idle hours, {each.name}", each.break_even_days_electricity))
    if found.mixtures:
        named.append(("win rate", found.mixtures[-1].win_rate))
    whys: dict[str, list[str]] = {}
    for name, entry in named:
        if not is_number(entry):
            whys.setdefault(entry.why, []).append(name)
    yield from (f"{', '.join(names)}: {why}" for why, names in whys.items())


def said(entry: Entry) -> str:
    """The value with its interval: `0.142 (0.131 to 0.154)`; a dash where there is none."""
    if not is_number(entry):
        return UNKNOWN
    value = number(entry)
    if entry.low is None or entry.high is None or entry.low == entry.high:
        return text.number(value)
    half = (entry.high - entry.low) / 2
    return f"{text.number(value, half)} ({text.number(entry.low, half)} to {text.number(entry.high, half)})"


def days(entry: Entry) -> str:
    if not is_number(entry):
        return NEVER if entry.why.startswith(NEVER) else UNKNOWN
    value = number(entry)
    return f"{text.number(value / YEAR_DAYS)} years" if value > MANY_DAYS else f"{said(entry)} d"


def _words(name: str) -> str:
    return name.replace("_tok_s", "").replace("_w", "").replace("_", " ") if "_" in name else name


def _date(entry: Entry) -> str:
    return str(entry.date) if entry.date else ""


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("\n", " ").replace("|", "\\|") for entry in entries) + " |"


def _legend(found: Comparison) -> str:
    return LEGEND.replace("$", found.local.currency)
