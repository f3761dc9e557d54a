"""What a stored result says of a system that costs are reckoned for: its speed at a tested load, and the watts of the same cell."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from harness.measure.entries import is_number, of_figure
from harness.schema.board import Entry
from harness.schema.cost import Local
from harness.schema.result import CellResult, Result
from harness.schema.sensors import GPU, SOC, SYSTEM, WALL

SCOPES = (WALL, SYSTEM, SOC, GPU)
"""The first that was measured counts: it covers most of what is paid."""
WHOLE = (WALL, SYSTEM)
FULL, STEADY, DECODE = "output_tok_s_full", "output_tok_s", "decode_tok_s"
NOT_VALID = "invalid"


def busiest(result: Result) -> CellResult | None:
    """The cell that counts with the most output tokens a second, which is the cheapest way to work that was tested."""
    known = [cell for cell in result.cells if cell.verdict != NOT_VALID and is_number(_speed(result, cell)[0])]
    return max(known, key=lambda cell: _speed(result, cell)[0].value or 0.0, default=None)


def of_cell(
    result: Result,
    cell: CellResult,
    *,
    electricity_per_kwh: Entry,
    machine_price: Entry,
    machines: int = 1,
    copies: int = 1,
    lifetime_years: float = 3.0,
) -> Local:
    """`machines`: what the server ran on; its watts are of all of them."""
    speed, of_all = _speed(result, cell)
    scope = next((scope for scope in SCOPES if is_number(_figure(result, cell, f"{scope}_w"))), SYSTEM)
    return Local(
        name=f"{result.model}, {result.engine.name or 'engine not known'}, {cell.cell.id}",
        output_tok_s=speed,
        concurrency=_in_flight(cell),
        input_tokens_per_output_token=_input_per_output(cell) if of_all else 0.0,
        prefill_tok_s=_prefill(result, cell),
        active_w=_figure(result, cell, f"{scope}_w"),
        idle_w=_figure(result, cell, f"{scope}_idle_w"),
        power_scope=scope,
        electricity_per_kwh=electricity_per_kwh,
        machine_price=machine_price,
        machines=machines,
        copies=copies,
        lifetime_years=lifetime_years,
        notes=tuple(_notes(cell, scope, of_all)),
    )


def mean_lengths(cell: CellResult) -> tuple[float, float, float]:
    """(input tokens, output tokens, share of the input that a cache answered) of the cell's requests, as measured, else as asked."""
    prompt, answer = (_value(cell, name) for name in ("prompt_tokens", "completion_tokens"))
    cached = _value(cell, "cached_share")
    if cached is None:
        cached = _value(cell, "cached_share_counters") or 0.0
    return (
        float(cell.cell.prompt_tokens) if prompt is None else prompt,
        float(cell.cell.tg) if answer is None else answer,
        min(max(cached, 0.0), 1.0),
    )


def _speed(result: Result, cell: CellResult) -> tuple[Entry, bool]:
    """(tokens a second, whether the prefill of the cell's own prompts is in it). Decode of one stream only where that is all there is."""
    for name in (STEADY, FULL):
        found = _figure(result, cell, name)
        if is_number(found):
            return found, True
    if cell.cell.concurrency == 1 and is_number(found := _figure(result, cell, DECODE)):
        return found, False
    return _figure(result, cell, STEADY), True


def _prefill(result: Result, cell: CellResult) -> Entry:
    """Of one stream: with more in flight a prompt also waits for the others' turn. The cell of the same prompt, else the nearest."""
    single = [each for each in result.cells if each.cell.concurrency == 1 and each.verdict != NOT_VALID]
    known = [each for each in single if is_number(_figure(result, each, "prefill_tok_s"))]
    if not known:
        return Entry(unit="tok/s", why="no cell of one stream measured the prefill")
    return _figure(result, min(known, key=lambda each: abs(each.cell.prompt_tokens - cell.cell.prompt_tokens)), "prefill_tok_s")


def _input_per_output(cell: CellResult) -> float:
    prompt, answer, cached = mean_lengths(cell)
    return prompt * (1 - cached) / answer if answer else 0.0


def _in_flight(cell: CellResult) -> float | None:
    return float(cell.cell.concurrency) if cell.cell.concurrency is not None else _value(cell, "in_flight")


def _figure(result: Result, cell: CellResult, name: str) -> Entry:
    unit = "W" if name.endswith("_w") else "tok/s"
    day = datetime.date.fromisoformat(result.anchor.wall[:10])
    return of_figure(cell.figures.get(name), unit, result=result.id, date=day, how=f"{name} of {cell.cell.id}")


def _value(cell: CellResult, name: str) -> float | None:
    figure = cell.figures.get(name)
    return figure.value if figure else None


def _notes(cell: CellResult, scope: str, of_all: bool) -> Iterator[str]:
    if cell.verdict != "valid":
        yield f"the cell is {cell.verdict}: {'; '.join(finding.text for finding in cell.findings if finding.severity == cell.verdict)}"
    if not of_all:
        yield "the speed is one stream's decode, since the cell has no throughput: several streams at once give more tokens an hour"
    elif cell.cell.concurrency == 1:
        yield "the speed is one stream's: several at once give more tokens an hour"
    if cell.cell.concurrency is None:
        yield f"the speed is what {cell.cell.load} asked for, and need not be the most it can do"
    if scope not in WHOLE:
        yield f"the watts are of the {'chip' if scope == SOC else 'GPU'} alone: the machine draws more"


def cell_named(cells: Sequence[CellResult], name: str) -> CellResult | None:
    """By its id, or its load where only one cell has that: `c8`."""
    fitting = [cell for cell in cells if cell.cell.id == name] or [cell for cell in cells if cell.cell.load == name]
    return fitting[0] if len(fitting) == 1 else None
