"""Two systems side by side: of two stored results what they say, of two recipes what they do when they are measured in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness import reproduce
from harness.errors import UsageError
from harness.measure import contrast
from harness.measure.contrast import LEAST_BLOCKS
from harness.measure.differences import differences, unlike
from harness.order import Order
from harness.reproduce import MAIN, Measured
from harness.schema.contrast import Contrast, Contrasts
from harness.schema.result import CellResult
from harness.schema.workload import Workload

TURNS = ("ABBA", "BAAB")
"""The order within a block, and within the next: what drifts steadily favours neither."""
ALL_THE_SAME = "measure both alike, or compare them all the same: --unlike"

Pair = tuple[list[Measured], list[Measured]]
"""What a block gave: of the first, and of the second."""


def in_turns(
    orders: tuple[Order, Order], blocks: int, measure: Callable[[Order], Path]
) -> Iterator[tuple[Pair, tuple[str, ...]]]:
    """Each block when it is whole, and its results' ids in the order in which they were measured."""
    for block in range(blocks):
        pair: Pair = ([], [])
        ids = []
        for letter in TURNS[block % 2]:
            which = "AB".index(letter)
            now = reproduce.read(measure(orders[which]))
            pair[which].append(now)
            ids.append(now.result.id)
        yield pair, tuple(ids)


def require_alike(one: Workload, two: Workload) -> None:
    """Raises `UsageError` where two workloads ask for different things."""
    cells = {cell.id: cell for cell in two.cells}
    for cell in one.cells:
        if cell.id in cells and (said := unlike((cell, one), (cells[cell.id], two))) is not None:
            raise UsageError(f"the two are not measured under the same conditions, {cell.id}: {said}", ALL_THE_SAME)
    if not any(cell.id in cells for cell in one.cells):
        ids = [", ".join(cell.id for cell in work.cells) for work in (one, two)]
        raise UsageError(f"the two have no cell in common: {ids[0]}, and {ids[1]}", "give both the same profile or grid")


def of_results(one: Measured, two: Measured) -> Contrasts:
    contrasts: list[Contrast] = []
    left_out = []
    for cell in one.result.cells:
        other = _cell(two, cell.cell.id)
        if (why := _unsound((one, cell), (two, other))) is not None:
            left_out.append(f"{cell.cell.id}: {why}")
            continue
        assert other is not None
        claims = [claim for claim in reproduce.claims(one.result, cell) if claim.compared in other.figures]
        made = [contrast.of_results(claim, other.figures[claim.compared]) for claim in claims]
        contrasts += [each for each in made if each is not None]
    dates = [each.result.anchor.wall[:16].replace("T", " ") for each in (one, two)]
    return _made(
        (one, two),
        contrasts,
        left_out,
        notes=(
            f"two results were read, of {dates[0]} and {dates[1]}: whatever else was not the same at these times, such as the heat of the "
            "machine, is in the ratio too; two recipes are measured in turns (docs/reproduce.md)",
        ),
        read=(one, two),
        ids=(one.result.id, two.result.id),
    )


def of_blocks(blocks: Sequence[Pair], ids: Sequence[str], asked: int) -> Contrasts:
    """`asked`: for how many blocks; there are fewer where something ended it."""
    first = blocks[0][0][0], blocks[0][1][0]
    contrasts: list[Contrast] = []
    left_out = []
    for cell in first[0].result.cells:
        name = cell.cell.id
        sides = [(each, _cell(each, name)) for block in blocks for side in block for each in side]
        if (why := _unsound(*sides)) is not None:
            left_out.append(f"{name}: {why}")
            continue
        for metric in MAIN:
            values = [tuple([_value(each, name, metric) for each in side] for side in block) for block in blocks]
            known = [(_known(one), _known(two)) for one, two in values]
            lengths = {len(side) for pair in known for side in pair}
            if lengths == {2}:
                contrasts.append(contrast.of_blocks(metric, name, known))
            elif lengths != {0}:
                left_out.append(f"{name}, {metric}: some of the runs do not have it")
    notes = [f"it was ended after {len(blocks)} of {asked} blocks"] if len(blocks) < asked else []
    if len(blocks) < LEAST_BLOCKS:
        are = "blocks are" if len(blocks) > 1 else "block is"
        notes.append(f"{len(blocks)} {are} too few to tell the two apart: it takes {LEAST_BLOCKS}")
    every = [each for block in blocks for side in block for each in side]
    return _made(first, contrasts, left_out, notes=tuple(notes), read=every, ids=tuple(ids), blocks=len(blocks))


def _made(
    pair: tuple[Measured, Measured],
    contrasts: Sequence[Contrast],
    left_out: Sequence[str],
    *,
    notes: tuple[str, ...],
    read: Sequence[Measured],
    ids: tuple[str, ...],
    blocks: int = 0,
) -> Contrasts:
    """`read`: all that the contrasts are of."""
    one, two = pair
    had = {cell.cell.id for cell in one.result.cells}
    only = [cell.cell.id for cell in two.result.cells if cell.cell.id not in had]
    cells = {cell.id: cell for cell in two.plan.workload.cells}
    said = {
        cell.id: unlike((cell, one.plan.workload), (cells[cell.id], two.plan.workload))
        for cell in one.plan.workload.cells
        if cell.id in cells
    }
    notes += tuple(f"{cell}: the conditions are not the same: {what}" for cell, what in said.items() if what)
    names = [each.plan.recipe_name if blocks else f"{each.plan.recipe_name} {each.result.id}" for each in pair]
    return Contrasts(
        one=names[0],
        two=names[1],
        blocks=blocks,
        contrasts=tuple(contrasts),
        left_out=(*left_out, *(f"{name}: result {one.result.id} has no such cell" for name in only)),
        differences=differences((one.result, one.plan), (two.result, two.plan)),
        notes=(
            *notes,
            *(f"{each.plan.recipe_name} {each.result.id}: {said}" for each in read for said in reproduce.state(each.result)),
        ),
        results=ids,
    )


def _unsound(*sides: tuple[Measured, CellResult | None]) -> str | None:
    """Why a cell tells nothing."""
    for each, cell in sides:
        if (why := reproduce.spoilt(each.result)) is not None:
            return why
        if cell is None:
            return f"result {each.result.id} has no such cell"
        if cell.verdict != "valid":
            return f"it is {cell.verdict} in result {each.result.id}"
    return None


def _cell(of: Measured, name: str) -> CellResult | None:
    return next((cell for cell in of.result.cells if cell.cell.id == name), None)


def _value(of: Measured, cell: str, metric: str) -> float | None:
    found = _cell(of, cell)
    figure = found.figures.get(metric) if found else None
    return figure.value if figure else None


def _known(values: Sequence[float | None]) -> list[float]:
    """Those that a ratio can be made of."""
    return [value for value in values if value is not None and value > 0]
