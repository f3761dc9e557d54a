"""Recipe files into `Recipe`: what is understood, and the exact words of every refusal."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe.load import load, loads, slug

BASE = 'recipe_version: "2"\nmodel: org/m\nruntime: vllm\ncommand: vllm serve {model}\n'  # four lines


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        loads(text, "recipes/x.yaml")
    return str(caught.value)


def test_a_recipe_says_what_the_file_says(tmp_path: Path) -> None:
    text = (
        BASE
        + "container: image:1\nmin_nodes: 1\nenv:\n  A: 1\n  B: ''\n  C: $HOME\nmods: [mods/x]\nmetadata: {description: Tiny}\n"
    )
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    recipe = load(path)
    assert recipe.name == "tiny"
    assert recipe.path == str(path)
    assert recipe.text == text
    assert recipe.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (recipe.model, recipe.runtime, recipe.container, recipe.min_nodes, recipe.max_nodes) == (
        "org/m",
        "vllm",
        "image:1",
        1,
        None,
    )
    assert recipe.env == {"A": "1", "B": "", "C": "$HOME"}
    assert recipe.description == "Tiny"
    assert recipe.other == {"mods": ["mods/x"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "recipes/x.yaml: the file is empty\nHint: a recipe needs at least 'model:' and 'command:'"),
        (
            "- a\n",
            "recipes/x.yaml:1: not a recipe: the top level is not a mapping\n"
            "Hint: begin with 'recipe_version: \"2\"' and 'model: …'",
        ),
        ("command: x\n", "recipes/x.yaml:1: the recipe has no model\nHint: add 'model: <Hugging Face id or path>'"),
        (
            "include: a.yaml\n",
            "recipes/x.yaml:1: the recipe has no model\nHint: 'include:' is not read: write what it brings into this file",
        ),
        (BASE + "defualts: {}\n", "recipes/x.yaml:5: a recipe has no key 'defualts'\nHint: did you mean 'defaults'?"),
        (
            BASE + "harness: {}\nzork: 1\n",
            "recipes/x.yaml:6: a recipe has no key 'zork'\nHint: keys of your own belong under 'metadata:'",
        ),
        (
            BASE + "min_nodes: two\n",
            "recipes/x.yaml:5: min_nodes: expected a whole number, got text\nHint: write a whole number",
        ),
        (
            BASE + "max_nodes: true\n",
            "recipes/x.yaml:5: max_nodes: expected a whole number, got true or false\nHint: write a whole number",
        ),
        (
            BASE + "min_nodes: 4\nmax_nodes: 2\n",
            "recipes/x.yaml:6: min_nodes 4 and max_nodes 2 leave no number of machines\nHint: mend one of them",
        ),
        (
            BASE + "model_revision: 1234567\n",
            "recipes/x.yaml:5: model_revision: expected text, got a whole number\nHint: put it in quotes",
        ),
        (
            BASE + "defaults: 7\n",
            "recipes/x.yaml:5: defaults: expected a mapping, got a whole number\nHint: write it as indented 'key: value' lines",
        ),
        (BASE + "env:\n  - A=1\n", "recipes/x.yaml:5: env: expected a mapping, got a list\nHint: write NAME: value lines"),
        (
            BASE + "env:\n  A: {model}\n",
            "recipes/x.yaml:6: env.A: {model} without quotes is a YAML mapping\nHint: put it in quotes",
        ),
        (BASE + "env:\n  A:\n", "recipes/x.yaml:6: env.A has no value\nHint: write '' for an empty one"),
        (BASE + "env:\n  A-B: 1\n", "recipes/x.yaml:6: env: 'A-B' is not a variable's name\nHint: use letters, digits and _"),
        (
            BASE + "harness: 3\n",
            "recipes/x.yaml:5: harness: expected a mapping, got a whole number\nHint: write it as indented 'key: value' lines",
        ),
        (BASE + "harness:\n  expct: {}\n", "recipes/x.yaml:6: harness has no key 'expct'\nHint: did you mean 'expect'?"),
        (
            BASE + "harness:\n  notes: a\n",
            "recipes/x.yaml:6: harness.notes: expected a list, got text\nHint: write it in brackets: [ … ]",
        ),
        (
            BASE + "harness:\n  expect:\n    decode_tok_s: fast\n",
            "recipes/x.yaml:7: harness.expect.decode_tok_s: expected a number, got text\nHint: write a number",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      tgg: [1]\n",
            "recipes/x.yaml:8: harness.profiles.mine has no key 'tgg'\nHint: did you mean 'tg'?",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      pp: [64, long]\n",
            "recipes/x.yaml:8: harness.profiles.mine.pp[1]: expected a whole number, got text\nHint: write a whole number",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      pp: 128\n",
            "recipes/x.yaml:8: harness.profiles.mine.pp: expected a list, got a whole number\n"
            "Hint: write it in brackets: [ … ]",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      concurrency: [0]\n",
            "recipes/x.yaml:8: concurrency [0]: needs numbers of at least 1\nHint: write it like concurrency: [1]",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      percentile: 75\n",
            "recipes/x.yaml:8: percentile 75 is not one that is measured\nHint: choose one of 50, 90, 95, 99",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      runs: 30\n",
            "recipes/x.yaml:8: max_runs 20 is less than runs 30\nHint: raise max_runs, or lower runs",
        ),
        (
            BASE
            + "harness:\n  published:\n    - {metric: a, value: 1, unit: x, source: s, date: '2026'}\n"
            + "    - {metric: b, value: 1, unit: x, source: s}\n",
            "recipes/x.yaml:8: harness.published[1] has no 'date'\nHint: add 'date:'",
        ),
        (
            BASE + "harness:\n  published:\n    - {metric: a, unit: x, low: 1, source: s, date: '2026'}\n",
            "recipes/x.yaml:7: harness.published[0] has no 'value'\n"
            "Hint: add 'value:', or 'low:' and 'high:' where a range was published",
        ),
        (
            BASE + "harness:\n  published:\n    - {metric: a, unit: x, value: 1, pp: 0, source: s, date: '2026'}\n",
            "recipes/x.yaml:7: harness.published[0]: depth 0, pp 1, tg 1 and concurrency 1 are the least\nHint: mend that line",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      points: [[0, 64, 8, 1], [0, 64, 8, 0]]\n",
            "recipes/x.yaml:8: points: needs [depth, pp, tg, concurrency] of each\nHint: write it like points: [[0, 2048, 128, 1]]",
        ),
        (
            BASE + "harness:\n  profiles:\n    mine:\n      points: [[0, 64, 8, 1]]\n      rate: [1]\n",
            "recipes/x.yaml:8: points are for a closed loop of one shape\nHint: leave out rate and mix",
        ),
    ],
)
def test_refusals(text: str, said: str) -> None:
    assert refused(text) == said


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone.yaml: cannot be read: No such file"):
        load(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: a\nname: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"latin.yaml:2: not UTF-8 text"):
        load(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * 300_000)
    with pytest.raises(RecipeError, match="larger than 256 KiB"):
        load(tmp_path / "big.yaml")


def test_version_1_is_migrated() -> None:
    recipe = loads(
        'recipe_version: "1"\nname: A Big Model\nmodel: org/m\nsolo_only: true\ncluster_only: false\ncommand: vllm serve x\n',
        "v1.yaml",
    )
    assert (recipe.name, recipe.runtime, recipe.min_nodes, recipe.max_nodes) == ("A-Big-Model", "vllm", 1, 1)
    assert recipe.other == {"builder": "eugr"}
    cluster = loads("recipe_version: '1'\nmodel: org/m\ncluster_only: true\ncommand: vllm serve x\n", "v1.yaml")
    assert (cluster.min_nodes, cluster.max_nodes) == (2, None)


@pytest.mark.parametrize(
    ("more", "builder"),
    [
        ("", "eugr"),
        ("builder: ''\n", "eugr"),
        ("builder: mine\n", "mine"),
        ("runtime: vllm-ray\n", None),
        ("runtime: sglang\n", None),
    ],
)
def test_a_version_1_file_of_bare_vllm_is_built_by_eugr(more: str, builder: str | None) -> None:
    """As sparkrun 0.4.2 has it: also where Ray is then told by the command."""
    command = "command: vllm serve x --distributed-executor-backend ray\n"
    assert loads(f"recipe_version: '1'\nmodel: org/m\n{command}{more}", "v1.yaml").other.get("builder") == builder


@pytest.mark.parametrize(("mode", "nodes"), [("solo", (1, 1)), ("cluster", (2, 4)), ("auto", (2, 4))])
def test_mode_solo_is_one_machine(mode: str, nodes: tuple[int, int]) -> None:
    recipe = loads(f"model: org/m\nmode: {mode}\nmin_nodes: 2\nmax_nodes: 4\ncommand: vllm serve x\n", "x.yaml")
    assert (recipe.min_nodes, recipe.max_nodes) == nodes


@pytest.mark.parametrize(
    ("command", "runtime"),
    [
        ("vllm serve m", "vllm"),
        ("python3 -m sglang.launch_server --model-path m", "sglang"),
        ("sglang serve --model-path m", "sglang"),
        ("llama-server -m m", "llama-cpp"),
        ("trtllm-serve m", "trtllm"),
        ("./start.sh", "vllm"),
    ],
)
def test_the_runtime_is_told_by_the_command_where_it_is_not_given(command: str, runtime: str) -> None:
    assert loads(f"model: m\ncommand: {command}\n", "x.yaml").runtime == runtime
    assert loads(f"model: m\nruntime: atlas\ncommand: {command}\n", "x.yaml").runtime == "atlas"


@pytest.mark.parametrize(
    "oddity",
    [
        "env:\n",
        "env: []\n",
        "defaults:\n",
        "metadata:\n",
        "mods:\n",
        "runtime_config:\n",
        "container: ''\n",
        "recipe_version: 2\n",
        'recipe_version: "7"\n',
        "command_mtp: vllm serve y\n",
        "benchmark: fast\n",
        "xyzzy: 1\n",
        "defaults: {max-num-seqs: 4}\n",
        "volumes: {a: b}\n",
        "description: a\nmetadata: {description: b}\n",
    ],
)
def test_oddities_of_public_recipes_are_survived(oddity: str) -> None:
    recipe = loads("model: org/m\ncommand: vllm serve {model}\n" + oddity, "x.yaml")
    assert recipe.model == "org/m"


def test_dates_of_published_figures_need_no_quotes() -> None:
    text = BASE + "harness:\n  published:\n    - {metric: a, value: 1, unit: x, source: s, date: 2026-04-29}\n"
    assert loads(text, "x.yaml").harness.published[0].date == "2026-04-29"


@pytest.mark.parametrize(
    ("name", "slugged"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("OpenAI GPT-OSS 120B", "OpenAI-GPT-OSS-120B"),
        (".hidden", "hidden"),
        ("///", "recipe"),
        ("a\nb", "a-b"),
    ],
)
def test_a_name_can_be_a_folder(name: str, slugged: str) -> None:
    assert slug(name) == slugged
