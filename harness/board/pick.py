"""Which rows and columns somebody wants to see, and in which order."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from harness.board.columns import COLUMNS, LOWER, NARROW
from harness.errors import UsageError, did_you_mean
from harness.schema.board import Board, Row

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
ABOUT = ("id", "model", "engine", "quantization", "nodes", "hardware", "provider")
"""What may be asked of a row besides its columns."""


def columns(text: str | None) -> tuple[str, ...]:
    """`speed,elo`: names of columns and of groups of them; `all` is all of them. Raises `UsageError`."""
    if text is None:
        return NARROW
    found: list[str] = []
    for word in text.split(","):
        group = tuple(name for name, column in COLUMNS.items() if word in (column.group, "all"))
        found += group or (_known(word, "--columns", COLUMNS),)
    return tuple(dict.fromkeys(found))


def only(board: Board, names: Sequence[str]) -> Board:
    """With these columns and no others."""
    rows = (msgspec.structs.replace(row, entries={name: row.entries[name] for name in names}) for row in board.rows)
    return msgspec.structs.replace(board, rows=tuple(rows))


def sort(board: Board, by: str | None) -> Board:
    """The best first by a column, the worst with a minus; rows without a value last. Raises `UsageError`."""
    if by is None:
        return board
    name, worst_first = by.removeprefix("-"), by.startswith("-")
    _known(name, "--sort", COLUMNS)
    number = [row for row in board.rows if isinstance(row.entries[name].value, int | float)]
    words = [row for row in board.rows if isinstance(row.entries[name].value, str)]
    number.sort(key=lambda row: float(row.entries[name].value or 0), reverse=(COLUMNS[name].better != LOWER) is not worst_first)
    words.sort(key=lambda row: str(row.entries[name].value), reverse=worst_first)
    rest = [row for row in board.rows if row.entries[name].value is None]
    return msgspec.structs.replace(board, rows=(*number, *words, *rest))


def keep(board: Board, conditions: Sequence[str]) -> Board:
    """Rows of which every condition is known to hold: `decode_tok_s>50`, `trains_on_data=no`, `model~mistral`. Raises `UsageError`."""
    tests = [_condition(text) for text in conditions]
    return msgspec.structs.replace(board, rows=tuple(row for row in board.rows if all(test(row) for test in tests)))


def _condition(text: str) -> Callable[[Row], bool]:
    match = re.fullmatch(r"\s*(\w+)\s*(>=|<=|!=|>|<|=|~)\s*(.+?)\s*", text)
    if match is None:
        raise UsageError(
            f"--where {text}: not a condition", "write it like --where 'decode_tok_s>50' or --where trains_on_data=no"
        )
    name, sign, wanted = match.groups()
    _known(name, "--where", (*COLUMNS, *ABOUT))
    number = _number(wanted)
    if sign in (">", "<", ">=", "<=") and number is None:
        raise UsageError(
            f"--where {text}: '{wanted}' is not a number", f"compare words with {name}={wanted}, or {name}~{wanted}"
        )

    def holds(row: Row) -> bool:
        value = getattr(row, name) if name in ABOUT else row.entries[name].value
        if value is None:
            return False
        if sign == "~":
            return wanted.lower() in str(value).lower()
        if number is not None and isinstance(value, int | float):
            return OPERATORS[sign](value, number)
        return OPERATORS[sign](str(value).lower(), wanted.lower())

    return holds


def _known(name: str, option: str, known: Sequence[str] | dict[str, Any]) -> str:
    if name in known:
        return name
    near = did_you_mean(name, list(known))
    raise UsageError(
        f"{option}: there is no column '{name}'", f"did you mean '{near}'?" if near else "docs/board.md names them"
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
