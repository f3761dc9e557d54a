"""What `harness reproduce` prints, of a recipe and of a result: golden texts; and how it ends."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness import reproduce
from harness.errors import Inconclusive, InvalidResult, NotReproduced
from harness.recipe.load import loads
from harness.report import reproduce as report
from harness.reproduce import Measured
from harness.schema.plan import Image, Plan
from harness.schema.reproduction import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Reproduction
from harness.schema.result import Figure, Result
from harness.schema.workload import Sampling, Shape, TraceRow
from tests.report.test_report import matches
from tests.store import sample_run

RECIPE = """\
model: m
runtime: openai
harness:
  published:
    - {metric: decode_tok_s, value: 104, unit: tok/s, conditions: single stream, source: one page, date: 2026-04-29}
    - {metric: decode_tok_s, low: 35, high: 41, unit: tok/s, source: another page, date: 2026-05}
    - {metric: ttft_ms, low: 40, high: 60, unit: ms, pp: 256, source: another page, date: 2026-05}
    - {metric: prefill_tok_s, value: 2400, unit: tokens/s, source: one page, date: 2026-04-29}
    - {metric: output_tok_s, value: 100, unit: tok/s, concurrency: 4, source: one page, date: 2026-04-29}
    - {metric: acceptance_length, value: 2.7, unit: tokens per verify step, source: one page, date: 2026-04-29}
    - {metric: power_w, value: 140, unit: W, source: "[red]one page", date: 2026-04-29}
"""


def measured(result: Result, recipe: str = "model: m\nruntime: openai\n") -> Measured:
    one = result.cells[0]
    n1 = msgspec.structs.replace(one.figures["decode_tok_s"], n=5)
    cells = (msgspec.structs.replace(one, figures={**one.figures, "decode_tok_s_n1": n1}), *result.cells[1:])
    return Measured(msgspec.structs.replace(result, cells=cells), sample_run.plan(), loads(recipe, "recipes/sample.yaml"))


@pytest.mark.parametrize("width", [80, 160])
def test_of_a_recipe(width: int) -> None:
    now = measured(sample_run.result())
    profile = msgspec.structs.replace(now.plan.workload.profile, pp=(128,), tg=(4,))
    plan = msgspec.structs.replace(now.plan, workload=msgspec.structs.replace(now.plan.workload, profile=profile))
    found = reproduce.of_recipe(loads(RECIPE, "recipes/sample.yaml"), msgspec.structs.replace(now, plan=plan))
    shown = report.render(found, path=Path("results/sample/x"), width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    matches(f"reproduce-recipe-{width}.txt", shown)


def test_of_a_result() -> None:
    then = measured(sample_run.result())
    faster = {**then.result.cells[0].figures}
    faster["decode_tok_s"] = Figure(value=120.0, low=119.0, high=121.0, n=5, unit="tok/s", basis="runs")
    cell = msgspec.structs.replace(then.result.cells[0], figures=faster)
    now = sample_run.result(ident="def456")
    machine = msgspec.structs.replace(now.machine, kernel="6.18", gpu_driver="580.95")
    engine = msgspec.structs.replace(now.engine, version="0.33.0", settings={"max_model_len": "4096"})
    later = msgspec.structs.replace(now, machine=machine, engine=engine, cells=(cell,), image=Image(name="i", id="sha256:1"))
    plan = msgspec.structs.replace(then.plan, overrides={"max_model_len": "4096", "port": "8001"}, notes=())
    found = reproduce.of_result(then, Measured(later, plan, then.recipe))
    matches("reproduce-result-80.txt", report.render(found, path=Path("results/sample/y"), width=80, color=False))
    assert [(each.what, each.then, each.now) for each in found.differences] == [
        ("GPU driver", "", "580.95"),
        ("kernel", "6.17", "6.18"),
        ("engine", "vllm 0.32.0", "vllm 0.33.0"),
        ("image's id", "", "sha256:1"),
        ("override max_model_len", "", "4096"),
        ("setting max_model_len", "", "4096"),
    ]


def test_the_same_environment_has_no_differences() -> None:
    one = measured(sample_run.result())
    assert reproduce.of_result(one, one).differences == ()


@pytest.mark.parametrize(
    ("verdicts", "valid", "code"),
    [
        ((REPRODUCED, REPRODUCED, NOT_TESTED), True, 0),
        ((REPRODUCED, INCONCLUSIVE), True, Inconclusive.exit_code),
        ((REPRODUCED, INCONCLUSIVE, NOT_REPRODUCED), True, NotReproduced.exit_code),
        ((NOT_TESTED,), True, Inconclusive.exit_code),
        ((REPRODUCED,), False, InvalidResult.exit_code),
        ((INCONCLUSIVE,), False, InvalidResult.exit_code),
        ((NOT_REPRODUCED,), False, NotReproduced.exit_code),
    ],
)
def test_exit_codes(verdicts: tuple[str, ...], valid: bool, code: int) -> None:
    result = sample_run.result()
    one = measured(result)
    first = reproduce.of_result(one, one).comparisons[0]
    made = tuple(msgspec.structs.replace(first, verdict=verdict) for verdict in verdicts)
    found = Reproduction(of="x", result="y", comparisons=made, differences=())
    assert reproduce.exit_code(found, msgspec.structs.replace(result, cells=result.cells[:1]) if valid else result) == code


def test_other_conditions_are_another_thing() -> None:
    """Cells are named by lengths and load only: what else was asked decides too, how much was measured does not."""
    then, now = measured(sample_run.result()), measured(sample_run.result(ident="def456"))
    replace = msgspec.structs.replace

    def against(plan: Plan = now.plan, **changed: object) -> set[tuple[str, str]]:
        cells = tuple(replace(each, cell=replace(each.cell, **changed)) for each in now.result.cells)
        other = Measured(replace(now.result, cells=cells), plan, now.recipe)
        first = then.result.cells[0].cell.id
        found = reproduce.of_result(then, other).comparisons
        return {(each.verdict, each.reason) for each in found if each.claim.cell == first}

    alike = against()
    assert NOT_TESTED not in {verdict for verdict, _ in alike}
    assert against(requests=99, warmup=9) == alike
    said = "the conditions are not the same: prompt_class prose, and now code"
    assert against(prompt_class="code") == {(NOT_TESTED, said)}
    warmer = replace(now.plan.workload, sampling=Sampling(temperature=0.7, seed=3))
    assert against(replace(now.plan, workload=warmer)) == {
        (NOT_TESTED, "the conditions are not the same: temperature 0.0, and now 0.7")
    }
    seeded = replace(now.plan.workload, sampling=Sampling(seed=3))
    assert against(replace(now.plan, workload=seeded)) == alike
    traced = replace(now.plan.workload, trace=(TraceRow(offset_s=0.0, prompt_tokens=1, output_tokens=1),))
    assert against(replace(now.plan, workload=traced)) == {(NOT_TESTED, "the conditions are not the same: another trace")}


def test_a_published_figure_is_not_of_a_conversation_or_a_mixture() -> None:
    """Such a cell may have the same lengths and load, and stand before the plain one."""
    replace = msgspec.structs.replace
    now = measured(sample_run.result())
    recipe = loads(RECIPE.replace("conditions: single stream", "pp: 128, tg: 4"), "recipes/sample.yaml")
    plain = now.result.cells[0]
    for odd in ({"turns": 3}, {"variant": "thinking"}, {"mix": (Shape(pp=128, tg=4),)}):
        other = replace(plain, cell=replace(plain.cell, id="odd", **odd))
        both = Measured(replace(now.result, cells=(other, plain)), now.plan, now.recipe)
        assert reproduce.of_recipe(recipe, both).comparisons[0].claim.cell == plain.cell.id
        alone = Measured(replace(now.result, cells=(other,)), now.plan, now.recipe)
        assert reproduce.of_recipe(recipe, alone).comparisons[0].verdict == NOT_TESTED
