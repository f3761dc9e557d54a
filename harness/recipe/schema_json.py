"""The JSON Schema of recipe files, for editors. The `harness:` block comes from the structs, the rest from the table of
sparkrun's keys.

A test keeps `recipe.schema.json` beside this file in step, and says how to renew it.
"""

from __future__ import annotations

import msgspec

from harness.recipe import dialects
from harness.schema.recipe import HarnessBlock

NUMBER_OR_TEXT = {"recipe_version"}
MAY_BE_EMPTY = {"container", "env", "defaults", "metadata", "description", "model_revision", "max_nodes"}


def generate() -> str:
    """The schema as JSON text, ending with a newline."""
    (reference,), structs = msgspec.json.schema_components([HarnessBlock], ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe",
        "description": "sparkrun's recipe format, version 2, with an optional harness block. See docs/recipes.md.",
        "type": "object",
        "required": ["model"],
        "additionalProperties": False,
        "patternProperties": {f"^{dialects.COMMAND_VARIANT}": {"type": "string"}},
        "properties": {name: _property(name, kind, reference) for name, kind in dialects.KEYS.items()},
        "$defs": structs,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _property(name: str, kind: dialects.Kind, harness: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {"description": kind.help}
    if name == "harness":
        return found | harness
    if name in NUMBER_OR_TEXT:
        return found | {"type": ["string", "integer"]}
    if kind.json:
        found["type"] = [kind.json, "null"] if name in MAY_BE_EMPTY else kind.json
    if name == "env":
        found["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    return found
