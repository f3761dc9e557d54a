"""Recomputes every figure of a stored result, or of a bundle, from its raw records: a result must agree with its own raw data, and what it
says must be possible. Offline, and nothing is written but into a folder of its own that goes afterwards.

What it gives is a list of checks: `fail` (it is not what was measured, or cannot be), `warn` (doubtful, and the result says it itself),
`skip` (it could not be looked at, and why).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from harness import __version__, recompute
from harness.engines import ENGINES
from harness.errors import MachineError, StoreError, VerifyError, one_line
from harness.measure import plausible
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.schema.result import CellResult, Result
from harness.schema.weights import METADATA
from harness.share import bundle, sign
from harness.store import columns, folder
from harness.store.folder import Stored

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
        found = _computed(folder.read(path))
    else:
        try:
            with bundle.opened(path) as made:
                found = list(_of_bundle(made, allowed, identity))
        except VerifyError as error:
            wrong = [Check("files", FAIL, problem, error.hint) for problem in error.problems]
            found = [*wrong, Check("the rest", SKIP, "nothing else is looked at in a bundle that was changed")]
    return [msgspec.structs.replace(check, text=one_line(check.text)) for check in found]


def _of_bundle(found: bundle.Opened, allowed: Path | None, identity: str | None) -> Iterator[Check]:
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
    yield from _computed(stored)
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


def _computed(stored: Stored) -> list[Check]:
    try:
        return list(_of_result(stored))
    except COMPUTING as error:
        return [Check("figures", FAIL, f"nothing can be computed from these records ({type(error).__name__}: {error})")]


def _of_result(stored: Stored) -> Iterator[Check]:
    result, plan = stored.result, stored.plan
    samples = sorted(stored.samples, key=lambda sample: sample.t_ns)
    given = recompute.given_of(stored, samples)
    again = recompute.cells(stored, samples, given)
    differences = list(islice(recompute.differences(stored, again, samples), MOST_DIFFERENCES))
    engine = ENGINES.get(plan.engine)
    claim = engine.memory(plan.launch.argv, plan.launch.env) if engine and plan.launch else None
    as_stored = claim is None or not claim.quantises
    yield from (Check("figures", FAIL, text) for text in differences)
    if not differences:
        figures = sum(len(cell.figures) for cell in result.cells)
        requests = sum(map(len, stored.records.values()))
        other = f" (written by harness {result.harness_version})" if recompute.is_older(result) else ""
        text = (
            f"{figures} figures of {len(result.cells)} cells recomputed from {requests} requests in {len(result.trials)} trials"
        )
        yield Check("figures", PASS, f"{text}: all agree{other}")
    if recompute.is_older(result):
        yield from _later_findings(result, again)
    yield from plausible.checks(result, plan, stored.records, stored.samples, given, as_stored=as_stored)
    yield from _unseen(stored)


def _later_findings(result: Result, again: Sequence[CellResult]) -> Iterator[Check]:
    for cell, other in zip(result.cells, again, strict=True):
        known = {finding.code for finding in cell.findings}
        for finding in other.findings:
            if finding.code not in known:
                yield Check("findings", WARN, f"{cell.cell.id}: only this harness finds that {finding.text} ({finding.code})")


def _unseen(stored: Stored) -> Iterator[Check]:
    """What is not looked at, and why."""
    result = stored.result
    if recompute.is_older(result):
        text = f"measured by harness {result.harness_version}: what only {__version__} can tell is not in it, and not compared"
        yield Check("version", SKIP, text)
    if result.redacted is not None:
        yield from (Check("redacted", SKIP, f"left out before sharing: {what}") for what in result.redacted.left_out)
    if result.weights is not None and result.weights.source != METADATA:
        yield Check("weights", SKIP, f"the model's size, as counted in its {result.weights.source} files: these are not here")
    unstored = [
        reason.code for reason in (result.health.reasons if result.health else ()) if reason.code in recompute.NOT_STORED
    ]
    if unstored:
        yield Check("health", SKIP, f"{', '.join(unstored)}: it rests on which processes ran, which no file keeps")
    yield from (Check(name, SKIP, text) for name, text in UNSEEN)
