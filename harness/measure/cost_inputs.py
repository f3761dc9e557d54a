"""What a result says of a system that costs are reckoned for: its speed at a tested load, and the watts of the same cell. A summary has all
of it, so that the board and `harness cost` say the same."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from harness.measure.entries import is_number, number, of_reading
from harness.schema.board import Entry
from harness.schema.cost import Local
from harness.schema.result import Point, Summary
from harness.schema.sensors import GPU, SOC, SYSTEM, WALL

SCOPES = (WALL, SYSTEM, SOC, GPU)
"""The first that was measured counts: it covers most of what is paid."""
WHOLE = (WALL, SYSTEM)
FULL, STEADY, DECODE = "output_tok_s_full", "output_tok_s", "decode_tok_s"
NOT_VALID = "invalid"


def busiest(summary: Summary) -> Point | None:
    """The cell that counts with the most output tokens a second, which is the cheapest way to work that was tested."""
    return next(iter(counting(summary)), None)


def counting(summary: Summary) -> list[Point]:
    """The cells that count, the busiest first."""
    known = [cell for cell in summary.points if cell.verdict != NOT_VALID and is_number(_speed(summary, cell)[0])]
    return sorted(known, key=lambda cell: number(_speed(summary, cell)[0]), reverse=True)


def of_cell(
    summary: Summary,
    cell: Point,
    *,
    electricity_per_kwh: Entry,
    machine_price: Entry,
    machines: int | None = None,
    copies: int = 1,
    lifetime_years: float = 3.0,
) -> Local:
    """`machines`: None: those that the server ran on. Its watts are of all of them."""
    speed, of_all = _speed(summary, cell)
    scope = next((scope for scope in SCOPES if is_number(_figure(summary, cell, f"{scope}_w"))), SYSTEM)
    return Local(
        name=f"{summary.model}, {summary.engine or 'engine not known'}, {cell.shape}",
        output_tok_s=speed,
        concurrency=_in_flight(cell),
        input_tokens_per_output_token=_input_per_output(cell) if of_all else 0.0,
        prefill_tok_s=_prefill(summary, cell),
        active_w=_figure(summary, cell, f"{scope}_w"),
        idle_w=_figure(summary, cell, f"{scope}_idle_w"),
        power_scope=scope,
        electricity_per_kwh=electricity_per_kwh,
        machine_price=machine_price,
        machines=machines or summary.nodes,
        copies=copies,
        lifetime_years=lifetime_years,
        notes=tuple(_notes(cell, scope, of_all)),
    )


def mean_lengths(cell: Point) -> tuple[float, float, float]:
    """(input tokens, output tokens, share of the input that a cache answered) of the cell's requests, as measured, else as asked."""
    prompt, answer = (_value(cell, name) for name in ("prompt_tokens", "completion_tokens"))
    cached = _value(cell, "cached_share")
    if cached is None:
        cached = _value(cell, "cached_share_counters") or 0.0
    return (
        float(cell.prompt_tokens) if prompt is None else prompt,
        float(cell.tg) if answer is None else answer,
        min(max(cached, 0.0), 1.0),
    )


def _speed(summary: Summary, cell: Point) -> tuple[Entry, bool]:
    """(tokens a second, whether the prefill of the cell's own prompts is in it). Decode of one stream only where that is all there is."""
    for name in (STEADY, FULL):
        found = _figure(summary, cell, name)
        if is_number(found):
            return found, True
    if cell.concurrency == 1 and is_number(found := _figure(summary, cell, DECODE)):
        return found, False
    return _figure(summary, cell, STEADY), True


def _prefill(summary: Summary, cell: Point) -> Entry:
    """Of one stream: with more in flight a prompt also waits for the others' turn. The cell of the same prompt, else the nearest."""
    single = [each for each in summary.points if each.concurrency == 1 and each.verdict != NOT_VALID]
    known = [each for each in single if is_number(_figure(summary, each, "prefill_tok_s"))]
    if not known:
        return Entry(unit="tok/s", why="no cell of one stream measured the prefill")
    return _figure(summary, min(known, key=lambda each: abs(each.prompt_tokens - cell.prompt_tokens)), "prefill_tok_s")


def _input_per_output(cell: Point) -> float:
    prompt, answer, cached = mean_lengths(cell)
    return prompt * (1 - cached) / answer if answer else 0.0


def _in_flight(cell: Point) -> float | None:
    return float(cell.concurrency) if cell.concurrency is not None else _value(cell, "in_flight")


def _figure(summary: Summary, cell: Point, name: str) -> Entry:
    unit = "W" if name.endswith("_w") else "tok/s"
    day = datetime.date.fromisoformat(summary.started[:10])
    return of_reading(cell.figures.get(name), unit, result=summary.id, date=day, how=f"{name} of {cell.shape}")


def _value(cell: Point, name: str) -> float | None:
    reading = cell.figures.get(name)
    return reading.value if reading else None


def _notes(cell: Point, scope: str, of_all: bool) -> Iterator[str]:
    if cell.verdict != "valid":
        yield f"the cell is {cell.verdict}: {cell.why}"
    if not of_all:
        yield "the speed is one stream's decode, since the cell has no throughput: several streams at once give more tokens an hour"
    elif cell.concurrency == 1:
        yield "the speed is one stream's: several at once give more tokens an hour"
    if cell.concurrency is None:
        yield f"the speed is what {cell.shape} asked for, and need not be the most it can do"
    if scope not in WHOLE:
        yield f"the watts are of the {'chip' if scope == SOC else 'GPU'} alone: the machine draws more"
