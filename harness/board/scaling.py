"""The same system on more machines: what each added machine brought."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.schema.board import Board, Entry, Row


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One system on so many machines. `speedup` is to one machine, `efficiency` the speedup by machine; None: `why`."""

    model: str
    engine: str
    quantization: str
    column: str
    row: str
    nodes: int
    entry: Entry
    speedup: float | None = None
    efficiency: float | None = None
    why: str = ""


def steps(board: Board) -> Iterator[Step]:
    """Of every system that is on the board with several numbers of machines, for one stream and for all of them."""
    systems: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in board.rows:
        if row.nodes is not None:
            systems.setdefault((row.model, row.engine, row.quantization, row.hardware), []).append(row)
    for (model, engine, quantization, _), rows in systems.items():
        if len({row.nodes for row in rows}) < 2:
            continue
        for column in ("decode_tok_s", "output_tok_s"):
            yield from _steps(model, engine, quantization, column, rows)


def _steps(model: str, engine: str, quantization: str, column: str, rows: list[Row]) -> Iterator[Step]:
    known = sorted((row for row in rows if row.entries[column].value is not None), key=lambda row: row.nodes or 0)
    alone = next((row for row in known if row.nodes == 1), None)
    for row in known:
        base, why = _base(column, row, alone)
        value, nodes = float(row.entries[column].value or 0), row.nodes or 1
        yield Step(
            model=model,
            engine=engine,
            quantization=quantization,
            column=column,
            row=row.id,
            nodes=nodes,
            entry=row.entries[column],
            speedup=value / base if base else None,
            efficiency=value / base / nodes if base else None,
            why=why,
        )


def _base(column: str, row: Row, alone: Row | None) -> tuple[float | None, str]:
    """What one machine does under the same load, or why that is not known."""
    if alone is None:
        return None, "no figure of one machine"
    streams = alone.entries["concurrency"].value
    if column == "output_tok_s" and row.entries["concurrency"].value != streams:
        return None, f"one machine has a figure of {streams} streams"
    return float(alone.entries[column].value or 0), ""
