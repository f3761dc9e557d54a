"""The four kinds of picture: a cloud of marks, curves, a timeline, a distribution. Pure: values in, SVG out.

Colours are CSS classes (`style`), so that one picture serves a light page and a dark one. Every mark can be reached by keyboard and says in
words what it is (`<title>`, `aria-label`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import msgspec

from harness.report.plots.scale import Axis, Scale, fit, shown

WIDTH, HEIGHT = 760.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 16.0, 52.0
TICKS_X, TICKS_Y = 8, 6
CHARACTER, LINE = 6.6, 13.0
"""Of a label, in pixels."""
LEGEND = 18.0
"""A line of names above curves, in pixels."""
TONES = 5
"""Classes `t0` to `t4` of a mark, and `tu` where its tone is not known."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on a cloud. Intervals are drawn where there are any."""

    x: float
    y: float
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    radius: float = 6.0
    tone: float | None = None
    """Between 0 and 1; None: not known."""
    hollow: bool = False
    """It was not measured here."""
    label: str
    detail: str
    """All of it in words."""
    href: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points from left to right, with intervals or without. A None is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    ranges: Sequence[tuple[float, float] | None] = ()
    dots: bool = True
    """False: there are too many of them."""


def cloud(marks: Sequence[Mark], x: Axis, y: Axis, *, title: str) -> str:
    across = fit(_ends([(mark.x, mark.x_range) for mark in marks]), x, LEFT, WIDTH - RIGHT)
    up = fit(_ends([(mark.y, mark.y_range) for mark in marks]), y, HEIGHT - BOTTOM, TOP)
    drawn = sorted(marks, key=lambda mark: -mark.radius)  # the small ones on top
    taken: list[tuple[float, float, float, float]] = [_around(across(mark.x), up(mark.y), mark.radius) for mark in marks]
    body = [piece for mark in drawn for piece in _mark(mark, across, up, taken)]
    return _picture([*_axes(across, up, x, y), *body], title)


def curves(series: Sequence[Series], x: Axis, y: Axis, *, title: str) -> str:
    xs = [value for one in series for value in one.x]
    ys = [(value, interval) for one in series for value, interval in _pairs(one) if value is not None]
    across, up = fit(xs, x, LEFT, WIDTH - RIGHT), fit(_ends(ys), y, HEIGHT - BOTTOM, TOP + _legend_height(series))
    body = [piece for number, one in enumerate(series) for piece in _curve(number, one, across, up, x, y)]
    return _picture([*_axes(across, up, x, y), *body, *_legend(series)], title)


def distribution(
    edges: Sequence[float], counts: Sequence[float], x: Axis, *, title: str, lines: Sequence[tuple[str, float]] = ()
) -> str:
    """`edges` has one more than `counts`. `lines`: (name, value) of what is marked on it, such as a percentile."""
    whole = sum(counts) or 1.0
    shares = [count / whole for count in counts]
    across = fit([*edges, *(value for _, value in lines)], x, LEFT, WIDTH - RIGHT)
    y = Axis(label="share of them", zero=True)
    up = fit([0.0, *shares], y, HEIGHT - BOTTOM, TOP + 18)
    base = up(0.0)
    body = []
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        if share:
            words = f"{shown(low)} to {shown(high)}: {share:.1%}"
            left, width = across(low), max(across(high) - across(low) - 0.5, 0.5)
            shape = (
                f'<rect class="bar" x="{left:.1f}" y="{up(share):.1f}" width="{width:.1f}" height="{base - up(share):.1f}"/>'
            )
            body.append(f'<g class="mark" role="img" aria-label="{words}">{_title(words)}{shape}</g>')
    for number, (name, value) in enumerate(lines):
        at, right = across(value), number % 2
        body.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP:.1f}" y2="{base:.1f}"/>')
        body.append(_text(at + (5 if right else -5), TOP + 8, f"{name} {shown(value)}", "start" if right else "end", "name"))
    return _picture([*_axes(across, up, x, y), *body], title)


def _mark(mark: Mark, across: Scale, up: Scale, taken: list[tuple[float, float, float, float]]) -> Iterator[str]:
    x, y = across(mark.x), up(mark.y)
    tone = "tu" if mark.tone is None else f"t{min(TONES - 1, int(mark.tone * TONES))}"
    pieces = []
    if mark.x_range:
        low, high = map(across, mark.x_range)
        pieces.append(f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    if mark.y_range:
        low, high = map(up, mark.y_range)
        pieces.append(f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
    pieces.append(
        f'<circle class="dot {tone}{" hollow" if mark.hollow else ""}" cx="{x:.1f}" cy="{y:.1f}" r="{mark.radius:.1f}"/>'
    )
    if placed := _place(mark, x, y, taken):
        pieces.append(_text(*placed, mark.label, "start", "name"))
    inner = (
        f'<g class="mark" tabindex="0" role="img" aria-label="{escape(mark.detail)}">{_title(mark.detail)}{"".join(pieces)}</g>'
    )
    yield (
        f'<a href="{escape(mark.href)}">{inner.replace(" tabindex=" + chr(34) + "0" + chr(34), "")}</a>' if mark.href else inner
    )


def _place(mark: Mark, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> tuple[float, float] | None:
    """Where the label stands without touching anything; None: nowhere."""
    wide, off = len(mark.label) * CHARACTER, mark.radius + 4
    for left, baseline in ((x + off, y + 4), (x - off - wide, y + 4), (x - wide / 2, y - off), (x - wide / 2, y + off + 9)):
        box = (left, baseline - LINE + 3, left + wide, baseline + 3)
        inside = box[0] >= LEFT and box[2] <= WIDTH - 4 and box[1] >= TOP and box[3] <= HEIGHT - BOTTOM
        own = _around(x, y, mark.radius)
        if inside and not any(_touch(box, other) for other in taken if other != own):
            taken.append(box)
            return left, baseline
    return None


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return (x - radius, y - radius, x + radius, y + radius)


def _touch(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _curve(number: int, one: Series, across: Scale, up: Scale, x: Axis, y: Axis) -> Iterator[str]:
    kind = f"s{number % 8}"
    for run in _runs(one):
        if len(run) > 1 and (band := [(a, i) for a, _, i in run if i]) and len(band) == len(run):
            top = " ".join(f"{across(a):.1f},{up(i[1]):.1f}" for a, i in band)
            low = " ".join(f"{across(a):.1f},{up(i[0]):.1f}" for a, i in reversed(band))
            yield f'<polygon class="band {kind}" points="{top} {low}"/>'
        yield f'<polyline class="line {kind}" points="{" ".join(f"{across(a):.1f},{up(b):.1f}" for a, b, _ in run)}"/>'
        if not one.dots:
            continue
        for a, b, interval in run:
            words = f"{one.name}: {y.label} {shown(b)} at {x.label} {shown(a)}"
            words += f" ({shown(interval[0])} to {shown(interval[1])})" if interval else ""
            bar = ""
            if interval and len(run) == 1:
                ends = f'y1="{up(interval[0]):.1f}" y2="{up(interval[1]):.1f}"'
                bar = f'<line class="interval" x1="{across(a):.1f}" x2="{across(a):.1f}" {ends}/>'
            dot = f'<circle class="point {kind}" cx="{across(a):.1f}" cy="{up(b):.1f}" r="4"/>'
            yield f'<g class="mark" tabindex="0" role="img" aria-label="{escape(words)}">{_title(words)}{bar}{dot}</g>'


def _runs(one: Series) -> Iterator[list[tuple[float, float, tuple[float, float] | None]]]:
    """Stretches without a gap."""
    run: list[tuple[float, float, tuple[float, float] | None]] = []
    for at, (value, interval) in zip(one.x, _pairs(one), strict=True):
        if value is not None:
            run.append((at, value, interval))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _pairs(one: Series) -> Iterator[tuple[float | None, tuple[float, float] | None]]:
    yield from zip(one.y, one.ranges or [None] * len(one.y), strict=True)


def _ends(values: Iterable[tuple[float, tuple[float, float] | None]]) -> list[float]:
    return [each for value, interval in values for each in (value, *(interval or ()))]


def _axes(across: Scale, up: Scale, x: Axis, y: Axis) -> Iterator[str]:
    for value in up.ticks(TICKS_Y):
        at = up(value)
        yield f'<line class="grid" x1="{LEFT:.1f}" x2="{WIDTH - RIGHT:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield _text(LEFT - 8, at + 4, shown(value), "end", "tick")
    for value in across.ticks(TICKS_X):
        at = across(value)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{up.end:.1f}" y2="{HEIGHT - BOTTOM:.1f}"/>'
        yield _text(at, HEIGHT - BOTTOM + 18, shown(value), "middle", "tick")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.label, "middle", "axis")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text class="axis" text-anchor="middle" transform="translate(16 {middle:.1f}) rotate(-90)">{escape(y.label)}</text>'


def _legend(series: Sequence[Series]) -> Iterator[str]:
    for number, (left, row) in enumerate(_places(series)):
        at = TOP - 2 + row * LEGEND
        yield f'<line class="line s{number % 8}" x1="{left:.1f}" x2="{left + 16:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield _text(left + 21, at + 4, series[number].name, "start", "name")


def _legend_height(series: Sequence[Series]) -> float:
    return (_places(series)[-1][1] + 1) * LEGEND if len(series) > 1 else 0.0


def _places(series: Sequence[Series]) -> list[tuple[float, int]]:
    """(left edge, row) of each name; one curve alone needs none."""
    found: list[tuple[float, int]] = []
    left, row = LEFT, 0
    for one in series if len(series) > 1 else ():
        wide = 36 + len(one.name) * CHARACTER
        if found and left + wide > WIDTH:
            left, row = LEFT, row + 1
        found.append((left, row))
        left += wide
    return found


def _text(x: float, y: float, words: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def _picture(pieces: Sequence[str], title: str) -> str:
    said = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="group" aria-label="{escape(title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" {said}>{"".join(pieces)}</svg>'
