"""Values of any schema type in which every text is the same one: what a field lets through, it lets through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from harness.schema.plan import Plan
from harness.schema.request import Record
from harness.schema.result import Result
from harness.schema.sensors import Sample
from harness.store.folder import Stored

ROOTS = (Result, Plan, Record, Sample)
"""What a stored result consists of."""


def value(kind: inspect.Type, text: str) -> Any:
    match kind:
        case inspect.StrType():
            return text
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 1.0
        case inspect.NoneType():
            return None
        case inspect.VarTupleType(item_type=item):
            return (value(item, text),)
        case inspect.TupleType(item_types=items):
            return tuple(value(item, text) for item in items)
        case inspect.ListType(item_type=item):
            return [value(item, text)]
        case inspect.DictType(key_type=key, value_type=item):
            return {value(key, text): value(item, text)}
        case inspect.StructType(cls=cls):
            return filled(cls, text)
        case inspect.UnionType(types=types):
            return value(next(each for each in reversed(types) if not isinstance(each, inspect.NoneType)), text)
        case inspect.AnyType():
            return {text: [text, {"x": text}]}
    raise AssertionError(f"no value of {kind}")


def filled(kind: type[msgspec.Struct], text: str) -> Any:
    return kind(**{field.name: value(inspect.type_info(field.type), text) for field in msgspec.structs.fields(kind)})


def stored(text: str, recipe: str) -> Stored:
    return Stored(
        path=Path(f"/results/{text}"),
        result=filled(Result, text),
        plan=filled(Plan, text),
        recipe_text=recipe,
        records={1: [filled(Record, text)]},
        samples=[filled(Sample, text)],
    )


def reachable(*roots: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
    """The types of all values that are in these."""
    found: set[type[msgspec.Struct]] = set()
    left: list[inspect.Type] = [inspect.type_info(root) for root in roots]
    while left:
        kind = left.pop()
        if isinstance(kind, inspect.StructType):
            if kind.cls in found:
                continue
            found.add(kind.cls)
            left += [inspect.type_info(field.type) for field in msgspec.structs.fields(kind.cls)]
        left += [getattr(kind, name) for name in ("item_type", "key_type", "value_type") if hasattr(kind, name)]
        left += [*getattr(kind, "types", ()), *getattr(kind, "item_types", ())]
    return found
