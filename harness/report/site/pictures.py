"""What is drawn of a board and of a result. Pure: nouns in, SVG out; a picture that has nothing to show says why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from harness.board.scaling import Step
from harness.report import board as text
from harness.report.plots import draw, frame
from harness.report.plots.draw import Mark
from harness.report.plots.scale import Axis
from harness.schema.board import Board, Entry, Row
from harness.schema.result import CellResult, Point, Reading, Result, Summary
from harness.schema.sensors import POWER_SCOPES
from harness.schema.series import PER_DECADE, QUANTITIES, Gaps, Line, Series

SMALLEST, LARGEST = 5.0, 22.0
"""Radius in pixels of what costs nothing, and of what costs `DEAREST`; areas are proportional to dollars."""
DEAREST = 50.0
COSTS = ("usd_mtok_out", "usd_mtok_hardware", "usd_mtok_idle", "usd_mtok_electricity")
"""The first that a row has: what one pays for a million output tokens."""
MOST_LINES = 8
MOST_GAPS = 4
NS_PER_S = 1e9
SILENT = 5.0
"""Usual distances between two points of a timeline from which on there is a gap."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """`svg` is empty where there is nothing to draw, and then there is a `why`."""

    name: str
    title: str
    caption: str = ""
    svg: str = ""
    why: str = ""
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(why, names) of what has no place on it."""


def quality(board: Board, hrefs: Sequence[str] = ()) -> Picture:
    """Elo against speed; size is dollars, colour is sovereignty. `hrefs`: where each row's mark leads."""
    marks = list(_marks(board, hrefs or [""] * len(board.rows)))
    title = "Quality against speed; size is price, colour is sovereignty"
    rest = [
        row for row in board.rows if _number(row.entries["elo"]) is not None and _number(row.entries["decode_tok_s"]) is None
    ]
    unrated = [row for row in board.rows if _number(row.entries["elo"]) is None]
    missing = (("no measured speed", rest), ("not rated", unrated))
    left_out = tuple(
        (why, tuple(dict.fromkeys(text.label(row).partition(" @ ")[0] for row in rows))) for why, rows in missing if rows
    )
    if not marks:
        return Picture(name="quality", title=title, left_out=left_out, why="no row has both a rating and a speed")
    svg = draw.cloud(marks, Axis(label="tokens per second, one stream", log=True), Axis(label="Elo"), title=title)
    return Picture(name="quality", title=title, svg=svg, left_out=left_out)


def _marks(board: Board, hrefs: Sequence[str]) -> Iterator[Mark]:
    for row, href in zip(board.rows, hrefs, strict=True):
        elo, speed = row.entries["elo"], row.entries["decode_tok_s"]
        y, x = _number(elo), _number(speed)
        if x is None or y is None or x <= 0:
            continue
        cost = _cost(row)
        score = row.entries["sovereignty"]
        tone = _middle(score)
        yield Mark(
            x=x,
            y=y,
            x_range=_range(speed),
            y_range=_range(elo),
            radius=radius(_number(cost) if cost else None),
            tone=None if tone is None else min(max(tone / 100, 0.0), 1.0),
            hollow=speed.origin != "measured",
            label=text.label(row),
            detail=f"{text.label(row)}: {_words('Elo', elo)}; {_words('decode', speed)}; "
            f"{_words('price', cost) if cost else 'cost not known'}; {_words('sovereignty', score)}",
            href=href,
        )


def radius(dollars: float | None) -> float:
    """Of a mark; an unknown price is as small as none."""
    share = 0.0 if dollars is None else min(max(dollars, 0.0) / DEAREST, 1.0)
    return SMALLEST + (LARGEST - SMALLEST) * math.sqrt(share)


def _cost(row: Row) -> Entry | None:
    return next((row.entries[name] for name in COSTS if _number(row.entries[name]) is not None), None)


def _words(name: str, entry: Entry) -> str:
    if entry.value is None and entry.low is None:
        return f"{name} not known ({entry.why})"
    interval = f" ({entry.low:.4g} to {entry.high:.4g})" if entry.low is not None and entry.high is not None else ""
    value = "" if entry.value is None else f" {text.value(entry)}"
    return f"{name}{value}{f' {entry.unit}' if entry.unit else ''}{interval}{f', {entry.origin}' if entry.origin else ''}"


def _number(entry: Entry) -> float | None:
    value = entry.value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _middle(entry: Entry) -> float | None:
    if (value := _number(entry)) is not None:
        return value
    return (entry.low + entry.high) / 2 if entry.low is not None and entry.high is not None else None


def _range(found: Entry | Reading) -> tuple[float, float] | None:
    return (found.low, found.high) if found.low is not None and found.high is not None else None


def scaling(steps: Sequence[Step]) -> Picture:
    """Tokens per second by machines, a curve for each system that is known with several numbers of them."""
    title = "Speed by the number of machines"
    systems: dict[str, list[Step]] = {}
    for step in steps:
        systems.setdefault(f"{step.model}, {'one stream' if step.column == 'decode_tok_s' else 'all streams'}", []).append(step)
    curves = [
        frame.Series(
            name=name,
            x=[float(step.nodes) for step in found],
            y=[_number(step.entry) for step in found],
            ranges=[_range(step.entry) for step in found],
        )
        for name, found in list(systems.items())[:MOST_LINES]
    ]
    if not curves:
        return Picture(name="scaling", title=title, why="no system is on the board with several numbers of machines")
    machines = Axis(label="machines", at=tuple({float(step.nodes) for step in steps}))
    svg = draw.curves(curves, machines, Axis(label="tokens per second", zero=True), title=title)
    return Picture(name="scaling", title=title, svg=svg, caption=_left_out(len(systems), len(curves)))


def loads(summary: Summary) -> list[Picture]:
    """Latency and throughput against load, of the cells that a summary has."""
    return [*_against("latency", "Time to the first token against load", summary.points, TTFT, "ms", log=True)]


TTFT = {"p50": "ttft_p50_ms", "p90": "ttft_p90_ms", "p99": "ttft_p99_ms"}
OUTPUT = {"all streams": "output_tok_s", "one stream": "decode_tok_s"}


def of_result(result: Result, series: Series, points: Sequence[Point]) -> list[Picture]:
    """Everything that is drawn of one; `points` are its cells as `store.index` sums them up."""
    joules = {scope: f"{scope}_j_tok" for scope in POWER_SCOPES}
    found = [
        *_against("latency", "Time to the first token against load", points, TTFT, "ms", log=True),
        *_against("throughput", "Tokens per second against load", points, OUTPUT, "tok/s", log=False),
        *_against("energy", "Energy per token against load", points, joules, "J", log=False),
    ]
    start = result.trials[0].t_start_ns if result.trials else result.anchor.mono_ns
    found += [_timeline(name, [line for line in series.lines if line.quantity == name], start) for name in QUANTITIES]
    return [*found, *_pauses(series.gaps, result.cells)]


def _against(
    name: str, title: str, points: Sequence[Point], figures: dict[str, str], unit: str, *, log: bool
) -> Iterator[Picture]:
    """A picture for each prompt and answer length that was measured at several loads."""
    shapes: dict[str, list[Point]] = {}
    for point in points:
        if point.verdict != "invalid":
            shapes.setdefault(_shape(point), []).append(point)
    drawn, why = 0, "it was not measured at several loads of one shape"
    for shape, cells in shapes.items():
        cells.sort(key=_load)
        if len({_load(cell) for cell in cells}) < 2:
            continue
        curves = []
        for label, figure in figures.items():
            readings = [cell.figures.get(figure, Reading()) for cell in cells]
            if any(reading.value is not None for reading in readings):
                ranges = [_range(reading) if reading.value is not None else None for reading in readings]
                xs, ys = [_load(cell) for cell in cells], [reading.value for reading in readings]
                curves.append(frame.Series(name=label, x=xs, y=ys, ranges=ranges))
        if not curves:
            known = next((each for cell in cells for name_ in figures.values() if (each := cell.figures.get(name_))), None)
            why = f"not known of {shape}: {known.reason if known else 'nothing measured it'}"
            continue
        drawn += 1
        x = Axis(
            label="requests per second" if cells[0].concurrency is None else "requests in flight",
            log=_load(cells[0]) > 0,
            at=tuple({_load(cell) for cell in cells}),
        )
        svg = draw.curves(curves, x, Axis(label=unit, log=log, zero=not log), title=f"{title}, {shape}")
        yield Picture(name=name if drawn == 1 else f"{name}-{drawn}", title=f"{title}, {shape}", svg=svg)
    if not drawn:
        yield Picture(name=name, title=title, why=why)


def _shape(point: Point) -> str:
    depth = f"depth {point.depth}, " if point.depth else ""
    turns = f", {point.turns} turns" if point.turns > 1 else ""
    kind = ", at a rate" if point.concurrency is None else ""
    return f"{depth}{point.pp} tokens in, {point.tg} out{turns}{kind}"


def _load(point: Point) -> float:
    return float(point.concurrency if point.concurrency is not None else point.rate or 0.0)


def _timeline(quantity: str, lines: Sequence[Line], start_ns: int) -> Picture:
    title = f"{quantity.capitalize()} during the run"
    if not lines:
        return Picture(name=quantity, title=title, why="no sensor gave it")
    whole = [line for line in lines if line.scope in POWER_SCOPES]
    drawn = whole if quantity == "power" and whole else lines  # rails are parts of these, and there are a dozen
    curves = [_curve(line, start_ns) for line in drawn[:MOST_LINES]]
    svg = draw.curves(curves, Axis(label="seconds from the first trial"), Axis(label=QUANTITIES[quantity]), title=title)
    return Picture(name=quantity, title=title, svg=svg, caption=_left_out(len(lines), len(curves)))


def _curve(line: Line, start_ns: int) -> frame.Series:
    """With a gap where the sensor was silent for several times as long as it usually is."""
    xs: list[float] = []
    ys: list[float | None] = []
    steps = [after - before for before, after in pairwise(line.at_ns)]
    most = SILENT * median(steps) if steps else 0
    for at, value, step in zip(line.at_ns, line.values, [0, *steps], strict=True):
        x = (at - start_ns) / NS_PER_S
        if step > most:
            xs.append(x)
            ys.append(None)
        xs.append(x)
        ys.append(value)
    return frame.Series(name=line.name, x=xs, y=ys, dots=False)


def _pauses(gaps: Sequence[Gaps], cells: Sequence[CellResult]) -> Iterator[Picture]:
    title = "Pauses between events"
    known = {found.cell: found for found in gaps}
    kept = [(cell.cell.words, known[cell.cell.id]) for cell in cells if cell.cell.id in known]
    if not kept:
        yield Picture(name="gaps", title=title, why="no measured request had two events with tokens")
    for number, (words, found) in enumerate(kept[:MOST_GAPS], 1):
        low, high = min(found.bins), max(found.bins)
        edges = [10 ** (bin_ / PER_DECADE) for bin_ in range(low, high + 2)]
        counts = [float(found.bins.get(bin_, 0)) for bin_ in range(low, high + 1)]
        whole = f"{title}, {words}"
        lines = (("p50", found.p50_ms), ("p99", found.p99_ms))
        svg = draw.distribution(edges, counts, Axis(label="milliseconds", log=True), title=whole, lines=lines)
        caption = (
            f"{sum(found.bins.values()):,} pauses; half are below {found.p50_ms:.3g} ms, 99 % below {found.p99_ms:.3g} ms."
        )
        yield Picture(name="gaps" if number == 1 else f"gaps-{number}", title=whole, svg=svg, caption=caption)


def _left_out(count: int, drawn: int) -> str:
    return f"{count - drawn} more are not drawn." if count > drawn else ""
