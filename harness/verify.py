"""Recomputes every figure of a stored result, or of a bundle, from its raw records: a result must agree with its own raw data, and what it
says must be possible. Offline, and nothing is written but into a folder of its own that goes afterwards.

What it gives is a list of checks: `fail` (it is not what was measured, or cannot be), `warn` (doubtful, and the result says it itself),
`skip` (it could not be looked at, and why).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import __version__, fits
from harness.engines import ENGINES
from harness.errors import MachineError, RecipeError, StoreError, VerifyError
from harness.measure import goodput, health, metrics, plausible, power, sanity, speculation
from harness.measure.given import Given
from harness.measure.trials import around
from harness.recipe import load
from harness.schema.doctor import FAIL, PASS, SKIP, Check
from harness.schema.health import Health
from harness.schema.result import CellResult, PowerReading
from harness.schema.sensors import Sample
from harness.schema.weights import METADATA, Weights
from harness.share import bundle, sign
from harness.store import columns, folder
from harness.store.folder import Stored

TOLERANCE = 1e-9  # relative: the same arithmetic on another machine may differ in the last bits
NOT_STORED = {"foreign_process"}
"""Reasons of trials that rest on what no file keeps: which processes were the server's."""
MOST_ROWS, MOST_TEXT = 20_000_000, 4 << 30
"""Of a bundle's tables: others made them, and they are read into memory."""
SHOWN = 3
MOST_DIFFERENCES = 50
COMPUTING = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What records that no harness wrote may end a computation with."""
HINT = "the files were changed after the run, or written by another version: measure again"
UNSEEN = (
    ("origin", "that these records were measured and not made up: no file can show that, a signature says who vouches for it"),
    (
        "machine",
        "machine, engine version, image and model files: they are as the harness read them, and not here to be looked at",
    ),
    ("network", "where processes were connected to: the sockets are gone, what was seen of them is all there is"),
)


def verify(path: Path) -> str:
    """One sentence that says what was recomputed. Raises `VerifyError` naming the first things that are wrong, `StoreError` for unreadable
    files."""
    found = checks(path)
    require(path, found)
    return f"{path}: {next(check.text for check in found if check.name == 'figures')}"


def require(path: Path, found: Sequence[Check]) -> None:
    """Raises `VerifyError` unless nothing is wrong."""
    wrong = tuple(check.text for check in found if check.status == FAIL)
    if wrong:
        shown = "; ".join(wrong[:SHOWN]) + (f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        raise VerifyError(f"{path}: {shown}", next(check.advice for check in found if check.status == FAIL) or HINT, wrong)


def checks(path: Path, allowed: Path | None = None, identity: str | None = None) -> list[Check]:
    """Of a result's folder, or a bundle. `allowed` is an allowed-signers file: one that it names, or `identity` in it, must have signed.
    Raises `StoreError` for files that cannot be read, and as `sign.check_allowed`."""
    if path.is_dir():
        return list(_of_result(folder.read(path)))
    try:
        with bundle.opened(path) as found:
            return list(_of_bundle(path, found, allowed, identity))
    except VerifyError as error:
        wrong = [Check("files", FAIL, problem, error.hint) for problem in error.problems]
        return [*wrong, Check("the rest", SKIP, "nothing else is looked at in a bundle that was changed")]


def _of_bundle(path: Path, found: bundle.Opened, allowed: Path | None, identity: str | None) -> Iterator[Check]:
    said = found.manifest
    size = sum(entry.bytes for entry in said.files.values())
    yield Check("files", PASS, f"{len(said.files)} files of {size:,} bytes, each as the manifest says")
    yield signature(found, allowed, identity)
    try:
        columns.examine(found.folder, most_rows=MOST_ROWS, most_text=MOST_TEXT)
        stored = folder.read(found.folder)
    except StoreError as error:
        yield Check("schema", FAIL, error.message.replace(f"{found.folder}/", ""), error.hint)
        return
    if (stored.result.id, stored.result.harness_version) != (said.result, said.harness_version):
        yield Check("files", FAIL, f"{bundle.MANIFEST} is of another result: {said.result} by harness {said.harness_version}")
    yield Check("schema", PASS, "recipe, plan, result and tables are of the formats that this harness reads")
    try:
        yield from list(_of_result(stored))
    except COMPUTING as error:
        yield Check("figures", FAIL, f"nothing can be computed from these records ({type(error).__name__}: {error})")
    if others := sorted(said.files.keys() - set(folder.EVIDENCE)):
        yield Check("others", SKIP, f"{', '.join(others)}: nothing is computed from them")


def signature(found: bundle.Opened, allowed: Path | None, identity: str | None) -> Check:
    """Without `allowed` only whether it is one of these files."""
    if found.signature is None:
        text = "it is not signed, so nobody vouches for it"
        return Check("signature", SKIP if allowed is None else FAIL, text, "" if allowed is None else "ask for a signed one")
    try:
        if allowed is not None:
            by = sign.check_allowed(found.signed, found.signature, allowed, identity)
            return Check("signature", PASS, f"by {by.name}, with {by.key}")
        by = sign.check(found.signed, found.signature)
        return Check("signature", PASS, f"whole, by {by.key}, which nothing here vouches for (--allowed-signers FILE would)")
    except VerifyError as error:
        return Check("signature", FAIL, error.message, error.hint)
    except MachineError as error:
        if allowed is not None:
            raise
        return Check("signature", SKIP, f"not looked at: {error.message}", error.hint)


def _of_result(stored: Stored) -> Iterator[Check]:
    result, plan = stored.result, stored.plan
    samples = sorted(stored.samples, key=lambda sample: sample.t_ns)
    given = _given(stored, samples)
    differences = [text for text, _ in zip(_differences(stored, samples, given), range(MOST_DIFFERENCES), strict=False)]
    engine = ENGINES.get(plan.engine)
    claim = engine.memory(plan.launch.argv, plan.launch.env) if engine and plan.launch else None
    as_stored = claim is None or not claim.quantises
    yield from (Check("figures", FAIL, text) for text in differences)
    if not differences:
        figures = sum(len(cell.figures) for cell in result.cells)
        requests = sum(map(len, stored.records.values()))
        other = "" if result.harness_version == __version__ else f" (written by harness {result.harness_version})"
        text = (
            f"{figures} figures of {len(result.cells)} cells recomputed from {requests} requests in {len(result.trials)} trials"
        )
        yield Check("figures", PASS, f"{text}: all agree{other}")
    yield from plausible.checks(result, plan, stored.records, stored.samples, given, as_stored=as_stored)
    yield from _unseen(stored)


def _unseen(stored: Stored) -> Iterator[Check]:
    """What is not looked at, and why."""
    result = stored.result
    if result.harness_version != __version__:
        text = (
            f"measured by harness {result.harness_version}: figures that only {__version__} has are not in it, and not compared"
        )
        yield Check("version", SKIP, text)
    if result.weights is not None and result.weights.source != METADATA:
        yield Check("weights", SKIP, f"the model's size, as counted in its {result.weights.source} files: these are not here")
    unstored = [reason.code for reason in (result.health.reasons if result.health else ()) if reason.code in NOT_STORED]
    if unstored:
        yield Check("health", SKIP, f"{', '.join(unstored)}: it rests on which processes ran, which no file keeps")
    yield from (Check(name, SKIP, text) for name, text in UNSEEN)


def _given(stored: Stored, samples: Sequence[Sample]) -> Given:
    result = stored.result
    idle_w = power.mean_w([power.idle_w(span, samples) for span in result.idle])
    canaries = result.health.canaries if result.health else ()
    return Given.of(result.machine, (result.weights, result.weights_reason), canaries, idle_w)


def _differences(stored: Stored, samples: list[Sample], given: Given) -> Iterator[str]:
    """`samples` in the order of time."""
    result, plan = stored.result, stored.plan
    digest = hashlib.sha256(stored.recipe_text.encode()).hexdigest()
    if not digest == result.recipe_sha256 == plan.recipe_sha256:
        yield "recipe.yaml is not the recipe that was measured"
    if result.model != plan.model or any(cell.cell not in plan.workload.cells for cell in result.cells):
        yield "model or cells are not those of the plan"
    if [trial.index for trial in result.trials] != list(range(len(result.trials))):
        yield "trials are left out: their numbers are not 0, 1, 2 …"
    for trial in result.trials:
        if not stored.records.get(trial.index):
            yield f"trial {trial.index} has no records"
    measured = {trial.cell for trial in result.trials}
    known = {cell.cell.id for cell in result.cells}
    if result.state != "running":
        yield from (f"cell {missing} was measured but has no figures" for missing in sorted(measured - known))
    if result.weights is not None:
        yield from _weights_differences(result.weights, stored)
    for cell in result.cells:
        trials = [trial for trial in result.trials if trial.cell == cell.cell.id]
        if result.state == "running":  # of a long cell that was killed, figures are of its first trials
            trials = trials[: cell.trials]
        again = metrics.cell_result(cell.cell, trials, stored.records, stopped_by=cell.stopped_by, samples=samples, given=given)
        yield from _cell_differences(cell, again, older=result.harness_version != __version__)
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


def _cell_differences(stored: CellResult, again: CellResult, *, older: bool) -> Iterator[str]:
    """A figure that an older harness did not have is none that it got wrong."""
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
        if one is None and older:
            continue
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
