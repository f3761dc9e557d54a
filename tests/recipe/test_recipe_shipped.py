"""The recipes, profiles and schema that come with the harness, and the public ones they must agree with."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import yaml

from harness.errors import RecipeError
from harness.recipe import catalog, lint, render, schema_json
from harness.recipe.load import load, loads
from harness.recipe.resolve import RUNTIMES
from harness.schema.recipe import HarnessBlock

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))
SCHEMA = ROOT / "harness" / "recipe" / "recipe.schema.json"

PUBLIC = Path(os.environ.get("HARNESS_PUBLIC_RECIPES") or ROOT.parent / "shared" / "real-recipes")
"""spark-arena/recipe-registry at 3075780, with sparkrun 0.4.2's rendering of every recipe."""
needs_public = pytest.mark.skipif(
    not PUBLIC.is_dir(), reason=f"no public recipes in {PUBLIC} (HARNESS_PUBLIC_RECIPES names another folder)"
)


def test_the_promised_recipes_are_there() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "smollm2-135m-cpu",
        "smollm2-135m-vllm-cpu",
        "smollm2-135m-vllm-cpu-ngram",
        "smollm2-135m-sglang-cpu",
        "mistral-small-4-nvfp4-eagle",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_sound(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem, "found by one name"
    assert recipe.recipe_version == "2"
    assert recipe.runtime in RUNTIMES
    assert recipe.description
    assert recipe.text.startswith("# yaml-language-server: $schema=../harness/recipe/recipe.schema.json\n")
    assert not [finding for finding in lint.lint(recipe) if finding.severity == "error"]
    assert render.used(recipe) <= {*recipe.defaults, "model", "model_revision"}
    assert set(recipe.defaults) <= render.used(recipe), "no default without an effect"
    assert recipe.harness.expect.decode_tok_s
    assert recipe.harness.profile in {*recipe.harness.profiles, *catalog.profiles()}


@pytest.mark.parametrize("path", [path for path in SHIPPED if "\ncontainer:" in path.read_text()], ids=lambda path: path.stem)
def test_every_line_of_a_system_we_never_ran_says_where_it_is_from(path: Path) -> None:
    recipe = load(path)
    lines = recipe.text.splitlines()
    inside = lines[lines.index("defaults:") + 1 : lines.index("env:")]
    inside += [line for line in lines if line.startswith(("model", "runtime", "container"))]
    assert [line for line in inside if line.strip() and not line.strip().startswith("#") and " # " not in line] == []
    assert all(figure.source and figure.date for figure in recipe.harness.published)
    assert recipe.harness.published


def test_the_schema_is_in_step() -> None:
    code = "from harness.recipe.schema_json import generate as g; print(g(), end='')"
    renew = f'renew it: python -c "{code}" > harness/recipe/recipe.schema.json'
    assert SCHEMA.read_text() == schema_json.generate(), renew


def test_the_schema_knows_every_key_of_the_harness_block() -> None:
    schema = msgspec.json.decode(SCHEMA.read_bytes())
    assert set(schema["$defs"]["HarnessBlock"]["properties"]) == {field.name for field in msgspec.structs.fields(HarnessBlock)}
    assert schema["properties"]["harness"]["$ref"] == "#/$defs/HarnessBlock"
    for path in SHIPPED:
        assert set(yaml.safe_load(path.read_text())) <= set(schema["properties"])


def public_recipes() -> list[Path]:
    return sorted(path for path in PUBLIC.rglob("*.yaml") if path.parent.name != "benchmarking")


@needs_public
def test_all_public_recipes_load_and_render_as_sparkrun_renders_them() -> None:
    """Also those for two and four machines: only a plan needs to know how many there are."""
    rendered = msgspec.json.decode((PUBLIC / "sparkrun-0.4.2-rendered.json").read_bytes())
    assert len(rendered) == len(public_recipes()) == 37
    for path in public_recipes():
        recipe = load(path)
        theirs = rendered[str(path.relative_to(PUBLIC))]
        assert render.command(recipe, render.namespace(recipe)) == theirs["cmd"], path
        assert render.words(theirs["cmd"]), f"{path} needs no shell"
        assert (recipe.min_nodes, recipe.max_nodes) == (theirs["min"], theirs["max"]), path
        assert {"vllm": "vllm-distributed"}.get(recipe.runtime, recipe.runtime) == theirs["rt"], path
        lint.lint(recipe)


@needs_public
@pytest.mark.parametrize("name", ["spark-arena-v1", "spark-arena-v2"])
def test_the_arenas_grids_are_the_published_ones(name: str) -> None:
    theirs = yaml.safe_load((PUBLIC / "benchmarking" / f"{name}.yaml").read_text())
    ours = catalog.profiles()[name]
    for key in ("depth", "pp", "tg", "concurrency"):
        assert list(getattr(ours, key)) == theirs["args"][key]
    assert ours.prefix_caching is theirs["args"]["prefix_caching"] is True
    assert ours.runs == ours.max_runs == theirs["args"].get("runs", 3)
    order = [(step["depth"], step["concurrency"]) for step in theirs["schedule"]] if "schedule" in theirs else None
    assert (list(ours.schedule) if ours.schedule else None) == order
    assert ours.requests_per_slot == 1
    assert ours.target is None


@needs_public
@pytest.mark.parametrize("cut", range(0, 600, 60))
def test_a_recipe_that_breaks_off_never_crashes(cut: int) -> None:
    for path in public_recipes()[:8]:
        with suppress(RecipeError):
            lint.lint(loads(path.read_text()[:cut], "x.yaml"))
