"""The board as a terminal's table, Markdown, CSV, and its scaling view."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO

from harness.board.columns import COLUMNS
from harness.board.pick import ABOUT
from harness.board.scaling import Step
from harness.report import text
from harness.schema.board import Board, Entry, Row

MARKS = {"measured": "", "published": "*", "listed": "†", "claimed": "?", "computed": "", "assessed": "‡", "imported": "§"}
"""Behind a number, by its origin."""
LEGEND = {
    "published": "* published by somebody, not measured here",
    "listed": "† by its price list, or its terms",
    "claimed": "? claimed without evidence",
    "assessed": "‡ self-assessed, by public evidence",
    "imported": "§ imported from another program's file, not measured here, not verifiable: raw data are missing",
}
AS_SAID = ("published", "listed", "claimed")
"""Others' figures have the digits that they gave them."""
MISSING = "–"


class _Notes:
    """Reasons by number, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, why: str) -> str:
        return str(self.numbers.setdefault(why, len(self.numbers) + 1))


def table(board: Board, names: Sequence[str], *, width: int, color: bool) -> str:
    """Rows with the chosen columns, and below why entries have no value."""
    from rich.markup import escape

    if not board.rows:
        return "No row: nothing was measured, and no published system fits what was asked for."
    shown, empty = split(board, names)
    notes = _Notes()
    columns: list[text.Column] = [("system", "left"), *((header(name), "right") for name in shown)]
    rows = [[escape(label(row)), *(escape(_cell(row.entries[name], notes)) for name in shown)] for row in board.rows]
    parts = [text.fitted(columns, rows, width=width, color=color)]
    below = [f"{MISSING}{number}  {why}" for why, number in notes.numbers.items()]
    below += [said for origin, said in LEGEND.items() if _has(board, shown, origin)]
    below += [f"not shown, as no row has it: {', '.join(named)}: {why}" for why, named in empty.items()]
    below += board.notes
    parts.append("\n".join(text.wrapped(line, width=width) for line in below))
    return "\n\n".join(filter(None, parts))


def markdown(board: Board, names: Sequence[str]) -> str:
    shown, empty = split(board, names)
    notes = _Notes()
    lines = [_md(["system", *(header(name) for name in shown)]), _md(["---", *("---:" for _ in shown)])]
    lines += [_md([label(row), *(_cell(row.entries[name], notes) for name in shown)]) for row in board.rows]
    below = [f"- {MISSING}{number}: {why}" for why, number in notes.numbers.items()]
    below += [f"- {said.replace('*', chr(92) + '*')}" for origin, said in LEGEND.items() if _has(board, shown, origin)]
    below += [f"- not shown, as no row has it: {', '.join(named)}: {why}" for why, named in empty.items()]
    below += [f"- {note}" for note in board.notes]
    return "\n".join([*lines, "", *below])


def as_csv(board: Board, names: Sequence[str]) -> str:
    """Of each column its value, interval, origin, date, and why there is none."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("", "_low", "_high", "_origin", "_date", "_why")
    writer.writerow([*ABOUT, *(f"{name}{part}" for name in names for part in parts)])
    for row in board.rows:
        entries = [row.entries[name] for name in names]
        writer.writerow([*(getattr(row, name) for name in ABOUT), *(each for entry in entries for each in _spread(entry))])
    return out.getvalue()


def scaling(steps: Iterable[Step], *, width: int, color: bool) -> str:
    columns: list[text.Column] = [
        ("system", "left"),
        ("what", "left"),
        ("machines", "right"),
        ("tok/s", "right"),
        ("speedup", "right"),
        ("efficiency", "right"),
    ]
    notes = _Notes()
    rows = [
        [
            step.row,
            "one stream" if step.column == "decode_tok_s" else "all streams",
            str(step.nodes),
            _cell(step.entry, notes),
            f"{step.speedup:.2f}" if step.speedup is not None else f"{MISSING}{notes.mark(step.why)}",
            f"{step.efficiency:.0%}" if step.efficiency is not None else "",
        ]
        for step in steps
    ]
    if not rows:
        return "No system is on the board with several numbers of machines."
    below = [f"{MISSING}{number}  {why}" for why, number in notes.numbers.items()]
    below.append("speedup: by one machine. efficiency: speedup by machine. * published by somebody, not measured here")
    shown = text.fitted(columns, rows, width=width, color=color)
    return "\n\n".join((shown, "\n".join(text.wrapped(line, width=width) for line in below)))


def label(row: Row) -> str:
    return f"{row.id} ×{row.nodes}" if (row.nodes or 1) > 1 else row.id


def value(entry: Entry) -> str:
    """The value as it is read: rounded to its interval, `lo–hi` where the value is a range."""
    if entry.value is None:
        return MISSING
    if isinstance(entry.value, bool):
        return "yes" if entry.value else "no"
    if isinstance(entry.value, str):
        return entry.value
    if entry.origin == "assessed" and entry.low is not None and entry.high is not None:
        return f"{entry.low:.3g}–{entry.high:.3g}"  # all of it is possible, and none of it likelier
    if isinstance(entry.value, int) or entry.origin in AS_SAID:
        return f"{entry.value:,.10g}"
    half = None if entry.low is None or entry.high is None else (entry.high - entry.low) / 2
    return text.number(entry.value, half or None)


def _cell(entry: Entry, notes: _Notes) -> str:
    if entry.value is None:
        return f"{MISSING}{notes.mark(entry.why)}"
    return f"{value(entry)}{MARKS.get(entry.origin, '')}"


def header(name: str) -> str:
    column = COLUMNS[name]
    return f"{column.header} {column.unit}".strip()


def split(board: Board, names: Sequence[str]) -> tuple[list[str], Mapping[str, list[str]]]:
    """Columns in which some row has a value, and the others by why."""
    shown = [name for name in names if any(row.entries[name].value is not None for row in board.rows)]
    empty: dict[str, list[str]] = {}
    for name in names:
        if name not in shown:
            why = " or ".join(dict.fromkeys(row.entries[name].why for row in board.rows))
            empty.setdefault(why, []).append(header(name))
    return shown, empty


def _has(board: Board, names: Sequence[str], origin: str) -> bool:
    return any(
        row.entries[name].value is not None and row.entries[name].origin == origin for row in board.rows for name in names
    )


def _md(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace('*', chr(92) + '*') for cell in cells)} |"


def _spread(entry: Entry) -> Iterator[object]:
    yield from (entry.value, entry.low, entry.high, entry.origin, entry.date, entry.why)
