"""Recomputes every figure of a stored result from its raw records and compares: a result must agree with its own raw data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from harness import __version__
from harness.errors import VerifyError
from harness.measure import goodput, metrics, power, sanity, speculation
from harness.measure.given import Given
from harness.schema.result import CellResult
from harness.store import folder
from harness.store.folder import Stored

TOLERANCE = 1e-9  # relative: the same arithmetic on another machine may differ in the last bits


def verify(path: Path) -> str:
    """One sentence that says what was checked. Raises `VerifyError` naming the first differences, `StoreError` for unreadable files."""
    stored = folder.read(path)
    differences = list(_differences(stored))
    if differences:
        shown = "; ".join(differences[:3]) + (f"; and {len(differences) - 3} more" if len(differences) > 3 else "")
        raise VerifyError(
            f"{path}: {shown}", "the files were changed after the run, or written by another version: measure again"
        )
    figures = sum(len(cell.figures) for cell in stored.result.cells)
    requests = sum(len(records) for records in stored.records.values())
    other = "" if stored.result.harness_version == __version__ else f" (written by harness {stored.result.harness_version})"
    return (
        f"{path}: {figures} figures of {len(stored.result.cells)} cells recomputed from {requests} requests in "
        f"{len(stored.result.trials)} trials: all agree{other}"
    )


def _differences(stored: Stored) -> Iterator[str]:
    result, plan = stored.result, stored.plan
    digest = hashlib.sha256(stored.recipe_text.encode()).hexdigest()
    if not digest == result.recipe_sha256 == plan.recipe_sha256:
        yield "recipe.yaml is not the recipe that was measured"
    for trial in result.trials:
        if not stored.records.get(trial.index):
            yield f"trial {trial.index} has no records"
    measured = {trial.cell for trial in result.trials}
    known = {cell.cell.id for cell in result.cells}
    if result.state != "running":
        yield from (f"cell {missing} was measured but has no figures" for missing in sorted(measured - known))
    samples = sorted(stored.samples, key=lambda sample: sample.t_ns)
    idle_w = power.mean_w([power.idle_w(span, samples) for span in result.idle])
    canaries = result.health.canaries if result.health else ()
    given = Given.of(result.machine, (result.weights, result.weights_reason), canaries, idle_w)
    for cell in result.cells:
        trials = [trial for trial in result.trials if trial.cell == cell.cell.id]
        if result.state == "running":  # of a long cell that was killed, figures are of its first trials
            trials = trials[: cell.trials]
        again = metrics.cell_result(cell.cell, trials, stored.records, stopped_by=cell.stopped_by, samples=samples, given=given)
        yield from _cell_differences(cell, again)
    faked = speculation.synthetic_acceptance(plan.launch.argv, plan.launch.env) if plan.launch else None
    if faked is not None and faked not in result.findings:
        yield "the plan fakes the acceptance of drafts, and the result does not say so"
    if result.sanity is not None:
        switch = speculation.faked(plan.launch, result.engine.settings)
        if sanity.judge(result.sanity.answers, result.sanity.moved, switch) != result.sanity.findings:
            yield "what is said of the server's sanity does not follow from its answers"
    said = {finding for finding in result.findings if finding.code in goodput.CODES}
    if said != set(goodput.findings(result.cells)):
        yield "what is said of the ramp of rates does not follow from its cells"


def _cell_differences(stored: CellResult, again: CellResult) -> Iterator[str]:
    where = stored.cell.id
    for code in sorted({finding.code for finding in (*stored.findings, *again.findings)}):
        kinds = [[f.severity for f in cell.findings if f.code == code] for cell in (stored, again)]
        if kinds[0] != kinds[1]:
            yield f"{where} finding {code}: stored {', '.join(kinds[0]) or 'none'}, recomputed {', '.join(kinds[1]) or 'none'}"
    for name in ("verdict", "trials", "sent", "valid", "excluded"):
        if getattr(stored, name) != getattr(again, name):
            yield f"{where} {name}: stored {getattr(stored, name)}, recomputed {getattr(again, name)}"
    for name in sorted(stored.figures.keys() | again.figures.keys()):
        one, two = stored.figures.get(name), again.figures.get(name)
        if one is None or two is None:
            yield f"{where} {name}: {'not stored' if one is None else 'cannot be recomputed'}"
            continue
        for part in ("value", "low", "high"):
            if not _same(getattr(one, part), getattr(two, part)):
                yield f"{where} {name} {part}: stored {getattr(one, part)}, recomputed {getattr(two, part)}"
        for part in ("n", "unit", "basis", "reason"):
            if getattr(one, part) != getattr(two, part):
                yield f"{where} {name} {part}: stored {getattr(one, part)}, recomputed {getattr(two, part)}"


def _same(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
