"""What `harness compare` does: read two results, or measure two recipes in turns, and print them side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import reproduce as reproducing
from harness.cli import settings
from harness.errors import HarnessError, InvalidResult, UsageError

if TYPE_CHECKING:
    from harness.compare import Pair
    from harness.order import Order
    from harness.schema.contrast import Contrasts
    from harness.schema.recipe import Recipe

KEPT, KEPT_WIDTH = "comparison.txt", 100
"""Beside the last result."""


def compared(
    which: tuple[str, str],
    root: Path,
    ordering: tuple[Callable[[Recipe], Order], Callable[[Recipe], Order]],
    *,
    blocks: int | None,
    unlike: bool,
    dry_run: bool,
    json: bool,
) -> int:
    """Gives the exit code: 0 if anything could be compared."""
    from harness import compare
    from harness.measure.contrast import LEAST_BLOCKS, MOST_BLOCKS
    from harness.reproduce import Measured
    from harness.schema.recipe import Recipe

    one, two = (reproducing.find(name, root) for name in which)
    if isinstance(one, Measured) and isinstance(two, Measured):
        if blocks is not None or dry_run:
            raise UsageError("--blocks and --dry-run are for recipes: two results are only read", "leave them out")
        if not unlike:
            compare.require_alike(one.plan.workload, two.plan.workload)
        return _show(compare.of_results(one, two), json)
    if not (isinstance(one, Recipe) and isinstance(two, Recipe)):
        raise UsageError(
            "one is a recipe and the other a result", "name two recipes, which are measured in turns, or two results"
        )
    number = LEAST_BLOCKS if blocks is None else blocks
    if not 1 <= number <= MOST_BLOCKS:
        raise UsageError(f"--blocks {number}: 1 to {MOST_BLOCKS} are possible", f"leave it out for {LEAST_BLOCKS}")
    orders = ordering[0](one), ordering[1](two)
    plans = [order.plan() for order in orders]
    if not unlike:
        compare.require_alike(plans[0].workload, plans[1].workload)
    turns = "".join(compare.TURNS[block % 2] for block in range(number))
    seconds = sum(plans["AB".index(letter)].estimate.seconds for letter in turns)
    said = f"{len(turns)} runs in turns, {turns}: about {_duration(seconds)} in all"
    if dry_run:
        print(said)
        return 0
    print(said, file=sys.stderr)
    done: list[Path] = []

    def measure(order: Order) -> Path:
        if not json:
            print(f"Run {len(done) + 1} of {len(turns)}: {turns[len(done)]}", file=sys.stderr, flush=True)
        done.append(reproducing.measured(order, root, quiet=json))
        return done[-1]

    found: list[Pair] = []
    ids: list[str] = []
    try:
        for pair, names in compare.in_turns(orders, number, measure):
            found.append(pair)
            ids += names
    except (KeyboardInterrupt, SystemExit, HarnessError):
        if found:
            _show(compare.of_blocks(found, ids, number), json, keep=done[-1])
        raise
    return _show(compare.of_blocks(found, ids, number), json, keep=done[-1])


def _duration(seconds: float) -> str:
    from harness.report import text

    return text.duration(seconds)


def _show(found: Contrasts, json: bool, *, keep: Path | None = None) -> int:
    import msgspec

    from harness.report import compare as report
    from harness.store import folder

    if keep is not None:
        folder.keep_text(keep, KEPT, report.render(found, width=KEPT_WIDTH, color=False))
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print(report.render(found, width=settings.width(), color=sys.stdout.isatty()))
    return 0 if found.contrasts else InvalidResult.exit_code
