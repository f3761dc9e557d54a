"""Numbers, cells and tables as text: rounded to what is known, drawn by rich to a given width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Literal

from harness.schema.plan import Image
from harness.schema.result import Figure

FINEST = 1e-4
"""Share of a value that its interval is shown to: no sensor and no clock here tells more."""


def number(value: float, half_width: float | None = None) -> str:
    """Rounded to the interval's first digit (its first two when it begins with 1), or to three digits where there is none."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if half_width:
        leading = math.floor(math.log10(half_width))
        digits = -leading + (1 if half_width / 10**leading < 2 else 0)
    else:
        digits = 2 - math.floor(math.log10(abs(value)))
    digits = min(max(digits, 0), 6)
    shown = f"{value:,.{digits}f}"
    return shown if shown.strip("-0.,") else shown.lstrip("-")


def figure(found: Figure | None) -> str:
    """`104.3 ±0.9` for a mean over runs, the bare value for a percentile (its interval is not symmetric), the reason where there is no
    value, and nothing where there is no figure."""
    if found is None:
        return ""
    if found.value is None:
        return (found.reason or "not known").removesuffix(" requests").removesuffix(" runs")
    if found.low is None or found.high is None or found.low == found.high:
        return number(found.value)
    half = max((found.high - found.low) / 2, abs(found.value) * FINEST)
    return f"{number(found.value, half)} ±{number(half, half)}" if found.basis == "runs" else number(found.value, half)


GAP = 2
"""Blanks that `table` leaves between columns."""

Column = tuple[str, Literal["left", "right"]]
"""Header and justification."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int, color: bool) -> str:
    """Columns in which no row says anything are left out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for index in kept:
        header, justify = columns[index]
        drawn.add_column(header, justify=justify, overflow="fold")
    for row in rows:
        drawn.add_row(*(row[index] for index in kept))
    return render(drawn, width=width, color=color)


def fitted(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    color: bool,
    styles: Mapping[str, str] = {},
    closing: bool = False,
) -> str:
    """One table if it fits; else with headers on two lines, and in as many tables as it takes: a number is never cut. Each begins with
    the first column; with `closing` the first one ends with the last. `styles`: colours of entries that are these words."""
    if sum(_widths(columns, rows)) + GAP * (len(columns) - 1) > width:
        columns = [("\n".join(header.rsplit(" ", 1)), justify) for header, justify in columns]
        rows = [[entry.replace("needs ", "needs\n") for entry in row] for row in rows]
    painted = [[f"[{styles[entry]}]{entry}[/]" if color and entry in styles else entry for entry in row] for row in rows]
    return "\n\n".join(
        table([columns[i] for i in group], [[row[i] for i in group] for row in painted], width=width, color=color)
        for group in _groups(_widths(columns, rows), width, closing)
    )


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    headers = [header for header, _ in columns]
    return [max(len(line) for entry in column for line in entry.split("\n")) for column in zip(headers, *rows, strict=True)]


def _groups(widths: Sequence[int], width: int, closing: bool) -> list[list[int]]:
    last = len(widths) - closing
    groups, used = [[0]], widths[0] + (GAP + widths[-1] if closing else 0)
    for index in range(1, last):
        if used + GAP + widths[index] > width and len(groups[-1]) > 1:
            groups.append([0])
            used = widths[0]
        groups[-1].append(index)
        used += GAP + widths[index]
    if closing:
        groups[0].append(last)
    return groups


def render(drawable: object, *, width: int, color: bool) -> str:
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False, emoji=False
    )
    console.print(drawable, soft_wrap=False)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines())


def wrapped(sentence: str, *, width: int, indent: str = "") -> str:
    """One paragraph, later lines two columns further in. Words are never cut, so that paths can be copied."""
    import textwrap

    return textwrap.fill(
        sentence, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )


def image(found: Image) -> Iterator[str]:
    """What tells it from another one of its name."""
    yield found.id
    yield from found.digests
    if found.created:
        yield f"made {found.created[:10]}"
    yield from (f"{name} {value}" for name, value in found.labels.items())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
