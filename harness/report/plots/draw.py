"""The kinds of picture: a cloud of marks, curves, a timeline, a distribution, lanes of time. Pure: values in, SVG out.

Colours are CSS classes (`style`), so that one picture serves a light page and a dark one. Every mark can be reached by keyboard and says in
words what it is (`<title>`, `aria-label`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import msgspec

from harness.report.plots import frame
from harness.report.plots.frame import BARE, BOTTOM, CHARACTER, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, Series
from harness.report.plots.scale import Axis, Scale, fit, shown

LANE, BAR, LANE_GAP = 48.0, 26.0, 6.0
"""Height of a lane with its name, of its bars with the space below them, and of that space."""
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


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a lane."""

    start: float
    end: float
    share: float
    """That went well, between 0 and 1."""
    limited: bool = False
    """With a triangle above."""
    failed: bool = False
    """With a cross above."""
    detail: str
    """All of it in words."""


def cloud(marks: Sequence[Mark], x: Axis, y: Axis, *, title: str) -> str:
    across = fit(_ends([(mark.x, mark.x_range) for mark in marks]), x, LEFT, WIDTH - RIGHT)
    up = fit(_ends([(mark.y, mark.y_range) for mark in marks]), y, HEIGHT - BOTTOM, TOP)
    drawn = sorted(marks, key=lambda mark: -mark.radius)  # the small ones on top
    taken: list[tuple[float, float, float, float]] = [_around(across(mark.x), up(mark.y), mark.radius) for mark in marks]
    body = [piece for mark in drawn for piece in _mark(mark, across, up, taken)]
    return frame.picture([*frame.axes(across, up, x, y), *body], title)


def curves(series: Sequence[Series], x: Axis, y: Axis, *, title: str, height: float = HEIGHT) -> str:
    xs = [value for one in series for value in one.x]
    ys = [(value, interval) for one in series for value, interval in _pairs(one) if value is not None]
    bottom = height - (BOTTOM if x.label else BARE)
    across, up = fit(xs, x, LEFT, WIDTH - RIGHT), fit(_ends(ys), y, bottom, TOP + frame.legend_height(series))
    body = [piece for number, one in enumerate(series) for piece in _curve(frame.kind_of(number, one), one, across, up, x, y)]
    return frame.picture([*frame.axes(across, up, x, y), *body, *frame.legend(series)], title, height)


def lanes(rows: Sequence[tuple[str, Sequence[Bar]]], x: Axis, *, title: str) -> str:
    """A lane for each name, filled from below as far as it went well; empty where there is no bar."""
    across = fit([end for _, bars in rows for bar in bars for end in (bar.start, bar.end)], x, LEFT, WIDTH - RIGHT)
    base = TOP + len(rows) * LANE
    body = []
    for number, (name, bars) in enumerate(rows):
        top = TOP + number * LANE + LANE - BAR
        body.append(frame.text(LEFT, top - 12, frame.short(name, WIDTH - LEFT - RIGHT), "start", "name"))
        body.append(
            f'<rect class="lane" x="{LEFT:.1f}" y="{top:.1f}" width="{WIDTH - RIGHT - LEFT:.1f}" height="{BAR - LANE_GAP:.1f}"/>'
        )
        body += [_bar(bar, across, top, BAR - LANE_GAP) for bar in bars]
    up = Scale(0.0, 1.0, base, TOP, log=False)
    grid = frame.grid_across(across, up, x)
    return frame.picture([*grid, *body], title, base + BARE)


def stack(pictures: Sequence[str], *, below: str, title: str) -> str:
    """One above the other, as one; `below` all of them stands what their time is."""
    pieces, top = [], 0.0
    for picture in pictures:
        head, body = picture.removesuffix("</svg>").split(">", 1)
        label = head[head.index("aria-label=") :]
        pieces.append(f'<g role="group" {label} transform="translate(0 {top:g})">{body}</g>')
        top += frame.size(picture)[1]
    pieces.append(frame.text((LEFT + WIDTH - RIGHT) / 2, top + 12, below, "middle", "axis"))
    return frame.picture(pieces, title, top + BARE)


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
            body.append(f'<g class="mark" role="img" aria-label="{words}">{frame.title_of(words)}{shape}</g>')
    for number, (name, value) in enumerate(lines):
        at, right = across(value), number % 2
        body.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP:.1f}" y2="{base:.1f}"/>')
        body.append(
            frame.text(at + (5 if right else -5), TOP + 8, f"{name} {shown(value)}", "start" if right else "end", "name")
        )
    return frame.picture([*frame.axes(across, up, x, y), *body], title)


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
        pieces.append(frame.text(*placed, mark.label, "start", "name"))
    inner = f'<g class="mark" tabindex="0" role="img" aria-label="{escape(mark.detail)}">{frame.title_of(mark.detail)}{"".join(pieces)}</g>'
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


def _bar(bar: Bar, across: Scale, top: float, height: float) -> str:
    left, right = across(bar.start), across(bar.end)
    wide, well = max(right - left, 0.5), height * min(max(bar.share, 0.0), 1.0)
    pieces = []
    if well < height:
        pieces.append(f'<rect class="lost" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{height - well:.1f}"/>')
    if well:
        pieces.append(
            f'<rect class="well" x="{left:.1f}" y="{top + height - well:.1f}" width="{wide:.1f}" height="{well:.1f}"/>'
        )
    middle = (left + right) / 2
    if bar.limited:
        pieces.append(f'<path class="limit" d="M{middle:.1f} {top - 9:.1f}l4 7h-8z"/>')
    elif bar.failed:
        pieces.append(f'<path class="fault" d="M{middle - 3:.1f} {top - 8:.1f}l6 6m0 -6l-6 6"/>')
    reach = ' tabindex="0"' if bar.limited or bar.failed else ""  # the rest is said in the table: hundreds of stops help nobody
    return (
        f'<g class="mark"{reach} role="img" aria-label="{escape(bar.detail)}">{frame.title_of(bar.detail)}{"".join(pieces)}</g>'
    )


def _curve(kind: str, one: Series, across: Scale, up: Scale, x: Axis, y: Axis) -> Iterator[str]:
    for run in _runs(one):
        if len(run) > 1 and (band := [(a, i) for a, _, i in run if i]) and len(band) == len(run):
            top = " ".join(f"{across(a):.1f},{up(i[1]):.1f}" for a, i in band)
            low = " ".join(f"{across(a):.1f},{up(i[0]):.1f}" for a, i in reversed(band))
            yield f'<polygon class="band {kind}" points="{top} {low}"/>'
        yield f'<polyline class="line {kind}" points="{" ".join(f"{across(a):.1f},{up(b):.1f}" for a, b, _ in run)}"/>'
        if not one.dots and len(run) > 1:  # one value alone would not be seen
            continue
        for a, b, interval in run:
            words = f"{one.name}: {y.label} {shown(b)} at {x.said(a) if x.time else f'{x.label} {shown(a)}'}"
            words += f" ({shown(interval[0])} to {shown(interval[1])})" if interval else ""
            bar = ""
            if interval and len(run) == 1:
                ends = f'y1="{up(interval[0]):.1f}" y2="{up(interval[1]):.1f}"'
                bar = f'<line class="interval" x1="{across(a):.1f}" x2="{across(a):.1f}" {ends}/>'
            dot = f'<circle class="point {kind}" cx="{across(a):.1f}" cy="{up(b):.1f}" r="4"/>'
            yield f'<g class="mark" tabindex="0" role="img" aria-label="{escape(words)}">{frame.title_of(words)}{bar}{dot}</g>'


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
