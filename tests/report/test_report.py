"""What people read: golden texts, honest rounding, and commands that can be pasted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import plan_text, table, text
from harness.schema.recipe import Recipe
from harness.schema.result import CellResult, Figure, Finding, PowerReading, Result, Summary
from tests.store import sample_run

GOLDEN = Path(__file__).parent / "golden"


def matches(name: str, shown: str) -> None:
    """HARNESS_UPDATE_GOLDEN=1 writes what is shown now; look at the difference before keeping it."""
    path = GOLDEN / name
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        path.write_text(shown + "\n")
    assert shown + "\n" == path.read_text()


@pytest.mark.parametrize("width", [80, 160])
def test_result(width: int) -> None:
    shown = table.render(sample_run.result(), path=Path("results/sample/x"), width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    matches(f"result-{width}.txt", shown)


@pytest.mark.parametrize("width", [80, 160])
def test_plan(width: int) -> None:
    matches(f"plan-{width}.txt", plan_text.render(sample_run.plan(), width=width, color=False))


def test_a_variable_of_the_caller_stays_a_reference() -> None:
    plan = sample_run.plan()
    assert plan.launch is not None
    launch = msgspec.structs.replace(plan.launch, env={"HF_TOKEN": "${HF_TOKEN}", "COST": "$5 a day"})
    shown = plan_text.render(msgspec.structs.replace(plan, launch=launch), width=80, color=False)
    assert "  HF_TOKEN=\"${HF_TOKEN}\"\n  COST='$5 a day'\n" in shown


def grid() -> Result:
    """Four cells with every figure there is, and findings that some of them share."""

    def cell_result(depth: int, concurrency: int) -> CellResult:
        def figure(value: float, half: float, basis: str) -> Figure:
            return Figure(value=value, unit="", low=value - half, high=value + half, n=5, basis=basis)

        ident = f"d{depth}-pp2048-tg128-c{concurrency}"
        cell = msgspec.structs.replace(sample_run.cell(concurrency), id=ident, depth=depth, pp=2048, tg=128)
        ttft = 1042.3 * (concurrency + depth / 2000)
        figures = {
            "decode_tok_s": figure(36.42 / concurrency**0.5, 0.213, "runs"),
            "ttft_p50_ms": figure(ttft, 12.3, "requests"),
            "ttft_p90_ms": figure(ttft * 1.1, 32.1, "requests"),
            "ttft_p99_ms": Figure(value=None, unit="ms", reason="needs 534 more requests"),
            "tpot_p50_ms": figure(27.46 * concurrency, 0.31, "requests"),
            "prefill_tok_s": figure(2012.2, 14.2, "runs"),
            "output_tok_s": Figure(value=None, unit="tok/s", reason="never were 16 requests that count in flight at once"),
            "acceptance_length": figure(2.713, 0.023, "runs"),
        }
        power = {}
        for scope, watts in (("gpu", 31.2), ("system", 96.4)) if concurrency == 1 else ():
            power[scope] = PowerReading(source="nvml", method="counter", window_s=60, update_s=0.1, boundary_error=0.003)
            figures[f"{scope}_w"] = figure(watts, 0.4, "runs")
            figures[f"{scope}_j_tok"] = figure(watts / 36, 0.011, "runs")
            figures[f"{scope}_net_j_tok"] = Figure(value=None, unit="J/tok", reason="the idle machine was not measured")
            figures[f"{scope}_idle_w"] = Figure(value=None, unit="W", reason="the idle machine was not measured")
        if concurrency == 1:
            figures["output_tok_s"] = figure(36.0, 0.4, "runs")
        reads = Finding(code="few_reads", severity="warning", text="812 reads for 2,048 events: stamps of several are the same")
        late = Finding(code="timeout", severity="invalid", text="3 of 160 requests do not count, timeout (first: request 17)")
        bad = depth > 0 and concurrency > 1
        return CellResult(
            cell=cell,
            verdict="invalid" if bad else "valid",
            findings=(reads, late) if bad else (reads,),
            trials=5,
            stopped_by="target",
            sent=160,
            valid=157 if bad else 160,
            excluded={"timeout": 3} if bad else {},
            figures=figures,
            power=power,
        )

    cells = tuple(cell_result(depth, concurrency) for depth in (0, 32768) for concurrency in (1, 16))
    return msgspec.structs.replace(sample_run.result(), cells=cells, skipped=(), state="interrupted")


@pytest.mark.parametrize("width", [80, 160])
def test_grid(width: int) -> None:
    matches(f"grid-{width}.txt", table.render(grid(), path=Path("results/sample/x"), width=width, color=False))


@pytest.mark.parametrize("width", range(60, 200, 7))
@pytest.mark.parametrize("result", [sample_run.result(), grid()], ids=["small", "grid"])
def test_no_number_is_cut(result: Result, width: int) -> None:
    shown = table.render(result, path=Path("x"), width=width, color=False)
    words = set(re.split(r"\s{2,}|\n", shown))
    for cell in result.cells:
        assert cell.cell.words in words
        assert cell.verdict in words
        for _, name in table.COLUMNS:
            figure = cell.figures.get(name)
            if figure is not None and figure.value is not None:
                assert text.figure(figure) in words


def test_what_is_said_of_several_cells_is_said_once() -> None:
    shown = table.render(grid(), path=Path("x"), width=200, color=False)
    assert shown.count("few_reads") == 3  # c1 at both depths together; the c16 cells differ
    assert "pp2048 tg128 c1; d32768 pp2048 tg128 c1\n  warning" in shown
    assert "not known: output tok/s: never were 16 requests" in shown
    assert "637 of 640 count (not: 3 timeout)" in shown
    assert shown.index("invalid: 3 of 160") < shown.rindex("warning: 812")  # the worst first


def test_color_changes_only_color() -> None:
    plain, colored = (table.render(sample_run.result(), path=Path("x"), width=120, color=color) for color in (False, True))
    assert colored != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), min_size=1))
def test_a_pasted_command_gives_the_same_arguments(argv: list[str]) -> None:
    for image in (None, argv[-1]):
        shown = plan_text.command(argv, image)
        done = subprocess.run(["sh", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True)
        assert done.stdout.decode().split("\0")[:-1] == argv


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (104.2871, 0.8712, "104.3"),
        (104.2871, 1.31, "104.3"),
        (104.2871, 31.0, "104"),
        (0.012345, 0.0009, "0.0123"),
        (2456.7, None, "2,457"),
        (3.14159, None, "3.14"),
        (0.0, None, "0"),
    ],
)
def test_numbers_are_rounded_to_what_is_known(value: float, half: float | None, shown: str) -> None:
    assert text.number(value, half) == shown


def test_a_figure_without_value_says_why() -> None:
    assert text.figure(Figure(value=None, unit="ms", reason="needs 53 more requests")) == "needs 53 more"
    assert text.figure(Figure(value=5.0, unit="ms", low=4.0, high=9.0, basis="requests")) == "5"  # not symmetric: no ±
    assert text.figure(None) == ""


def test_brackets_of_a_recipe_are_text() -> None:
    recipe = Recipe(
        name="odd",
        path="odd.yaml",
        text="",
        sha256="",
        recipe_version="2",
        model="m",
        runtime="vllm",
        description="[nightly] build [/opt/x]",
    )
    assert "[nightly] build [/opt/x]" in table.recipes([recipe], width=80, color=True)


def test_a_list_of_results_can_be_copied_from_at_80_columns() -> None:
    def summary(ident: str, state: str, verdict: str, decode_tok_s: float | None) -> Summary:
        return Summary(
            id=ident,
            path="x",
            started="2026-11-23T09:15:00.123+00:00",
            recipe="mistral-small-4-nvfp4-eagle",
            model="m",
            state=state,
            verdict=verdict,
            decode_tok_s=decode_tok_s,
        )

    found = [summary("ab12cd", "complete", "valid", 36.42), summary("ab12ce", "interrupted", "-", None)]
    shown = table.results(found, width=80, color=False)
    assert "ab12cd  2026-11-23 09:15  mistral-small-4-nvfp4-eagle      36.4  valid" in shown
    assert "ab12ce  2026-11-23 09:15  mistral-small-4-nvfp4-eagle            interrupted" in shown


def test_lists() -> None:
    assert "harness bench" in table.results([], width=80, color=False)
