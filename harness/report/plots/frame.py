"""What stands around each picture: its size, axes, grid, names of curves, and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from harness.report.plots.scale import Axis, Scale, shown

WIDTH, HEIGHT = 760.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 16.0, 52.0
TICKS_X, TICKS_Y = 8, 6
CHARACTER, LINE = 6.6, 13.0
"""Of a label, in pixels."""
LEGEND = 18.0
"""A line of names above curves, in pixels."""
BARE = 26.0
"""Below a picture whose `x` has no label: it ends with the ticks."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points from left to right, with intervals or without. A None is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    ranges: Sequence[tuple[float, float] | None] = ()
    dots: bool = True
    """False: there are too many of them."""
    hue: int | None = None
    """Which of the colours, where others have theirs in another picture; None: that of its place."""
    dashed: bool = False


def axes(across: Scale, up: Scale, x: Axis, y: Axis) -> Iterator[str]:
    for value in up.ticks(TICKS_Y):
        at = up(value)
        yield f'<line class="grid" x1="{LEFT:.1f}" x2="{WIDTH - RIGHT:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield text(LEFT - 8, at + 4, shown(value), "end", "tick")
    yield from grid_across(across, up, x)
    middle = (TOP + up.start) / 2
    yield f'<text class="axis" text-anchor="middle" transform="translate(16 {middle:.1f}) rotate(-90)">{escape(y.label)}</text>'


def grid_across(across: Scale, up: Scale, x: Axis) -> Iterator[str]:
    """The grid from left to right, with what stands below it."""
    for value in across.ticks(TICKS_X):
        at = across(value)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{up.end:.1f}" y2="{up.start:.1f}"/>'
        words = across.tick(value)
        fits = at + len(words) * CHARACTER / 2 <= WIDTH
        yield text(at if fits else WIDTH, up.start + 18, words, "middle" if fits else "end", "tick")
    if x.label:
        yield text((LEFT + WIDTH - RIGHT) / 2, up.start + BOTTOM - 12, x.label, "middle", "axis")


def legend(series: Sequence[Series]) -> Iterator[str]:
    for number, (left, row) in enumerate(_places(series)):
        at = TOP - 2 + row * LEGEND
        yield f'<line class="line {kind_of(number, series[number])}" x1="{left:.1f}" x2="{left + 16:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield text(left + 21, at + 4, short(series[number].name, WIDTH - left - 21), "start", "name")


def legend_height(series: Sequence[Series]) -> float:
    return (_places(series)[-1][1] + 1) * LEGEND if series else 0.0


def _places(series: Sequence[Series]) -> list[tuple[float, int]]:
    """(left edge, row) of each name."""
    found: list[tuple[float, int]] = []
    left, row = LEFT, 0
    for one in series:
        wide = 38 + len(one.name) * CHARACTER
        if found and left + wide > WIDTH:
            left, row = LEFT, row + 1
        found.append((left, row))
        left += wide
    return found


def short(words: str, wide: float) -> str:
    """As much as there is room for, in pixels."""
    most = int(wide / CHARACTER)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def kind_of(number: int, one: Series) -> str:
    """Classes of a curve: its colour, and whether it is dashed."""
    return f"s{(number if one.hue is None else one.hue) % 8}{' dashed' if one.dashed else ''}"


def text(x: float, y: float, words: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def title_of(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def picture(pieces: Sequence[str], title: str, height: float = HEIGHT) -> str:
    said = f'viewBox="0 0 {WIDTH:g} {height:g}" role="group" aria-label="{escape(title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" {said}>{"".join(pieces)}</svg>'


def size(picture: str) -> tuple[float, float]:
    """Width and height in pixels."""
    wide, high = picture.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    return float(wide), float(high)
