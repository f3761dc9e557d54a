"""Every shape that a survey of 550 public recipes found (November 2026): survived, or refused in two lines. The files are ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe import catalog, render
from harness.recipe.lint import lint
from harness.recipe.load import load, loads
from tests.recipe.plans import argv, plan

BASE = "model: org/m\nruntime: vllm\n"
SERVE = BASE + "command: vllm serve {model} --port 8000\n"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ('recipe_version: "1"\nname: One\ncontainer: \'\'\nmodel: org/m\ncommand: vllm serve {model}\n', "vllm serve org/m"),
        (SERVE + "recipe_version: '4'\n", "vllm serve org/m"),
        (SERVE + "env:\n", "vllm serve org/m"),
        (SERVE + "env: []\n", "vllm serve org/m"),
        (SERVE + "env: {A: 1, B: '', C: $HOME/x, D: '{model}'}\n", "vllm serve org/m"),
        (SERVE + "mods:\nruntime_config:\ncontainer: ''\n", "vllm serve org/m"),
        (SERVE + "mods: [mods/a, b, '@scope/c']\nbuild_args: [--tf5]\n", "vllm serve org/m"),
        (SERVE + "volumes: ['/a:/b']\nbenchmark: {claimed_speed: fast}\ncommand_mtp: vllm serve y\nspecs: {x: 1}\n", "vllm serve org/m"),
        (SERVE + "metadata: {description: b}\ndescription: a\n", "vllm serve org/m"),
        (SERVE + "container: a/b:1\ncontainer: a/c:2\n", "a/c:2 vllm serve org/m"),
        (SERVE.replace("\n", "\r\n"), "vllm serve org/m"),
        (BASE + 'command: |\n  vllm serve {model} \\\n    --port 8000 \\\n', "vllm serve org/m --port 8000"),
        (BASE + 'command: "vllm serve {model} \\\\  \\n  --port 8000"\n', "vllm serve org/m --port 8000"),
        (BASE + "command: |\n  # why\n  vllm serve {model} --port 8000\n", "bash -c # why\nvllm serve org/m --port 8000"),
        (BASE + "command: export A=1 && vllm serve {model}\n", "bash -c export A=1 && vllm serve org/m"),
        (BASE + "command: vllm serve {model} --x ${CUDA_HOME}\n", "bash -c vllm serve org/m --x ${CUDA_HOME}"),
        (BASE + "defaults: {max-num-seqs: 4}\ncommand: vllm serve {model} --max-num-seqs {max-num-seqs}\n", "--max-num-seqs 4"),
        (BASE + "defaults: {max_model_len: auto}\ncommand: vllm serve {model} --max-model-len {max_model_len}\n", "--max-model-len auto"),
        (BASE + "defaults: {c: '{\"a\":{\"b\":1}}'}\ncommand: vllm serve {model} --x '{c}'\n", '--x {"a":{"b":1}}'),
        (BASE + "defaults: {n: 3}\ncommand: |\n  vllm serve {model} --x '{{\"a\": {n}}}'\n", '--x {"a": 3}'),
        (BASE + "defaults: {n: 3}\ncommand: |\n  vllm serve {model} --x '{\"a\": {n}}'\n", '--x {"a": 3}'),
        ("model: org/m:Q4_K_M\nruntime: llama-cpp\ncommand: llama-server -hf {model}\n", "llama-server -hf org/m:Q4_K_M"),
        ("model: local:/models/m\nruntime: vllm\ncommand: vllm serve {model}\n", "vllm serve local:/models/m"),
        ("model: ~/models/m\nruntime: vllm\ncommand: vllm serve {model}\n", "bash -c vllm serve ~/models/m"),
    ],
)  # fmt: skip
def test_survived(text: str, runs: str) -> None:
    assert runs in argv(plan(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "recipes/x.yaml: the file is empty"),
        ("container: a/b:1\ncommand: x\n", "recipes/x.yaml:1: the recipe has no model"),
        ("model: org/m\nruntime: atlas\n", "recipes/x.yaml:2: the harness cannot start the runtime 'atlas'"),
        ("model: org/m\nruntime: ds4-cuda\nlaunch: {}\n", "recipes/x.yaml:2: the harness cannot start the runtime 'ds4-cuda'"),
        ("model: org/m\nruntime: vllm\n", "recipes/x.yaml:1: the recipe has no command"),
        (SERVE + "env: [A=1]\n", "recipes/x.yaml:4: env: expected a mapping, got a list"),
        (SERVE + "env:\n  A: {model}\n", "recipes/x.yaml:5: env.A: {model} without quotes is a YAML mapping"),
        (SERVE + "max_nodes: '2'\n", "recipes/x.yaml:4: max_nodes: expected a whole number, got text"),
        (SERVE + "cluster_only: true\n", "recipes/x.yaml:1: the recipe needs 2 machines, and this plan is for one"),
        (BASE + "command: serve {model}\n", "recipes/x.yaml:3: the command begins with 'serve', which is no program"),
        (
            BASE + "command: |\n  vllm serve {model}\n    --x {kv_cache_dtype}\n",
            "recipes/x.yaml:5: the command's {kv_cache_dtype} has no value",
        ),
        (BASE + "command: vllm serve {model} --port ${PORT}\n", "recipes/x.yaml:3: --port ${PORT} is not a port"),
        (
            "model: ~/models/m\nruntime: vllm\ncontainer: a/b:1\ncommand: vllm serve {model}\n",
            "recipes/x.yaml:1: ~/models/m means another folder in a container",
        ),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(text)
    message, hint = str(caught.value).splitlines()
    assert message == said
    assert hint.startswith("Hint: ")


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        ("env:\n  A: $HOME/x\n", "5: note: '$HOME/x' is passed on as it stands"),
        ("env:\n  A: '{launch.node_rank}'\n", "5: warning: '{launch.node_rank}' is passed on as it stands"),
        ("volumes: {/var/run/docker.sock: /var/run/docker.sock}\n", "4: error: it hands Docker's socket to the container"),
        ("recipe_version: '7'\n", "4: note: recipe_version '7' is not a version of the format"),
        ("container: a\ncontainer: b/c:1\n", "5: warning: 'container' stands twice; the value of line 5 counts"),
        ("mods: [mods/a]\n", "4: note: 'mods' is not applied"),
        ("command: serve {model}\n", "4: error: the command begins with 'serve', which is no program"),
    ],
)
def test_what_lint_says_of_them(more: str, finding: str) -> None:
    found = [str(f).removeprefix("x.yaml:") for f in lint(loads(SERVE + more, "x.yaml"))]
    assert any(line.startswith(finding) for line in found), found


def test_a_reference_to_a_variable_is_no_remark() -> None:
    assert not [f for f in lint(loads(SERVE + "env: {A: $HOME, B: '${HOME}', C: 1}\n", "x.yaml")) if "passed on" in f.text]


def test_two_names_to_serve_under_are_two_words_and_the_first_is_asked_for() -> None:
    made = plan(
        BASE + "defaults: {served_model_name: one two}\ncommand: vllm serve {model} --served-model-name {served_model_name}\n"
    )
    assert "--served-model-name one two" in argv(made)
    assert made.served_model == "one"


@pytest.mark.parametrize(
    ("more", "runtime"),
    [
        ("command: vllm serve {model} --distributed-executor-backend ray\n", "vllm-ray"),
        ("defaults: {distributed_executor_backend: ray}\ncommand: vllm serve {model}\n", "vllm-ray"),
        ("defaults: {d: ray}\ncommand: vllm serve {model} --distributed-executor-backend {d}\n", "vllm"),
        ("runtime: vllm-distributed\ncommand: vllm serve {model} --distributed-executor-backend ray\n", "vllm-distributed"),
    ],
)
def test_ray_is_told_as_sparkrun_tells_it(more: str, runtime: str) -> None:
    assert loads("model: org/m\n" + more, "x.yaml").runtime == runtime


def test_a_file_whose_name_looks_like_yaml(tmp_path: Path) -> None:
    path = tmp_path / "name: odd-one.yaml"
    path.write_text(SERVE)
    assert load(path).name == "name-odd-one"
    assert catalog.find("name: odd-one", [tmp_path]) == path
    assert catalog.find("name-odd-one", [tmp_path]) == path
    path.write_text("model: org/m\nruntime: vllm\ncommand: vllm serve {no}\n")
    recipe = load(path)
    with pytest.raises(RecipeError, match=r"name: odd-one\.yaml:3: the command's {no} has no value"):
        render.command(recipe, render.namespace(recipe))
