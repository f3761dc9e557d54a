"""`harness reproduce` on the whole command: the paced server at the published speed and off it, noisy, and a result measured again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import Inconclusive, InvalidResult, NotReproduced, RecipeError, UsageError
from harness.schema.reproduction import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Reproduction
from harness.store import folder
from tests.paced_server import paced

pytestmark = pytest.mark.quiet

RECIPE = """\
recipe_version: "2"
name: known
model: m
runtime: openai
harness:
  profiles:
    short: {pp: [64], tg: [48], concurrency: [1, 4], requests: 4, runs: 3, max_runs: 40, target: 0.005}
    noisy: {pp: [64], tg: [16], requests: 3, runs: 3, max_runs: 3, target: null}
  published:
"""
BY = "source: the server itself, date: 2026-11-25"
TPOT_MS = 4.0
"""250 tok/s."""


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def recipe(cwd: Path, *published: str, name: str = "x.yaml") -> str:
    (cwd / name).write_text(RECIPE + "".join(f"    - {{{figure}, {BY}}}\n" for figure in published))
    return name


def decode(value: float, more: str = "") -> str:
    return f"metric: decode_tok_s, value: {value}, unit: tok/s{more}"


def said(done: subprocess.CompletedProcess[str]) -> Reproduction:
    return msgspec.json.decode(done.stdout, type=Reproduction)


def verdicts(found: Reproduction) -> list[str]:
    return [comparison.verdict for comparison in found.comparisons]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Published: what the server does, 2 % less, 10 % more, a range, and what cannot be tested."""
    root = tmp_path_factory.mktemp("reproduced")
    name = recipe(
        root,
        decode(250, ", concurrency: 1"),
        decode(245),
        decode(275),
        "metric: ttft_ms, low: 5, high: 40, unit: ms, pp: 64",
        "metric: power_w, value: 140, unit: W",
        decode(300, ", concurrency: 64, not_tested: another draft length"),
    )
    with paced(ttft_ms=10, tpot_ms=TPOT_MS) as server:
        return root, harness(root, "reproduce", name, "--url", server.url, "--profile", "short")


def test_figure_by_figure(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, done = measured
    assert done.returncode == NotReproduced.exit_code, done.stderr
    found = said(harness(root, "reproduce", "x.yaml", "--with", "latest", "--json"))
    assert verdicts(found) == [REPRODUCED, REPRODUCED, NOT_REPRODUCED, REPRODUCED, NOT_TESTED, NOT_TESTED]
    one, _, far, ttft, power, other = found.comparisons
    assert (one.claim.metric, one.claim.compared, one.claim.cell) == ("decode_tok_s", "decode_tok_s_n1", "d0-pp64-tg48-c1")
    assert one.ratio == pytest.approx(1, abs=0.02)
    assert far.ratio == pytest.approx(250 / 275, abs=0.02)
    assert (ttft.claim.cell, ttft.ratio) == ("d0-pp64-tg48-c1", None)
    assert (power.measured, power.claim.cell) == (None, None)
    assert (other.reason, other.claim.cell) == ("another draft length", None)


def test_the_page_names_what_it_rests_on(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, done = measured
    (path,) = root.glob("results/[!.]*/*")
    for page in (done.stdout, (path / "reproduction.txt").read_text()):
        text = " ".join(page.split())
        assert "decode_tok_s is compared with decode_tok_s_n1" in text
        assert "[1] the server itself, 2026-11-25" in text
        assert "power_w [1]: not tested: its meter is not said" in text
    assert harness(root, "verify").returncode == 0
    assert harness(root, "results", "show").returncode == 0


@pytest.mark.parametrize(
    ("published", "code"),
    [
        ((decode(250), decode(245)), 0),
        ((decode(250), "metric: power_w, value: 140, unit: W"), 0),
        ((decode(242.5),), None),
        ((decode(275),), NotReproduced.exit_code),
        ((decode(250, ", pp: 4096"),), Inconclusive.exit_code),
    ],
)
def test_exit_codes(
    measured: tuple[Path, subprocess.CompletedProcess[str]], published: tuple[str, ...], code: int | None
) -> None:
    root, _ = measured
    name = recipe(root, *published, name="other.yaml")
    done = harness(root, "reproduce", name, "--with", "latest", "--json")
    expected = {REPRODUCED: 0, NOT_REPRODUCED: NotReproduced.exit_code, INCONCLUSIVE: Inconclusive.exit_code}
    assert done.returncode == (expected[verdicts(said(done))[0]] if code is None else code), done.stderr


def test_three_noisy_runs_are_inconclusive(tmp_path: Path) -> None:
    """Each answer's pace is off by up to 20 %."""
    name = recipe(tmp_path, decode(250))
    with paced(ttft_ms=5, tpot_ms=TPOT_MS, jitter=0.2) as server:
        done = harness(tmp_path, "reproduce", name, "--url", server.url, "--profile", "noisy", "--json")
    (comparison,) = said(done).comparisons
    assert comparison.verdict == INCONCLUSIVE
    assert "more runs would narrow it" in comparison.reason
    assert done.returncode == Inconclusive.exit_code


def test_a_result_is_measured_again_as_it_was(tmp_path: Path) -> None:
    grid = ("--pp", "64", "--tg", "16", "--concurrency", "1", "--requests", "3", "--runs", "2", "--seed", "7")
    with paced(ttft_ms=5, tpot_ms=TPOT_MS) as server:
        first = harness(tmp_path, "bench", "--url", server.url, "--profile", "quick", *grid, "--json")
        then = msgspec.json.decode(first.stdout)["id"]
        done = harness(tmp_path, "reproduce", then, "--pin", "0", "--json")
    found = said(done)
    assert found.of == then
    one, two = sorted(tmp_path.glob("results/[!.]*/*"), key=lambda path: path.name.endswith(found.result))
    plans = [folder.read_origin(path)[0] for path in (one, two)]
    assert plans[0].workload == plans[1].workload
    assert plans[0].workload.seed == 7
    rates = [each for each in found.comparisons if each.claim.metric == "decode_tok_s"]
    assert [each.claim.cell for each in rates] == ["d0-pp64-tg16-c1"]
    assert {each.claim.compared for each in rates} == {"decode_tok_s"}
    assert {each.claim.source for each in rates} == {f"result {then}"}
    assert {each.verdict for each in rates} <= {REPRODUCED, INCONCLUSIVE}
    assert [(each.what, each.then, each.now) for each in found.differences] == [("driver's cores", "", "0")]
    assert done.returncode in (0, Inconclusive.exit_code, InvalidResult.exit_code)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nosuch",), RecipeError.exit_code, "no recipe is called 'nosuch'"),
        (("smollm2-135m-cpu",), RecipeError.exit_code, "names no published figures"),
        (("x.yaml", "--profile", "ramp"), RecipeError.exit_code, "profile ramp is no closed loop"),
        (("watts.yaml",), RecipeError.exit_code, "no published figure can be tested: power_w: its meter is not said"),
        (
            ("y.yaml",),
            RecipeError.exit_code,
            "y.yaml:10: harness.published[0]: depth 0, pp 1, tg 1 and concurrency 1 are the least",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, words: tuple[str, ...], code: int, text: str) -> None:
    recipe(tmp_path, decode(250))
    recipe(tmp_path, "metric: power_w, value: 140, unit: W", name="watts.yaml")
    recipe(tmp_path, decode(250, ", concurrency: 0"), name="y.yaml")
    done = harness(tmp_path, "reproduce", *words, "--url", "http://127.0.0.1:9")
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


def test_a_dry_run_shows_the_conditions(tmp_path: Path) -> None:
    name = recipe(tmp_path, decode(250), decode(150, ", pp: 96, concurrency: 4"), decode(100, ", depth: 4096"))
    done = harness(tmp_path, "reproduce", name, "--url", "http://127.0.0.1:9", "--profile", "short", "--dry-run", "--json")
    cells = msgspec.json.decode(done.stdout)["workload"]["cells"]
    assert [cell["id"] for cell in cells] == ["d0-pp64-tg48-c1", "d0-pp96-tg48-c4", "d4096-pp64-tg48-c1"]
    assert [cell["requests"] for cell in cells] == [4, 4, 4]
    assert not (tmp_path / "results").exists()


def test_a_result_has_a_profile_of_its_own(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, _ = measured
    done = harness(root, "reproduce", "latest", "--profile", "quick")
    assert done.returncode == UsageError.exit_code
    assert "a result is measured again as it was" in done.stderr
