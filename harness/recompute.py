"""Every figure of a stored result once more, from its raw records, and what is not the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from harness import __version__, fits
from harness.errors import RecipeError
from harness.measure import goodput, health, metrics, power, sanity, speculation, stopping
from harness.measure.given import Given
from harness.measure.runs import Run
from harness.measure.stopping import CAP, INTERRUPTED
from harness.measure.trials import around, runs_of
from harness.recipe import load
from harness.schema.health import Health
from harness.schema.result import CellResult, Finding, PowerReading, Result
from harness.schema.sensors import Sample
from harness.schema.weights import METADATA, Weights
from harness.share.grammar import LEFT_OUT
from harness.store.folder import Stored
from harness.units import seconds

TOLERANCE = 1e-9  # relative: the same arithmetic on another machine may differ in the last bits
STATES = ("running", "complete", "interrupted", "failed")
NOT_STORED = {"foreign_process"}
"""Reasons of trials that rest on what no file keeps: which processes were the server's."""


def is_older(result: Result) -> bool:
    """Whether another harness measured it, to which other figures and findings may have been known."""
    return result.harness_version != __version__


def given_of(stored: Stored, samples: Sequence[Sample]) -> Given:
    result = stored.result
    idle_w = power.mean_w([power.idle_w(span, samples) for span in result.idle])
    canaries = result.health.canaries if result.health else ()
    return Given.of(result.machine, (result.weights, result.weights_reason), canaries, idle_w)


def cells(stored: Stored, samples: Sequence[Sample], given: Given) -> list[CellResult]:
    """As they come out now, in the order of the result's own. `samples` in the order of time."""
    found = []
    for cell in stored.result.cells:
        trials = [trial for trial in stored.result.trials if trial.cell == cell.cell.id]
        if stored.result.state == "running":  # of a long cell that was killed, figures are of its first trials
            trials = trials[: cell.trials]
        runs = runs_of(cell.cell, trials, stored.records, samples)
        found.append(metrics.of_runs(cell.cell, runs, stopped_by=_stopped_by(stored, cell, runs), given=given))
    return found


def _stopped_by(stored: Stored, said: CellResult, runs: Sequence[Run]) -> str:
    """By the rule: trials that were not to somebody's liking are not to be missing, and none may follow until there is one that is."""
    result, profile = stored.result, stored.plan.workload.profile
    from_outside = {INTERRUPTED: result.state != "complete", CAP: result.spent is not None}
    if is_older(result) or from_outside.get(said.stopped_by, False):
        return said.stopped_by
    briefs = [stopping.brief(said.cell, run) for run in runs]
    spent_s = [seconds(run.trial.t_end_ns - run.trial.t_start_ns) for run in runs]
    if earlier := stopping.stop(profile, briefs[:-1], sum(spent_s[:-1])):
        return f"{earlier}, a trial earlier"
    return stopping.stop(profile, briefs, sum(spent_s)) or "nothing: there is a trial to come"


def differences(stored: Stored, again: Sequence[CellResult], samples: list[Sample]) -> Iterator[str]:
    """Between what is stored and what comes out: `again` of `cells`, `samples` in the order of time."""
    result, plan = stored.result, stored.plan
    digest = hashlib.sha256(stored.recipe_text.encode()).hexdigest()
    if not digest == result.recipe_sha256 == plan.recipe_sha256:
        yield "recipe.yaml is not the recipe that was measured"
    if result.model != plan.model or any(cell.cell not in plan.workload.cells for cell in result.cells):
        yield "model or cells are not those of the plan"
    yield from _plan_differences(stored)
    if [trial.index for trial in result.trials] != list(range(len(result.trials))):
        yield "trials are left out, their numbers are not 0, 1, 2 …"
    for trial in result.trials:
        numbers = sorted(record.index for record in stored.records.get(trial.index, ()))
        if not numbers:
            yield f"trial {trial.index} has no records"
        elif numbers != list(range(len(numbers))):
            yield f"trial {trial.index}: requests are left out, their numbers are not 0, 1, 2 …"
    measured = {trial.cell for trial in result.trials}
    known = {cell.cell.id for cell in result.cells}
    if result.state != "running":
        yield from (f"cell {missing} was measured but has no figures" for missing in sorted(measured - known))
    if result.state == "complete" and result.spent is None:
        left = {cell.id for cell in plan.workload.cells} - known - {skipped.cell.id for skipped in result.skipped}
        yield from (f"cell {missing} of the plan was neither measured nor skipped" for missing in sorted(left))
    if result.weights is not None:
        yield from _weights_differences(result.weights, stored)
    for cell, other in zip(result.cells, again, strict=True):
        yield from _cell_differences(cell, other, older=is_older(result), redacted=result.redacted is not None)
    faked = speculation.synthetic_acceptance(plan.launch.argv, plan.launch.env) if plan.launch else None
    if faked is not None and _told(faked, result) not in [_told(finding, result) for finding in result.findings]:
        yield "the plan fakes the acceptance of drafts, and the result does not say so"
    if result.sanity is not None and result.redacted is None:  # what was answered is never shared
        switch = speculation.faked(plan.launch, result.engine.settings)
        if sanity.judge(result.sanity.answers, result.sanity.moved, switch) != result.sanity.findings:
            yield "what is said of the server's sanity does not follow from its answers"
    if result.health is not None:
        yield from _health_differences(result.health, stored, samples)
    said = {_told(finding, result) for finding in result.findings if finding.code in goodput.CODES}
    if said != {_told(finding, result) for finding in goodput.findings(result.cells)}:
        yield "what is said of the ramp of rates does not follow from its cells"


def _told(finding: Finding, result: Result) -> Finding:
    """What is compared of it: of a redacted result not its words."""
    return finding if result.redacted is None else msgspec.structs.replace(finding, text="")


def _plan_differences(stored: Stored) -> Iterator[str]:
    """What is only told once more where a reader looks for it. An older harness may not have told it."""
    result, plan = stored.result, stored.plan
    if result.state not in STATES:
        yield f"state: there is none of the name {result.state!r}"
    settled: dict[str, tuple[object, ...]] = {
        "recipe_name": (plan.recipe_name,),
        "nodes": (max(1, len(plan.nodes)),),
        "server": ("",) if plan.launch else ("", plan.url),
        "image": (plan.launch.image_found if plan.launch else None,),
    }
    with suppress(RecipeError):  # of a format that this harness no longer reads
        recipe = load.loads(stored.recipe_text, str(stored.path / "recipe.yaml"))
        settled["quantization"] = (str(recipe.metadata.get("quantization") or ""),)
    for name, values in settled.items():
        said = getattr(result, name)
        if said not in values and not (is_older(result) and said in ("", 1, None)):
            yield f"{name}: {said!r} is not what recipe and plan say"
    if result.engine.name != plan.engine:
        yield f"engine: {result.engine.name!r} is not that of the plan, {plan.engine}"


def _cell_differences(stored: CellResult, again: CellResult, *, older: bool, redacted: bool) -> Iterator[str]:
    """Of an older harness only what it says: it may have lacked a figure, called it unknown, or given its reasons in other words."""
    where = stored.cell.id
    for code in sorted({finding.code for finding in (*stored.findings, *again.findings)}):
        kinds = [[f.severity for f in cell.findings if f.code == code] for cell in (stored, again)]
        if kinds[0] != kinds[1] and not (older and not kinds[0]):
            yield f"{where} finding {code}: stored {', '.join(kinds[0]) or 'none'}, recomputed {', '.join(kinds[1]) or 'none'}"
    for name in ("verdict", "stopped_by", "trials", "sent", "valid", "excluded"):
        if getattr(stored, name) != getattr(again, name):
            yield f"{where} {name}: stored {getattr(stored, name)}, recomputed {getattr(again, name)}"
    for name in sorted(stored.figures.keys() | again.figures.keys()):
        one, two = stored.figures.get(name), again.figures.get(name)
        if older and (one is None or one.value is None):
            continue
        if one is None or two is None:
            yield f"{where} {name}: {'not stored' if one is None else 'cannot be recomputed'}"
            continue
        for part in ("value", "low", "high"):
            if not _same(getattr(one, part), getattr(two, part)):
                yield f"{where} {name} {part}: stored {getattr(one, part)}, recomputed {getattr(two, part)}"
        for part in ("n", "unit", "basis", "reason"):
            unsaid = part == "reason" and (older or (redacted and one.reason == LEFT_OUT))
            if getattr(one, part) != getattr(two, part) and not unsaid:
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
        unsaid = stored.result.redacted is not None and reason.text == LEFT_OUT
        if not unsaid and reason.text not in texts.get((reason.code, reason.trials[0]), {reason.text}):
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
    other = fits.estimated(stored.plan, recipe)
    if other is not None and stored.result.redacted is not None:  # which words are left of it is no matter
        other = msgspec.structs.replace(other, unread=said.unread, cache_reason=said.cache_reason, notes=said.notes)
    if said != other:
        yield "weights: they are not what the recipe's metadata says"


def _same(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
