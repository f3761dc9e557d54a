"""The table of `harness watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report import text
from harness.schema.doctor import Glance

if TYPE_CHECKING:
    from rich.console import RenderableType


def table(glance: Glance) -> RenderableType:
    """Readings, and below them what cannot be read."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in ("source", "scope"):
        drawn.add_column(header, no_wrap=True)
    drawn.add_column("reading", overflow="fold")  # where it is narrow this gives way: neither a name nor a number is cut
    for header in ("value", "age s"):
        drawn.add_column(header, justify="right", no_wrap=True)
    for shown in glance.readings:
        drawn.add_row(shown.source, shown.scope, shown.name, amount(shown.value, shown.unit), f"{shown.age_s:.1f}")
    missing = [Text(f"{absent.source} {absent.scope}: {absent.code}: {absent.text}", style="dim") for absent in glance.absent]
    return Group(drawn, *missing)


def amount(value: float, unit: str) -> str:
    """Whole numbers in full: clocks, counts. Bytes in GiB."""
    if unit == "bytes":
        return f"{value / 2**30:,.2f} GiB"
    return f"{value:,.0f} {unit}" if value == round(value) else f"{text.number(value)} {unit}"
