"""The recipes, profiles and schema that come with the harness, and the public ones they must agree with."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import yaml

from harness import fits
from harness.errors import RecipeError
from harness.measure.given import MEMORY_BYTES_S
from harness.measure.metrics import METRICS
from harness.recipe import catalog, lint, render, schema_json
from harness.recipe.load import load, loads
from harness.recipe.resolve import RUNTIMES
from harness.schema.machine import Gpu
from harness.schema.recipe import HarnessBlock, Recipe
from harness.weights.metadata import from_metadata
from tests.recipe.plans import MACHINE

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))
SCHEMA = ROOT / "harness" / "recipe" / "recipe.schema.json"

PUBLIC = Path(os.environ.get("HARNESS_PUBLIC_RECIPES") or ROOT.parent / "shared" / "real-recipes")
"""spark-arena/recipe-registry at 3075780, with sparkrun 0.4.2's rendering of every recipe."""
needs_public = pytest.mark.skipif(
    not PUBLIC.is_dir(), reason=f"no public recipes in {PUBLIC} (HARNESS_PUBLIC_RECIPES names another folder)"
)


CONFIGURATIONS = Path(os.environ.get("HARNESS_RESEARCH") or ROOT.parent / "shared" / "research") / "launch-configs"
"""The public configurations that the recipes were made of, as they were collected in November 2026."""
COLLECTED = {
    "1a-mistral-small-4-119b-nvfp4-eagle-sglang": "mistral-small-4-nvfp4-eagle",
    "1b-mistral-small-4-119b-nvfp4-vllm": "mistral-small-4-nvfp4-vllm",
    "1c-mistral-small-4-119b-nvfp4-eagle-vllm": "mistral-small-4-nvfp4-eagle-vllm",
    "2-qwen3.5-0.8b-bf16-sglang": "qwen3.5-0.8b-bf16-sglang",
    "3a-qwen3.6-35b-a3b-prismaquant-mtp": "qwen3.6-35b-a3b-prismaquant-mtp",
    "3b-qwen3.6-35b-a3b-prismaquant-dflash": "qwen3.6-35b-a3b-prismaquant-dflash",
    "3c-qwen3.6-35b-a3b-int4-autoround-dflash": "qwen3.6-35b-a3b-int4-autoround-dflash",
    "4a-gpt-oss-120b-mxfp4-1node": "gpt-oss-120b-mxfp4",
    "4b-gpt-oss-120b-mxfp4-2node": "gpt-oss-120b-mxfp4-2x",
    "4c-gpt-oss-120b-mxfp4-4node-INFERRED": "gpt-oss-120b-mxfp4-4x",
    "5a-qwen3-coder-next-int4-official": "qwen3-coder-next-int4-official",
    "5b-qwen3-coder-next-int4-fixed": "qwen3-coder-next-int4",
    "6a-gemma-4-26b-a4b-fp8-1node": "gemma-4-26b-a4b-fp8",
    "6b-gemma-4-26b-a4b-fp8-4node-INFERRED": "gemma-4-26b-a4b-fp8-4x",
}
NEVER_RUN = {*COLLECTED.values(), "mistral-small-4-nvfp4"}
"""Recipes of systems that none of us has."""
SYSTEMS = [path for path in SHIPPED if path.stem in NEVER_RUN]
CPU = {
    "smollm2-135m-cpu",
    "smollm2-135m-vllm-cpu",
    "smollm2-135m-vllm-cpu-ngram",
    "smollm2-135m-sglang-cpu",
    "tiny-vllm-cpu-2-machines",
}
WARNED = {
    "qwen3.6-35b-a3b-prismaquant-mtp": {"'vllm-node-tf5'"},
    "qwen3.6-35b-a3b-prismaquant-dflash": {"'vllm-node-tf5'"},
    "qwen3.6-35b-a3b-int4-autoround-dflash": {"'vllm-node'"},
    "gpt-oss-120b-mxfp4-2x": {"'vllm-node-mxfp4'"},
    "gpt-oss-120b-mxfp4-4x": {"'vllm-node-mxfp4'"},
    "qwen3-coder-next-int4": {"'vllm-node-tf5'"},
    "qwen3-coder-next-int4-official": {"'ghcr.io/spark-arena/dgx-vllm-eugr-nightly-tf5:latest'"},
    "gemma-4-26b-a4b-fp8": {"'ghcr.io/spark-arena/dgx-vllm-eugr-nightly-tf5:latest'"},
    "gemma-4-26b-a4b-fp8-4x": {"'vllm-node'"},
}
"""What lint warns of in them: facts of the published systems, each of which a note of the recipe explains."""
NO_METER = "power_w"
"""Published watts whose meter was not said: none of our scopes."""


def test_the_promised_recipes_are_there() -> None:
    assert {path.stem for path in SHIPPED} == CPU | NEVER_RUN


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_sound(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem, "found by one name"
    assert recipe.recipe_version == "2"
    assert recipe.runtime in RUNTIMES
    assert recipe.description
    assert recipe.text.startswith("# yaml-language-server: $schema=../harness/recipe/recipe.schema.json\n")
    assert render.used(recipe) <= {*recipe.defaults, "model", "model_revision"}
    assert set(recipe.defaults) <= render.used(recipe), "no default without an effect"
    assert render.words(render.command(recipe, render.namespace(recipe))), "needs no shell"
    assert recipe.harness.expect.decode_tok_s
    assert recipe.harness.profile in {*recipe.harness.profiles, *catalog.profiles()}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_lint_has_nothing_but_what_the_notes_explain(path: Path) -> None:
    recipe = load(path)
    found = lint.lint(recipe)
    assert [finding for finding in found if finding.severity == "error"] == []
    warned = {finding.text.split(" ")[0] for finding in found if finding.severity == "warning"}
    assert warned == WARNED.get(path.stem, set())
    notes = " ".join(recipe.harness.notes)
    for subject in warned:
        assert subject in notes or ("image" in notes and "local" in notes) or "moving tag" in notes, subject


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_every_line_of_a_system_we_never_ran_says_where_it_is_from(path: Path) -> None:
    """Lines of the metadata have one source together, unless they name another. Flags without a value cannot have a comment of their own
    in the command, so the lines above it name them."""
    recipe = load(path)
    lines = recipe.text.splitlines()
    top = [at for at, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    sections = {lines[at].split(":")[0]: lines[at:end] for at, end in zip(top, [*top[1:], len(lines)], strict=True)}
    inside = [lines[at] for at in top if not lines[at].startswith(("recipe_version", "name", "description", *UNSOURCED))]
    inside += [line for section in ("defaults", "env") for line in sections.get(section, [""])[1:]]
    assert [line for line in inside if line.strip() and not line.strip().startswith("#") and " # " not in line] == []
    assert " # " in sections["metadata"][0]
    start = lines.index("command: |")
    above = next(at for at in range(start - 1, 0, -1) if not lines[at].startswith("#"))
    said = " ".join(lines[above:start])
    words = render.words(recipe.command or "") or []
    bare = [word for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("-") and "{" not in after]
    assert [flag for flag in bare if flag not in said and flag != "-m"] == []


UNSOURCED = ("defaults", "env", "command", "harness")
"""Keys that only hold others."""


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_every_published_figure_is_one_of_ours_and_has_its_source(path: Path) -> None:
    recipe = load(path)
    for figure in recipe.harness.published:
        assert figure.metric == NO_METER or figure.unit == METRICS[figure.metric].unit, figure
        assert figure.source
        assert re.fullmatch(r"2026-\d\d(-\d\d)?", figure.date), figure
        assert figure.conditions
        known = [number for number in (figure.low, figure.value, figure.high) if number is not None]
        assert known == sorted(known)
    assert len({(f.metric, f.value, f.low, f.source, f.conditions) for f in recipe.harness.published}) == len(
        recipe.harness.published
    )
    if not recipe.harness.published:
        assert any("No figure was published" in note for note in recipe.harness.notes)


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_published_conditions_are_the_same_in_words_and_in_numbers(path: Path) -> None:
    """Else `harness reproduce` would measure something else than what was published."""
    for figure in load(path).harness.published:
        words = figure.conditions.replace("one stream", "1 streams")
        for pattern, number in (
            (r"\bpp(\d+)", figure.pp),
            (r"\btg(\d+)", figure.tg),
            (r"\b(\d+) streams\b", figure.concurrency),
        ):
            said = re.search(pattern, words)
            assert said is None or int(said[1]) == number, figure
        assert figure.not_tested or "instead of" not in words, "another setup"


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_machines_and_tensor_parallelism_agree(path: Path) -> None:
    """A GB10 has one GPU. `-4x` are four of them."""
    recipe = load(path)
    nodes = int(path.stem[-2]) if path.stem.endswith("x") and path.stem[-3] == "-" else 1
    assert (recipe.min_nodes, recipe.max_nodes) == (nodes, nodes)
    assert recipe.defaults.get("tensor_parallel", 1) == nodes
    assert (recipe.runtime == "vllm-ray") == (nodes > 1)


SHAPES = {
    "mistral-small-4": (66.0, 3.5, 4.0, 23040),  # 11,520 with fp8
    "qwen3.5-0.8b": (1.6, 1.7, 1.7, 12288),
    "qwen3.6-35b-a3b-prismaquant": (19.9, 1.5, 1.9, 20480),
    "qwen3.6-35b-a3b-int4": (17.3, 1.5, 1.6, 20480),
    "gpt-oss-120b": (60.8, 2.7, 2.9, 36864),
    "qwen3-coder-next": (43.8, 1.5, 1.8, 24576),
    "gemma-4-26b-a4b": (25.7, 3.8, 4.1, 20480),
}
"""(GiB of weights, GB at least and at most that one token reads, bytes of cache a token in 16 bits), from the sources that the recipes
name."""


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_the_metadata_gives_the_roofline(path: Path) -> None:
    recipe = load(path)
    weights, reason = from_metadata(recipe.metadata, model=recipe.model)
    assert weights is not None, reason
    assert weights.cache is not None, weights.cache_reason
    size, least, most, token_bytes = next(shape for name, shape in SHAPES.items() if path.stem.startswith(name))
    assert weights.memory_bytes / 2**30 == pytest.approx(size, rel=0.08)
    assert least <= weights.step_bytes / 1e9 <= most
    growing = [group for group in weights.cache if group.window is None]
    eight_bits = recipe.metadata["kv_dtype"] == "fp8"
    assert [group.token_bytes for group in growing] == [token_bytes / (2 if eight_bits else 1)]
    ceiling = MEMORY_BYTES_S["NVIDIA GB10"] / weights.step_bytes * recipe.min_nodes
    speculates = "speculative" in str(recipe.command)
    if not speculates:
        published = [f.value or f.high or 0 for f in recipe.harness.published if f.metric == "decode_tok_s"]
        assert all(0.1 * ceiling < value < ceiling for value in published)


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_it_fits_its_machines(path: Path) -> None:
    """119.68 GiB each, the least that was seen."""
    recipe = load(path)
    words = render.words(render.command(recipe, render.namespace(recipe))) or []
    spark = msgspec.structs.replace(MACHINE, memory_bytes=128_501_256_192, gpus=(Gpu(index=0, name="NVIDIA GB10"),))
    found = fits.of_command(recipe, RUNTIMES[recipe.runtime], words, recipe.env, spark, gpu=True)
    assert found is not None
    assert found.verdict == "fits", found.text
    assert "not known" not in found.text


@pytest.mark.skipif(not CONFIGURATIONS.is_dir(), reason=f"no collected configurations in {CONFIGURATIONS}")
@pytest.mark.parametrize(("collected", "ours"), COLLECTED.items())
def test_a_recipe_starts_what_was_published(collected: str, ours: str) -> None:
    """But for what is ours, and a chat template whose file no image has."""
    theirs, recipe = load(CONFIGURATIONS / f"{collected}.yaml"), load(ROOT / "recipes" / f"{ours}.yaml")
    differ = _flags(theirs) ^ _flags(recipe)
    assert {flag.split(" ")[0] for flag in differ} <= {
        "--revision", "--enable-metrics", "--chat-template", "--speculative-algo", "--speculative-algorithm",
    }  # fmt: skip
    assert (theirs.env, theirs.container, theirs.model) == (recipe.env, recipe.container, recipe.model)
    kept = [mod for mod in theirs.other.get("mods") or [] if not mod.startswith("@")]
    assert kept == (recipe.other.get("mods") or [])


def _flags(recipe: Recipe) -> set[str]:
    """With their values, JSON without its blanks."""
    words = render.words(render.command(recipe, render.namespace(recipe))) or []
    words = [word.replace('": ', '":').replace(', "', ',"') for word in words]
    return {f"{word} {after}" for word, after in pairwise(words) if word.startswith("-") and not after.startswith("-")} | {
        word for word in words if word.startswith("-")
    }


def test_the_table_of_systems_is_that_of_the_files() -> None:
    """HARNESS_UPDATE_GOLDEN=1 writes it anew."""
    document = ROOT / "docs" / "recipes.md"
    written = document.read_text()
    head = "| recipe | system | engine | machines | published decode, tok/s | by |\n|---|---|---|---|---|---|\n"
    table = head + "".join(_row(load(path)) for path in SYSTEMS)
    renewed = re.sub(re.escape(head) + r"(\|.*\n)*", lambda _: table, written)
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        document.write_text(renewed)
    assert table in renewed
    assert renewed == written or os.environ.get("HARNESS_UPDATE_GOLDEN")


def _row(recipe: Recipe) -> str:
    decode = [figure for figure in recipe.harness.published if figure.metric == "decode_tok_s"]
    values = ", ".join(f"{f.value:g}" if f.value else f"{f.low:g}–{f.high:g}" for f in decode) or "none on a GB10"
    sources = ", ".join(dict.fromkeys(figure.source.split(",")[0] for figure in decode))
    system, engine = recipe.description.split(", ")[0], RUNTIMES[recipe.runtime]
    return f"| `{recipe.name}` | {system} | {engine} | {recipe.min_nodes} | {values} | {sources} |\n"


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
