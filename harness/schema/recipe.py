"""A recipe: which model runs on which engine with which flags. sparkrun's recipe v2, plus our optional `harness:` block.

Format source: sparkrun 0.4.2's recipe v2 (see `docs/recipes.md`). Keys we do not act on are kept, so that nothing is lost on export.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.schema.workload import Profile

UNKNOWN_MODEL = "unknown"
"""Of a recipe for a server about which nothing is known but its address: what it serves is asked of itself."""


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure somebody published for this very setup."""

    metric: str
    """A name of `docs/metrics.md`, such as `decode_tok_s` or `ttft_ms`; `power_w` for watts whose meter was not said, which are none of its
    scopes."""
    value: float | None = None
    """None where only a range was published: `low` and `high`."""
    unit: str
    low: float | None = None
    high: float | None = None
    depth: int | None = None
    """Context tokens before the prompt that it was measured with; None, here and in the next three: not said."""
    pp: int | None = None
    """Prompt tokens."""
    tg: int | None = None
    """Tokens generated."""
    concurrency: int | None = None
    """Requests in flight."""
    conditions: str = ""
    """Whatever else is said of them, in words."""
    not_tested: str = ""
    """Why a run of this recipe says nothing of it: another setup, another text, another way of counting. Empty: it does."""
    source: str
    date: str


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rough speeds, used only to say beforehand how long a run will take."""

    decode_tok_s: float | None = None
    prefill_tok_s: float | None = None
    start_s: float | None = None


class HarnessBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `harness:` block. Other tools ignore it."""

    engine: str | None = None
    """Overrides what `runtime` says: `embedded` runs llama.cpp from its Python wheel, on the CPU."""
    profile: str | None = None
    """The profile to use when none is asked for; a name from `profiles` here or a built-in one."""
    profiles: dict[str, Profile] = {}
    expect: Expect = Expect()
    sanity: bool = True
    """False: the model can only talk nonsense (random weights, say), and is to be measured all the same."""
    published: tuple[Published, ...] = ()
    needs_image: dict[str, str] = {}
    """Why only the recipe's own image knows a flag, by flag (`--mxfp4-layers`)."""
    notes: tuple[str, ...] = ()


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded recipe. `text` is the file verbatim; everything else is what it says."""

    name: str
    path: str
    text: str
    sha256: str
    recipe_version: str
    model: str
    model_revision: str | None = None
    runtime: str
    container: str | None = None
    min_nodes: int = 1
    max_nodes: int | None = None
    description: str = ""
    metadata: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    env: dict[str, str] = {}
    command: str | None = None
    harness: HarnessBlock = HarnessBlock()
    other: dict[str, Any] = {}
    """Top-level keys of the format that the harness keeps but does not act on (mods, builder, executor_config …)."""
