"""What is drawn of days of visits to servers: one time axis, and each quantity of all servers above it. Pure: visits in, SVG out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.measure import observation
from harness.measure.observation import Part
from harness.measure.stats import Estimate
from harness.report import observation as words
from harness.report.plots import draw
from harness.report.plots.frame import Series
from harness.report.plots.scale import Axis
from harness.report.site.pictures import Picture
from harness.schema.observation import Visit

MOST_SERVERS = 8
"""As many as there are colours."""
MOST_BARS, MOST_POINTS, MOST_DOTS = 168, 700, 40
HEIGHT = 210.0
"""Of curves, in pixels."""


class _Quantity(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    field: str
    label: str
    percents: tuple[int, ...]
    log: bool = False


QUANTITIES = (
    _Quantity(name="ttft", title="Time to the first token", field="ttft_ms", label="TTFT, ms", percents=(50, 99), log=True),
    _Quantity(name="call", title="Whole call", field="e2e_ms", label="whole call, ms", percents=(50, 99), log=True),
    _Quantity(name="decode", title="Decode", field="decode_tok_s", label="decode, tok/s", percents=(50,)),
)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What all pictures begin with."""

    servers: dict[str, list[Visit]]
    at: list[float]
    axis: Axis

    def parts(self, size: int) -> Iterator[tuple[int, str, list[Part]]]:
        """(colour, name, parts) of each server that is drawn as a curve."""
        for hue, (name, own) in enumerate(list(self.servers.items())[:MOST_SERVERS]):
            yield hue, name, observation.parts(own, self.at, size)


def pictures(visits: Sequence[Visit]) -> list[Picture]:
    """All of them as one, and each alone."""
    title = "Availability, latency, decode and cost on one time axis"
    if not visits:
        return [Picture(name="days", title=title, why="nothing was observed yet")]
    at = observation.instants(visits)
    found = _Seen(servers=observation.by_server(visits), at=at, axis=Axis(label="", time=True, ends=(min(at), max(at))))
    below = f"UTC, {words.minute(at[0])} to {words.minute(at[-1])}"
    each = [_availability(found), *(_latency(found, quantity) for quantity in QUANTITIES), _cost(found)]
    drawn = [picture for picture in each if picture.svg]
    whole = Picture(
        name="days",
        title=title,
        svg=draw.stack([picture.svg for picture in drawn], below=below, title=title),
    )
    alone = [
        msgspec.structs.replace(one, svg=draw.stack([one.svg], below=below, title=one.title) if one.svg else "") for one in each
    ]
    return [whole, *alone]


def _availability(found: _Seen) -> Picture:
    title = "Availability"
    size = observation.equal_parts(found.at, MOST_BARS)
    rows = [
        (name, [bar for part in observation.parts(own, found.at, size) if part.visits for bar in [_bar(name, part)]])
        for name, own in found.servers.items()
    ]
    caption = (
        "Availability: a bar is full as far as requests were answered, and the rest has the other colour; triangle: rate limited "
        "(HTTP 429); cross: another error; empty: nobody looked."
    )
    return Picture(name="availability", title=title, svg=draw.lanes(rows, found.axis, title=title), caption=caption)


def _bar(name: str, part: Part) -> draw.Bar:
    """It is narrower by what was missed."""
    wrong = [visit for visit in part.visits if visit.error or visit.errors]
    limited = any(observation.limited(visit) for visit in wrong)
    return draw.Bar(
        start=part.start,
        end=part.start + (part.end - part.start) * (1 - part.missed / part.rounds),
        share=part.share,
        limited=limited,
        failed=bool(wrong) and not limited,
        detail=f"{name}, {words.minute(part.start)}: {words.happened(part)}",
    )


def _latency(found: _Seen, quantity: _Quantity) -> Picture:
    """A percentile has a point wherever there are enough requests for it; the rarer it is, the more visits that takes."""
    curves, notes = [], []
    for percent in quantity.percents:
        size = max(
            observation.rounds_needed([visit for own in found.servers.values() for visit in own], percent),
            observation.equal_parts(found.at, MOST_POINTS),
        )
        notes.append(f"a point of p{percent} is of {size} visit{'s' if size > 1 else ''}")
        for hue, name, parts in found.parts(size):
            values = [part.percentile(quantity.field, percent) for part in parts]
            if any(one.value is not None for one in values):
                curves.append(_curve(f"{name} p{percent}", parts, values, hue, dashed=percent > 50))
            else:
                notes.append(f"p{percent} of {name} is nowhere known: {max(values, key=lambda one: one.n).reason}")
    if not curves:
        return Picture(name=quantity.name, title=quantity.title, why="; ".join(notes[1:]))
    axis = Axis(label=quantity.label, log=quantity.log, zero=not quantity.log)
    svg = draw.curves(curves, found.axis, axis, title=quantity.title, height=HEIGHT)
    return Picture(name=quantity.name, title=quantity.title, svg=svg, caption=f"{quantity.title}: {'; '.join(notes)}.")


def _curve(name: str, parts: Sequence[Part], values: Sequence[Estimate], hue: int, *, dashed: bool) -> Series:
    """A line only through parts in which no visit was missed or failed; the value of another stands alone."""
    points: list[tuple[float, float | None, tuple[float, float] | None]] = []
    for part, one in zip(parts, values, strict=True):
        middle = (part.start + part.end) / 2
        gap = [] if part.whole else [(middle, None, None)]
        interval = None if one.low is None or one.high is None else (one.low, one.high)
        points += [*gap, (middle, one.value, interval), *gap]
    xs, ys, intervals = zip(*points, strict=True)
    return Series(name=name, x=xs, y=ys, ranges=intervals, dots=len(parts) <= MOST_DOTS, hue=hue, dashed=dashed)


def _cost(found: _Seen) -> Picture:
    title = "Cost so far"
    curves = []
    for hue, name, parts in found.parts(observation.equal_parts(found.at, MOST_POINTS)):
        if all(visit.usd is None for part in parts for visit in part.visits):
            continue
        spent, ys = 0.0, []
        for part in parts:
            spent += sum(visit.usd or 0.0 for visit in part.visits)
            ys.append(spent if part.visits else None)
        xs = [part.end for part in parts]
        curves.append(Series(name=name, x=xs, y=ys, dots=len(parts) <= MOST_DOTS, hue=hue))
    if not curves:
        return Picture(name="cost", title=title, why="nothing was charged, as far as is known")
    svg = draw.curves(curves, found.axis, Axis(label="$ so far", zero=True), title=title, height=HEIGHT)
    caption = (
        "Cost so far: by usage and price; a visit that failed counts as the most that it can have cost. A server of one's own "
        "charges nothing; its power is not in this."
    )
    return Picture(name="cost", title=title, svg=svg, caption=caption)
