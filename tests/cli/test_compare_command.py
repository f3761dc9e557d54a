"""`harness compare` on the whole command: two paced servers of known speed in turns, their results read, and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from harness import compare, reproduce
from harness.errors import UsageError
from harness.schema.contrast import FASTER, NOT_TOLD, Contrasts
from harness.store import folder

RECIPE = """\
recipe_version: "2"
name: {name}
model: m
runtime: openai
max_nodes: 1
defaults: {{port: 8123, tpot: {tpot}}}
command: {python} -m harness.engines.paced --port {{port}} --ttft-ms 10 --tpot-ms {{tpot}}
harness:
  engine: paced
  profiles:
    short: {{pp: [64], tg: [32], requests: 2, runs: 2, max_runs: 2, target: null, idle_seconds: 0}}
    code: {{pp: [64], tg: [32], requests: 2, runs: 2, max_runs: 2, target: null, idle_seconds: 0, prompt_class: code}}
"""


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def recipes(cwd: Path) -> None:
    for name, tpot in (("slow", 5), ("fast", 4)):
        (cwd / f"{name}.yaml").write_text(RECIPE.format(name=name, tpot=tpot, python=sys.executable))


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contrasts]:
    root = tmp_path_factory.mktemp("turns")
    recipes(root)
    done = harness(root, "compare", "slow.yaml", "fast.yaml", "--profile", "short", "--blocks", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert "4 runs in turns, ABBA" in done.stderr
    return root, msgspec.json.decode(done.stdout, type=Contrasts)


def test_recipes_are_measured_in_turns(turns: tuple[Path, Contrasts]) -> None:
    root, found = turns
    paths = {path.name.rpartition("-")[2]: path for path in root.glob("results/[!.]*/*")}
    assert [paths[each].parent.name for each in found.results] == ["slow", "fast", "fast", "slow"]
    began = [folder.read_result(paths[each]).anchor.wall for each in found.results]
    assert began == sorted(began)
    (rate,) = [each for each in found.contrasts if each.metric == "decode_tok_s"]
    assert rate.ratio == pytest.approx(1.25, rel=0.03)
    assert (rate.word, rate.p) == (NOT_TOLD, 1.0), "one block says nothing"
    assert "1 block is too few to tell the two apart: it takes 6" in found.notes
    assert "A  slow" in (paths[found.results[-1]] / "comparison.txt").read_text()


def test_ctrl_c_keeps_the_blocks_that_are_whole(tmp_path: Path) -> None:
    recipes(tmp_path)
    words = ("compare", "slow.yaml", "fast.yaml", "--profile", "short", "--blocks", "2", "--runs", "1", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        deadline = time.monotonic() + 100
        while len(list(tmp_path.glob("results/[!.]*/*"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    found = msgspec.json.decode(out, type=Contrasts)
    assert (found.blocks, len(found.results)) == (1, 4)
    assert "it was ended after 1 of 2 blocks" in found.notes
    assert len(list(tmp_path.glob("results/*/*/comparison.txt"))) == 1


def test_what_some_runs_lack_and_how_any_of_them_was_is_said(turns: tuple[Path, Contrasts]) -> None:
    root, found = turns
    paths = {path.name.rpartition("-")[2]: path for path in root.glob("results/[!.]*/*")}
    a, b, c, d = (reproduce.read(paths[each]) for each in found.results)
    (cell,) = d.result.cells
    bare = replace(cell, figures={name: figure for name, figure in cell.figures.items() if name != "ttft_ms"})
    odd = replace(d, result=replace(d.result, cells=(bare,), state="interrupted"))
    more = replace(b, result=replace(b.result, cells=(*b.result.cells, replace(cell, cell=replace(cell.cell, id="more")))))
    made = compare.of_blocks([([a, odd], [more, c])], found.results, 1)
    assert f"{cell.cell.id}, ttft_ms: some of the runs do not have it" in made.left_out
    assert f"more: result {a.result.id} has no such cell" in made.left_out
    assert any(d.result.id in note and "ended early" in note for note in made.notes)


def test_what_was_told_to_be_compared_all_the_same_says_so(turns: tuple[Path, Contrasts]) -> None:
    root, found = turns
    plan = next(root.glob(f"results/*/*-{found.results[3]}/plan.json"))
    before = plan.read_text()
    plan.write_text(before.replace('"temperature": 0.0', '"temperature": 0.5'))
    names = ("compare", found.results[1], found.results[3])
    refused = harness(root, *names)
    assert (refused.returncode, "temperature 0.0, and now 0.5" in refused.stderr) == (UsageError.exit_code, True)
    told = harness(root, *names, "--unlike")
    assert told.returncode == 0, told.stderr
    assert "the conditions are not the same: temperature 0.0, and now 0.5" in " ".join(told.stdout.split())
    plan.write_text(before)


def test_results_are_read(turns: tuple[Path, Contrasts]) -> None:
    root, found = turns
    done = harness(root, "compare", found.results[0], found.results[1])
    assert done.returncode == 0, done.stderr
    page = " ".join(done.stdout.split())
    assert "two results were read" in page
    said = harness(root, "compare", found.results[0], found.results[1], "--json")
    (rate,) = [each for each in msgspec.json.decode(said.stdout, type=Contrasts).contrasts if each.metric == "decode_tok_s"]
    assert rate.ratio == pytest.approx(1.25, rel=0.03)
    assert rate.p is None
    assert rate.word == FASTER


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("slow.yaml", "latest"), "one is a recipe and the other a result"),
        (("slow.yaml", "fast.yaml", "--blocks", "0"), "--blocks 0: 1 to 12 are possible"),
        (("latest", "latest", "--blocks", "6"), "two results are only read"),
        (("slow.yaml", "other.yaml", "--dry-run"), "prompt_class prose, and now code"),
    ],
)
def test_what_is_refused(turns: tuple[Path, Contrasts], words: tuple[str, ...], text: str) -> None:
    root, _ = turns
    other = (
        (root / "fast.yaml")
        .read_text()
        .replace("harness:\n", "harness:\n  profile: code\n")
        .replace("name: fast", "name: other")
    )
    (root / "other.yaml").write_text(other)
    slow = (
        (root / "fast.yaml")
        .read_text()
        .replace("harness:\n", "harness:\n  profile: short\n")
        .replace("name: fast", "name: slow")
    )
    (root / "slow.yaml").write_text(slow)
    done = harness(root, "compare", *words)
    assert done.returncode == UsageError.exit_code, done.stdout + done.stderr
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    if words[1] == "other.yaml":
        told = harness(root, "compare", *words, "--unlike")
        assert told.returncode == 0
        assert "24 runs in turns, ABBABAABABBABAABABBABAAB" in told.stdout
