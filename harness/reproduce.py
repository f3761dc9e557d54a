"""What was published, measured again under its conditions: the order that does so, and the comparison that follows from its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.bench import exit_code as valid_code
from harness.errors import Inconclusive, NotReproduced, RecipeError, StoreError
from harness.measure import equivalence
from harness.measure.differences import differences, unlike
from harness.order import Order
from harness.recipe import load, resolve
from harness.schema.health import DEGRADED
from harness.schema.plan import Plan
from harness.schema.recipe import Published, Recipe
from harness.schema.reproduction import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim, Comparison, Reproduction
from harness.schema.result import CellResult, Result
from harness.schema.sensors import POWER_SCOPES
from harness.schema.workload import Profile
from harness.store import folder

PROFILE = "tg128"
"""How much is measured, and the conditions that a published figure does not name, unless asked otherwise."""
NAME = "published"
"""Of the profile that is made of a recipe's published figures."""
TARGET = equivalence.MARGIN / 3
"""Relative half-width of a mean's interval up to which is measured, runs permitting: wider ones seldom lie within the margin."""
MAIN = (
    "decode_tok_s",
    "prefill_tok_s",
    "ttft_ms",
    "ttft_sched_ms",
    "e2e_sched_ms",
    "output_tok_s",
    "goodput_s",
    "acceptance_length",
    *(f"{scope}_j_tok" for scope in POWER_SCOPES),
)
"""Figures of an earlier result that are compared: means over runs."""


class Measured(msgspec.Struct, frozen=True):
    """A result with what it came of."""

    result: Result
    plan: Plan
    recipe: Recipe


def read(path: Path) -> Measured:
    """Raises `StoreError`, `RecipeError`."""
    result, (plan, text) = folder.read_result(path), folder.read_origin(path)
    recipe = msgspec.structs.replace(load.loads(text, str(path / "recipe.yaml")), name=plan.recipe_name)
    return Measured(result, plan, recipe)


def published_order(order: Order) -> Order:
    """The order with a profile whose cells are the conditions of the recipe's published figures. Raises `RecipeError`."""
    recipe, figures = order.recipe, order.recipe.harness.published
    where = recipe.path
    if not figures:
        hint = "add them under harness.published (docs/reproduce.md), or name a result to measure again"
        raise RecipeError(f"{where}: the recipe names no published figures", hint)
    asked = order.profile or PROFILE
    base = resolve.profile_of(recipe, asked)[1]
    if base.rate or base.mix or base.turns > 1 or base.arrivals == "trace":
        raise RecipeError(f"profile {asked} is no closed loop of one shape", f"name one that is, such as --profile {PROFILE}")
    wanted = [figure for figure in figures if _untestable(figure) is None]
    if not wanted:
        why = f"{figures[0].metric}: {_untestable(figures[0])}"
        raise RecipeError(f"{where}: no published figure can be tested: {why}", "see docs/reproduce.md")
    points = tuple(dict.fromkeys(_point(figure, base) for figure in wanted))
    target = None if base.target is None else min(base.target, TARGET)
    made = msgspec.structs.replace(base, points=points, schedule=None, target=target)
    return _with_profile(order, NAME, made)


def repeated_order(order: Order, earlier: Measured) -> Order:
    """The order with the profile of an earlier result, as it was measured. Raises `StoreError` for one that measured nothing."""
    work = earlier.plan.workload
    if not earlier.result.cells:
        raise StoreError(f"result {earlier.result.id} has no figures", "name one that measured something: harness results list")
    order = _with_profile(order, work.profile_name, work.profile)
    return msgspec.structs.replace(order, grid=msgspec.structs.replace(order.grid, trace=work.trace or None))


def of_recipe(recipe: Recipe, now: Measured) -> Reproduction:
    """The recipe's published figures beside a result."""
    profile = now.plan.workload.profile
    reason = spoilt(now.result)
    comparisons = []
    for figure in recipe.harness.published:
        untestable = _untestable(figure)
        claim = Claim(
            metric=figure.metric,
            compared=equivalence.AS_PUBLISHED.get(figure.metric, figure.metric),
            cell=_find(now.result, _point(figure, profile)) if untestable is None else None,
            value=figure.value,
            low=figure.low,
            high=figure.high,
            unit=figure.unit,
            source=figure.source,
            date=figure.date,
            conditions=figure.conditions,
        )
        comparisons.append(_compared(claim, untestable or reason, now.result))
    notes = (*state(now.result), *_environment(now))
    return Reproduction(of=recipe.name, result=now.result.id, comparisons=tuple(comparisons), differences=(), notes=notes)


def of_result(earlier: Measured, now: Measured) -> Reproduction:
    """Every main figure of an earlier result beside a later one's."""
    reason = spoilt(earlier.result) or spoilt(now.result)
    comparisons = [
        _compared(claim, reason or _unsound(cell) or _unlike(cell, earlier, now), now.result)
        for cell in earlier.result.cells
        for claim in claims(earlier.result, cell)
    ]
    return Reproduction(
        of=earlier.result.id,
        result=now.result.id,
        comparisons=tuple(comparisons),
        differences=differences((earlier.result, earlier.plan), (now.result, now.plan)),
        notes=tuple(state(now.result)),
    )


def exit_code(found: Reproduction, result: Result) -> int:
    """0 only if everything that was tested is reproduced, something was, and every cell is valid."""
    verdicts = {comparison.verdict for comparison in found.comparisons}
    if NOT_REPRODUCED in verdicts:
        return NotReproduced.exit_code
    if code := valid_code(result):
        return code
    return 0 if verdicts - {NOT_TESTED} == {REPRODUCED} else Inconclusive.exit_code


def _with_profile(order: Order, name: str, profile: Profile) -> Order:
    harness = order.recipe.harness
    harness = msgspec.structs.replace(harness, profiles={**harness.profiles, name: profile})
    return msgspec.structs.replace(order, recipe=msgspec.structs.replace(order.recipe, harness=harness), profile=name)


def _untestable(figure: Published) -> str | None:
    return figure.not_tested or equivalence.untestable(figure.metric, figure.unit)


def _point(figure: Published, base: Profile) -> tuple[int, int, int, int]:
    """Its conditions; what it does not say is the profile's, with as few streams as that has."""
    depth = base.depth[0] if figure.depth is None else figure.depth
    return depth, figure.pp or base.pp[0], figure.tg or base.tg[0], figure.concurrency or min(base.concurrency)


def _find(result: Result, point: tuple[int, int, int, int]) -> str | None:
    """The id of the cell that was measured, or was to be, under these conditions."""
    cells = [*(done.cell for done in result.cells), *(skipped.cell for skipped in result.skipped)]
    plain = [cell for cell in cells if cell.turns == 1 and not cell.mix and not cell.variant]
    return next((cell.id for cell in plain if (cell.depth, cell.pp, cell.tg, cell.concurrency) == point), None)


def claims(result: Result, cell: CellResult) -> Iterator[Claim]:
    for name in MAIN:
        figure = cell.figures.get(name)
        if figure is not None and figure.value is not None:
            yield Claim(
                metric=name,
                compared=name,
                cell=cell.cell.id,
                value=figure.value,
                low=figure.low,
                high=figure.high,
                runs=figure.n if figure.low is not None else 0,
                unit=figure.unit,
                source=f"result {result.id}",
                date=result.anchor.wall[:10],
            )


def _compared(claim: Claim, reason: str | None, now: Result) -> Comparison:
    """`reason`: why nothing can be compared."""
    if reason is not None:
        return Comparison(claim=claim, verdict=NOT_TESTED, reason=reason)
    cell = next((cell for cell in now.cells if cell.cell.id == claim.cell), None)
    skipped = next((skipped.reason for skipped in now.skipped if skipped.cell.id == claim.cell), None)
    return equivalence.compare(claim, cell, skipped or "no cell has its conditions")


def spoilt(result: Result) -> str | None:
    """Why no figure of a result counts."""
    return next((f"result {result.id}: {finding.text}" for finding in result.findings if finding.severity == "invalid"), None)


def _unsound(cell: CellResult) -> str | None:
    return None if cell.verdict == "valid" else f"the cell of the earlier result is {cell.verdict}"


def _unlike(cell: CellResult, earlier: Measured, now: Measured) -> str | None:
    """Why its figures and those of the later cell of its name are of two things."""
    later = next((each.cell for each in now.result.cells if each.cell.id == cell.cell.id), None)
    if later is None:
        return None
    said = unlike((cell.cell, earlier.plan.workload), (later, now.plan.workload))
    return said and f"the conditions are not the same: {said}"


def state(now: Result) -> Iterator[str]:
    if now.state != "complete":
        yield f"the run ended early ({now.state}): figures are of the trials that were finished"
    if now.health and now.health.verdict == DEGRADED:
        yield "the machine is degraded: " + "; ".join(reason.text for reason in now.health.reasons)


def _environment(now: Measured) -> Iterator[str]:
    """What a published figure does not tell of its own, as far as it was chosen here."""
    result, plan = now.result, now.plan
    gpu = ", ".join(dict.fromkeys(gpu.name for gpu in result.machine.gpus)) or "no NVIDIA GPU"
    image = f" in {plan.launch.image}" if plan.launch and plan.launch.image else ""
    yield f"measured on {gpu}, {result.machine.cpu_model}, by {result.engine.name} {result.engine.version or '(version not known)'}{image}"
    kinds = ", ".join(dict.fromkeys(cell.cell.prompt_class for cell in result.cells))
    if kinds:
        yield f"the prompts were {kinds}, the temperature {plan.workload.sampling.temperature:g}"
    if plan.overrides:
        yield "overridden: " + ", ".join(f"{key}={value}" for key, value in plan.overrides.items())
    yield from plan.notes
