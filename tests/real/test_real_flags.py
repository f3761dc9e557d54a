"""Every recipe against the real parsers of vLLM and SGLang, and our judgement of flags against theirs (`make test-engines`)."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from functools import cache

import pytest

from harness.cli import settings
from harness.hosts.local import LocalHost
from harness.launch.flags import ask
from harness.recipe import flags, render
from harness.recipe.lint import NOTE, lint
from harness.recipe.load import load
from harness.recipe.resolve import engine_of
from harness.schema.flags import Flags
from harness.schema.recipe import Recipe
from tests.recipe.test_recipe_shipped import PUBLIC, SHIPPED, needs_public, public_recipes

pytestmark = pytest.mark.engines

PARSE = """
import contextlib, io, json, os, sys
out = os.dup(1); os.dup2(2, 1)
if sys.argv[1] == "vllm":
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    top = FlexibleArgumentParser()
    make_arg_parser(top.add_subparsers(dest="subparser").add_parser("serve"))
    parse = lambda words: top.parse_args(["serve", *words])
else:
    import argparse
    from sglang.srt.server_args import ServerArgs
    top = argparse.ArgumentParser()
    ServerArgs.add_cli_args(top)
    parse = top.parse_args
said = []
for words in json.load(sys.stdin):
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            parse(list(words))
        said.append("")
    except SystemExit:
        said.append(err.getvalue().strip().splitlines()[-1])
    except Exception as error:
        said.append(repr(error))
os.write(out, json.dumps(said).encode())
"""
"""The parsers themselves, for the engine's Python: what they say to each of many command lines; "" where they take it."""

OLDER_SGLANG = {"--tp", "--fp4-gemm-backend", "--cuda-graph-max-bs", "--cuda-graph-bs"}
PUBLISHED = {
    "experimental-recipes/eugr-vllm/openai-gpt-oss-120b-vllm": {"--mxfp4-backend", "--mxfp4-layers"},
    "experimental-recipes/minimax-m3/minimax-m3-v0-nvfp4-2x-reap25": OLDER_SGLANG,
    "experimental-recipes/minimax-m3/minimax-m3-v0-nvfp4-2x-reap50": OLDER_SGLANG,
    "experimental-recipes/minimax-m3/minimax-m3-v0-nvfp4-4x": OLDER_SGLANG,
}
"""Of the 37 public recipes: those that the parsers find fault with, all made for an older SGLang or a fork of vLLM."""


@cache
def parser(engine: str) -> Flags:
    found = ask(LocalHost(), settings.machine(), engine, None, kept=None, say=print)
    assert found.flags is not None, found.reason
    assert found.own
    return found.flags


def real(engine: str, lines: Sequence[Sequence[str]]) -> list[str]:
    python = settings.engines_home() / engine / "bin/python3"
    argv = [str(python), "-c", PARSE, engine]
    done = subprocess.run(argv, input=json.dumps(lines), capture_output=True, text=True, check=True)
    answers: list[str] = json.loads(done.stdout)
    return answers


def words(recipe: Recipe) -> list[str]:
    split = render.words(render.command(recipe, render.namespace(recipe)))
    assert split is not None
    line = flags.server(split, engine_of(recipe) or "")
    assert line is not None
    return line.arguments


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_no_shipped_recipe_has_a_flag_that_its_engine_refuses(engine: str) -> None:
    """Or it says for which image it is, and why."""
    recipes = [recipe for recipe in map(load, SHIPPED) if engine_of(recipe) == engine]
    assert recipes
    for recipe, says in zip(recipes, real(engine, [words(recipe) for recipe in recipes]), strict=True):
        found = [finding for finding in lint(recipe, parser(engine), own=recipe.container is None) if "--" in finding.text]
        assert [finding for finding in found if finding.severity != NOTE] == [], recipe.name
        refused = {flaw.flag for flaw in flags.flaws(words(recipe), parser(engine)) if flaw.severity == flags.ERROR}
        assert refused <= set(recipe.harness.needs_image), recipe.name
        assert bool(says) == bool(refused), (recipe.name, says)


@needs_public
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_public_recipes_against_the_parser(engine: str) -> None:
    recipes = {str(path.relative_to(PUBLIC).with_suffix("")): load(path) for path in public_recipes()}
    lines = {name: words(recipe) for name, recipe in recipes.items() if engine_of(recipe) == engine}
    assert len(lines) == {"vllm": 34, "sglang": 3}[engine]
    for (name, line), says in zip(lines.items(), real(engine, list(lines.values())), strict=True):
        found = {flaw.flag: flaw.severity for flaw in flags.flaws(line, parser(engine))}
        assert set(found) == PUBLISHED.get(name, set()), name
        assert bool(says) == (flags.ERROR in found.values()), (name, says)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_parser_is_judged_rightly(engine: str) -> None:
    """Made-up lines: nothing that it takes is refused here, and what it refuses is, but for what stands inside JSON, and empty words."""
    known, chance = parser(engine), random.Random(7)
    names = [name for option in known.options for name in option.names if name not in {"-h", "--help", "--config"}]
    options = {name: option for option in known.options for name in option.names}
    more = ["-O3", "-O", "--max_model_len", "--no-such", "--max-num-seq", "--cuda-graph-max-bs", "--tp", "--enable", "-q8"]
    values = ["1", "1.5", "8k", "x", "auto", "{}", "[1]", "-1", "true", "a b", "fp8", "FP8", "marlin", "--port"]
    lines = []
    for _ in range(1500):
        line = ["m"] if engine == "vllm" else ["--model-path", "m"]
        for _ in range(chance.randint(1, 3)):
            name = chance.choice(names if chance.random() < 0.85 else more)
            choices = options[name].choices if name in options else ()
            value = chance.choice(choices if choices and chance.random() < 0.6 else values)
            line += chance.choice([[name], [name, value], [f"{name}={value}"]])
        lines.append(line)
    loose = ("JSON", "json", "Invalid fields", "pydantic", "unrecognized arguments: m")
    for line, says in zip(lines, real(engine, lines), strict=True):
        refused = [flaw.text for flaw in flags.flaws(line, known) if flaw.severity == flags.ERROR]
        assert says or not refused, (line, refused)
        assert refused or not says or any(word in says for word in loose), (line, says)
