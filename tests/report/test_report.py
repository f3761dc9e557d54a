"""What people read: golden texts, honest rounding, and commands that can be pasted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import plan_text, table, text
from harness.schema.result import Figure
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


def test_lists() -> None:
    assert "harness bench" in table.results([], width=80, color=False)
