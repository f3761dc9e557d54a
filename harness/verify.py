"""Recomputes every figure of a stored result from its raw records and compares: a result must agree with its own raw data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from harness import __version__, fits
from harness.errors import RecipeError, VerifyError
from harness.measure import goodput, health, metrics, power, sanity, speculation
from harness.measure.given import Given
from harness.measure.trials import around
from harness.recipe import load
from harness.schema.health import Health
from harness.schema.result import CellResult, PowerReading
from harness.schema.sensors import Sample
from harness.schema.weights import METADATA, Weights
from harness.store import folder
from harness.store.folder import Stored

TOLERANCE = 1e-9  # relative: the same arithmetic on another machine may differ in the last bits
NOT_STORED = {"foreign_process"}
"""Reasons of trials that rest on what no file keeps: which processes were the server's."""


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
    if result.weights is not None:
        yield from _weights_differences(result.weights, stored)
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
    if result.health is not None:
        yield from _health_differences(result.health, stored, samples)
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
    for scope in sorted(stored.power.keys() | again.power.keys()):
        if not _alike(stored.power.get(scope), again.power.get(scope)):
            yield f"{where}: where its joules of the scope {scope} come from is not what the readings say"


def _alike(one: PowerReading | None, two: PowerReading | None) -> bool:
    if one is None or two is None:
        return one is two
    return all(
        _same(getattr(one, part), getattr(two, part))
        if part in ("window_s", "update_s", "boundary_error")
        else getattr(one, part) == getattr(two, part)
        for part in PowerReading.__struct_fields__
    )


def _health_differences(said: Health, stored: Stored, samples: list[Sample]) -> Iterator[str]:
    """Against the readings of the trials. Of a source that is read rarely, the first reading after a trial may have come before the
    verdict or after it, so both count: what is seen either way must be said, what is seen neither way must not."""
    if said != health.verdict(said.reasons, said.unseen, said.canaries, said.compared_with):
        yield "health: its verdict does not follow from its reasons"
    known = {reason.code: reason for reason in said.reasons}
    machine = stored.result.machine
    texts: dict[tuple[str, int], set[str]] = {}
    for trial in stored.result.trials:
        near = around(samples, trial)
        within = [sample for sample in near if sample.t_ns <= trial.t_end_ns]
        ways = [{each.code: each.text for each in health.of_trial(trial, some, machine, {})} for some in (within, near)]
        for code, text in [pair for way in ways for pair in way.items()]:
            texts.setdefault((code, trial.index), set()).add(text)
        for code in sorted(ways[0].keys() & ways[1].keys()):
            if code not in known or trial.index not in known[code].trials:
                yield f"health: trial {trial.index} shows {code}, and the result does not say so"
    for code in sorted(each.code for each in health.of_canaries(said.canaries, ()) if each.code not in known):
        yield f"health: the canaries show {code}, and the result does not say so"
    for reason in said.reasons:
        if not reason.trials or reason.code in NOT_STORED:
            continue
        for trial_index in reason.trials:
            if (reason.code, trial_index) not in texts:
                yield f"health: {reason.code} is said of trial {trial_index}, whose readings do not show it"
        if reason.text not in texts.get((reason.code, reason.trials[0]), {reason.text}):
            yield f"health: the evidence of {reason.code} is not what the readings say"


def _weights_differences(said: Weights, stored: Stored) -> Iterator[str]:
    """What was counted in the model's files can only be held against itself."""
    if said.memory_bytes != said.step_bytes + sum(said.unread.values()):
        yield "weights: the parts do not add up to memory_bytes"
    if said.source != METADATA:
        return
    try:
        recipe = load.loads(stored.recipe_text, str(stored.path / "recipe.yaml"))
    except RecipeError as error:
        yield f"weights: the recipe that they were estimated from cannot be read: {error.message}"
        return
    if said != fits.estimated(stored.plan, recipe):
        yield "weights: they are not what the recipe's metadata says"


def _same(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
