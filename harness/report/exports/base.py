"""What the exports share: the cells that a format can tell, with their requests worked out, and names that tell nobody's host or home."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

import msgspec
import numpy as np

from harness.errors import InvalidResult, one_line
from harness.measure.latency import excluded, timing
from harness.measure.runs import Request, Run
from harness.schema.plan import Image, Plan
from harness.schema.request import Record
from harness.schema.result import CellResult, Result
from harness.schema.workload import Cell

Records = Mapping[int, Sequence[Record]]
"""By trial."""
REGISTRIES = ("docker.io", "ghcr.io", "nvcr.io", "quay.io")
"""Public ones: the name of another is a host's."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    left_out: tuple[str, ...] = ()
    """What the format cannot tell, a sentence each."""


class Told(msgspec.Struct, frozen=True):
    found: CellResult
    runs: tuple[Run, ...]
    """With events and gaps, unlike those of `measure`."""


def told(result: Result, records: Records, cannot: Callable[[Cell], str | None]) -> tuple[list[Told], list[str]]:
    """(cells, what is left out and why). A cell that is not valid is none: other formats have no word for it. `cannot` says why the format
    has no place for one. Raises `InvalidResult` where no cell is left."""
    worst = next((finding for finding in result.findings if finding.severity == "invalid"), None)
    kept, left_out = [], []
    for found in result.cells:
        why = worst.code if worst else cannot(found.cell) or (f"it is {found.verdict}" if found.verdict != "valid" else None)
        if why is not None:
            left_out.append(f"{found.cell.words}: {why}")
            continue
        trials = [trial for trial in result.trials if trial.cell == found.cell.id][: found.trials]
        runs = tuple(Run(trial, tuple(map(_request, _in_order(records.get(trial.index, ()))))) for trial in trials)
        if any(run.valid for run in runs):
            kept.append(Told(found, runs))
        else:
            left_out.append(f"{found.cell.words}: its raw data are missing")
    if not kept:
        raise InvalidResult(
            f"{result.id}: no cell of this result can be told in this format: {'; '.join(left_out) or 'it has none'}",
            "--format markdown and --format prometheus tell all cells, with their verdicts",
        )
    return kept, left_out


def single_requests(cell: Cell) -> str | None:
    """Why a format that knows only single requests of one shape has no place for it."""
    if cell.turns > 1:
        return "it has conversations"
    if cell.mix or cell.arrivals == "trace":
        return "its requests are of several shapes"
    return None


def public(name: str) -> str:
    """A model's name; of a path or an address, its last part."""
    return one_line(PurePath(name).name if name.startswith(("/", "~", ".")) or name.count("/") > 1 else name)


def recipe(result: Result, plan: Plan) -> str:
    """Its name; empty for a server without one, whose name is made of its address."""
    return one_line(result.recipe_name) if plan.recipe_path.endswith((".yaml", ".yml")) else ""


def image(found: Image) -> str:
    """Its name, without a registry of somebody's own, and its digest."""
    registry, _, rest = found.name.partition("/")
    own = rest and ("." in registry or ":" in registry or registry == "localhost") and registry not in REGISTRIES
    return f"{one_line(rest if own else found.name)} ({found.id})"


def mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation of the population, as numpy has it unless asked otherwise."""
    return float(np.std(values)) if values else None


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.t_send_ns, record.index))


def _request(record: Record) -> Request:
    times = timing(record)
    return Request(record, times, excluded(record, times))
