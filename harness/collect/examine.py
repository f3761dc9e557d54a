"""One bundle, looked at as `harness verify` does, in a process with bounds: whether the collector takes it."""

from __future__ import annotations

from pathlib import Path

from harness import site, verify
from harness.errors import HarnessError, MachineError, one_line
from harness.schema.collect import About, Verdict
from harness.schema.doctor import FAIL, PASS, Check
from harness.share import bundle
from harness.store import folder, series

BUNDLE, ALLOWED = "bundle.tar", "allowed_signers"
NEEDED = ("files", "signature", "schema", "figures")
SHOWN, LONGEST = 20, 300
COMPUTING = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


def examine(room: Path, identity: str | None) -> Verdict:
    """`room`: a folder with the bundle and an allowed-signers file."""
    path = room / BUNDLE
    try:
        checks = verify.checks(path, room / ALLOWED, identity)
        passed = {check.name for check in checks if check.status == PASS}
        if any(check.status == FAIL for check in checks) or not passed.issuperset(NEEDED):
            return Verdict(checks=tuple(checks))
        signed = next(check.text for check in checks if check.name == "signature")
        return Verdict(checks=tuple(checks), about=_about(path, signed))
    except MachineError as error:
        return Verdict(error=error.message)
    except HarnessError as error:
        return Verdict(checks=(Check("files", FAIL, error.message, error.hint),))
    except COMPUTING as error:
        return Verdict(checks=(Check("page", FAIL, f"no page can be made of it ({type(error).__name__}: {error})"),))


def _about(path: Path, signed: str) -> About:
    with bundle.opened(path) as found:
        folder.evidence(found.folder)  # raises for a run that has not ended
        site.result_page(found.folder, series.open_tables(), in_site=True)
        result = folder.read_result(found.folder)
        return About(
            run=_short(f"{result.id} {result.anchor.wall}"),
            result=_short(result.id),
            recipe=_short(result.recipe_name),
            model=_short(result.model),
            engine=_short(result.engine.name),
            harness_version=_short(result.harness_version),
            signed_by=_short(signed.removeprefix("by ")),
        )


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Every check that fails, in sentences; empty: none does."""
    found = [f"{check.name}: {check.text}" for check in verdict.checks if check.status == FAIL]
    passed = {check.name for check in verdict.checks if check.status == PASS}
    found = found or [f"{name}: it could not be looked at" for name in NEEDED if name not in passed]
    return (*map(_short, found[:SHOWN]), *([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []))


def _short(text: str) -> str:
    """As a terminal, a log and any database can take it."""
    text = one_line(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
