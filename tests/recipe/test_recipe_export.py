"""Recipes as plain sparkrun v2: rendered again they give the same command, and no secret goes out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.errors import RecipeError
from harness.recipe import render
from harness.recipe.export import export
from harness.recipe.load import load, loads
from harness.schema.recipe import Recipe
from tests.recipe.test_recipe_shipped import SHIPPED, needs_public, public_recipes


def assert_same(recipe: Recipe) -> None:
    again = loads(export(recipe), "exported.yaml")
    assert render.command(again, render.namespace(again)) == render.command(recipe, render.namespace(recipe))
    for field in (
        "recipe_version",
        "model",
        "model_revision",
        "runtime",
        "container",
        "min_nodes",
        "max_nodes",
        "metadata",
        "env",
    ):
        assert getattr(again, field) == ("2" if field == "recipe_version" else getattr(recipe, field)), field
    assert again.harness == loads("model: m\n", "x").harness


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes(path: Path) -> None:
    assert_same(load(path))


@needs_public
def test_public_recipes() -> None:
    for path in public_recipes():
        assert_same(load(path))


V1 = """\
recipe_version: "1"
name: A Name
model: org/m
container: c/d:1
cluster_only: true
solo_only: false
mods: [mods/x]
build_args: [--tf5]
runtime_config:
env: {A: 1, B: $TOKEN, C: on}
defaults: {port: 8000, n: 3, when: 2026-04-29}
command: |
  vllm serve org/m --port {port} --x '{{"a": {n}}}' \\
    --when {when}
harness: {profile: quick, notes: [secret thoughts]}
"""


def test_version_1_comes_out_as_version_2() -> None:
    recipe = loads(V1, "a.yaml")
    out = yaml.safe_load(export(recipe))
    assert out == {
        "recipe_version": "2",
        "name": "A Name",
        "model": "org/m",
        "container": "c/d:1",
        "mods": ["mods/x"],
        "build_args": ["--tf5"],
        "env": {"A": "1", "B": "$TOKEN", "C": "True"},
        "defaults": {"port": 8000, "n": 3, "when": "2026-04-29"},
        "command": recipe.command,
        "min_nodes": 2,
        "runtime": "vllm",
        "builder": "eugr",
    }
    assert "command: |" in export(recipe)
    assert_same(recipe)


def test_a_mapping_is_json_to_both() -> None:
    recipe = loads("model: m\nruntime: vllm\ndefaults: {s: {a: [1, true]}}\ncommand: vllm serve {model} --x '{s}'\n", "x.yaml")
    assert yaml.safe_load(export(recipe))["defaults"] == {"s": '{"a":[1,true]}'}
    assert_same(recipe)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("env:\n  HF_TOKEN: hf_abcdefghijklmnopqrstuvwxyz\n", 5),
        ("env:\n  MY_PASSWORD: x\n", 5),
        ("defaults:\n  api_key: x\n", 5),
        ("metadata:\n  note: hf_abcdefghijklmnopqrstuvwxyz\n", 1),
        ("post_commands:\n  - curl --api-key abc\n", 1),
    ],
)
def test_a_secret_stays_here(more: str, line: int) -> None:
    recipe = loads("model: m\nruntime: vllm\ncommand: vllm serve {model}\n" + more, "x.yaml")
    with pytest.raises(RecipeError, match=rf"^x.yaml:{line}: a secret in plain text"):
        export(recipe)


def test_references_go_out_as_they_are() -> None:
    recipe = loads("model: m\nruntime: vllm\ncommand: vllm serve {model}\nenv: {HF_TOKEN: $HF_TOKEN}\n", "x.yaml")
    assert yaml.safe_load(export(recipe))["env"] == {"HF_TOKEN": "$HF_TOKEN"}
