"""Whatever stands in a recipe: it loads, lints and resolves, or is refused in two lines. Never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.recipe.cells import GridOverrides
from harness.recipe.dialects import KEYS
from harness.recipe.export import export
from harness.recipe.lint import lint
from harness.recipe.load import loads
from harness.recipe.resolve import resolve
from harness.schema.flags import Flags, Option
from harness.schema.machine import Machine

MACHINE = Machine(hostname="h", os="o", kernel="k", arch="a", cpu_model="c", cpu_count=1, memory_bytes=1)

KNOWN = Flags(
    engine="vllm",
    version="1",
    positionals=1,
    options=(Option(names=("--port", "-p"), kind="integer"), Option(names=("--x",), values="*")),
)

TEXT = st.text(alphabet="ab{}$\"' \\\n:/-0", max_size=12)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT)
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
WORD = st.sampled_from(
    [
        "vllm serve {model}",
        "llama-server -m {model} --port {port}",
        "sglang serve",
        "vllm serve {model} | tee x # don't",
        "--host=0.0.0.0",
        "{x",
    ]
)
PROFILE = st.dictionaries(
    st.sampled_from(["pp", "tg", "depth", "runs", "percentile", "schedule", "target"]), VALUE | st.lists(st.integers(0, 99))
)
HARNESS = st.dictionaries(
    st.sampled_from(["engine", "profile", "expect", "published", "notes"]), VALUE
) | st.fixed_dictionaries({"profiles": st.dictionaries(TEXT, PROFILE, max_size=2)})
SENSIBLE = {
    "model": TEXT,
    "runtime": st.sampled_from(["vllm", "sglang", "llama-cpp", ""]),
    "defaults": VALUE,
    "harness": HARNESS,
}
ODD = st.dictionaries(st.sampled_from(list(KEYS)), VALUE, max_size=3)
RECIPE = st.builds(
    lambda odd, sensible: {"model": "org/m", **odd, **sensible},
    ODD,
    st.fixed_dictionaries({"command": WORD}, optional={**SENSIBLE, "env": st.dictionaries(TEXT, SCALAR, max_size=3)}),
)


@contextmanager
def two_lines() -> Iterator[None]:
    said = "message\nhint"
    try:
        yield
    except HarnessError as error:
        said = str(error)
    assert len(said.splitlines()) == 2


@settings(max_examples=300, deadline=None)
@given(
    RECIPE | VALUE, st.dictionaries(st.sampled_from(["port", "host", "model", "env.A", "container", "zork"]), TEXT, max_size=2)
)
def test_only_our_errors(data: object, overrides: dict[str, str]) -> None:
    with two_lines():
        recipe = loads(json.dumps(data), "x.yaml")
        assert all(len(str(finding).splitlines()) == 1 for finding in lint(recipe))
        lint(recipe, KNOWN, own=True)
        with suppress(HarnessError):
            loads(export(recipe), "y.yaml")
        plan = resolve(recipe, MACHINE, overrides=overrides, profile=None, grid=GridOverrides(), seed=0, url=None)
        assert plan.launch is not None
        assert all(isinstance(word, str) for word in plan.launch.argv)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@\t\n ,?<=", max_size=40))
def test_any_text(text: str) -> None:
    with two_lines():
        loads(text, "x.yaml")
