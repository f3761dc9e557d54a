"""The table of fields is whole: a field that is added is left out until somebody says what becomes of it, and this fails until then."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import msgspec

from harness import schema
from harness.schema.machine import Machine
from harness.schema.recipe import Recipe
from harness.share import fields, recipe
from harness.share.names import Given, Names
from tests.share import generated

DOC = Path(__file__).parents[2] / "docs" / "redaction.md"
NEVER_SENT = {
    *(
        "article",
        "bill",
        "board",
        "bundle",
        "collect",
        "consent",
        "contrast",
        "foreign",
        "cost",
        "doctor",
        "facts",
        "flags",
        "foreign",
        "job",
        "library",
        "memory",
        "observation",
    ),
    *("recipe", "reproduction", "result", "series", "sovereignty"),
}
"""Modules of types that are in no result; of `bill`, `memory` and `result` some are, and these are in the table."""


def test_every_field_of_every_type_in_a_result_has_a_rule() -> None:
    missing = [
        f"{kind.__name__}.{name}"
        for kind in generated.reachable(*generated.ROOTS)
        for name in kind.__struct_fields__
        if name not in fields.TABLE.get(kind, {})
    ]
    assert not missing, f"say in harness/share/fields.py what becomes of {', '.join(missing)}, and raise its VERSION"


def test_the_table_has_nothing_else() -> None:
    assert set(fields.TABLE) == generated.reachable(*generated.ROOTS)
    assert all(set(rules) == set(kind.__struct_fields__) for kind, rules in fields.TABLE.items())
    assert all(rule.what for rules in fields.TABLE.values() for rule in rules.values())


def test_every_type_of_the_schema_is_in_the_table_or_never_sent() -> None:
    modules = [importlib.import_module(f"harness.schema.{found.name}") for found in pkgutil.iter_modules(schema.__path__)]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    }
    assert [kind for kind in kinds if kind not in fields.TABLE and kind.__module__.rpartition(".")[2] not in NEVER_SENT] == []


class Newer(Machine, frozen=True, kw_only=True):
    owner: str = ""
    rooms: tuple[str, ...] = ()


def test_nothing_is_kept_of_what_the_table_does_not_know() -> None:
    said = generated.filled(Newer, "kernel")
    done = fields.struct(Given(Names()), said)
    assert done == Newer(hostname="", os="", kernel="", arch="", cpu_model="", cpu_count=0, memory_bytes=0)


def test_the_recipe_is_made_of_fields_that_are_named_there() -> None:
    """A key of a recipe is kept only if `share/recipe.py` names it."""
    kept = {"name", "model", "model_revision", "runtime", "container", "min_nodes", "max_nodes"}
    kept |= {"metadata", "defaults", "env", "command", "recipe_version"}
    text = "".join(f"{key}: kernel\n" for key in [*Recipe.__struct_fields__, "notes", "mods"] if key not in ("recipe_version",))
    done = msgspec.yaml.decode(recipe.redacted(Given(Names()), text))
    assert set(done) <= kept


def test_the_docs_show_the_table() -> None:
    assert fields.shown() in DOC.read_text(encoding="utf-8")
