"""A recipe as plain sparkrun v2: version 1 migrated, the `harness:` block left out, and nothing in it that is a secret. Pure.

sparkrun 0.4.2 renders what comes out to the same command. Comments are lost.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from harness import secret
from harness.recipe import dialects
from harness.recipe.document import Document
from harness.recipe.lint import secrets
from harness.recipe.overrides import OF_THE_RECIPE
from harness.schema.recipe import Recipe

WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Text of several lines stays readable."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def export(recipe: Recipe) -> str:
    """YAML, with what overrides made of it. Raises `RecipeError` for a recipe that holds a secret in plain text."""
    document = Document(recipe.text, recipe.path)
    for where, _, text in secrets(recipe):
        raise document.error(where, text, "write a reference, $NAME: that is exported as it stands")
    v2: dict[str, Any] = dialects.migrate(document.value) | {key: getattr(recipe, key) for key in OF_THE_RECIPE}
    v2 = {"recipe_version": "2"} | {key: value for key, value in v2.items() if value is not None and key != "harness"}
    v2["recipe_version"] = "2"
    if recipe.env or "env" in v2:
        v2["env"] = recipe.env
    if recipe.defaults:
        v2["defaults"] = {key: _scalar(value) for key, value in recipe.defaults.items()}
    body = dumped(v2)
    if secret.in_text(body):
        raise document.error((), "a secret in plain text", "take it out: nothing that is one is exported")
    return f"# {recipe.name}, exported from a recipe of sha256 {recipe.sha256}\n{body}"


def dumped(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def _scalar(value: object) -> object:
    """A mapping is JSON to us, and Python to sparkrun."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
