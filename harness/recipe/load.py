"""Recipe files → `Recipe`. Every error says file and line, what is wrong, and the next step."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import RecipeError, did_you_mean
from harness.recipe import dialects
from harness.recipe.document import MAX_BYTES, Document, Where
from harness.schema.recipe import Expect, HarnessBlock, Published, Recipe
from harness.schema.workload import ARRIVALS, PERCENTILE_FLOORS, Profile
from harness.typed import converted

T = TypeVar("T", bound=msgspec.Struct)

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_WORDS["null"] = "nothing"
_PYTHON: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
_PYTHON[type(None)] = "nothing"
_JSON: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict}
_HINTS = {"a list": "write it in brackets: [ … ]", "a mapping": "write it as indented 'key: value' lines"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTABLE = ("a whole number", "a number", "true or false")


def load(path: Path) -> Recipe:
    """Raises `RecipeError` when the file cannot be read or is not a recipe."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}", "check the path and its permissions") from None
    return parse(data, str(path))


def parse(data: bytes, path: str) -> Recipe:
    """A recipe from a file's content. Raises `RecipeError`."""
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{path}: larger than {MAX_BYTES // 1024} KiB", "a recipe is a page of text: this is something else")
    try:
        return loads(data.decode(), path)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text", "save the file as UTF-8") from None


def loads(text: str, path: str) -> Recipe:
    """A recipe from its text; `path` is for messages, and names the recipe where it does not name itself."""
    document = Document(text, path)
    data = document.value
    if data is None:
        raise RecipeError(f"{path}: the file is empty", "a recipe needs at least 'model:' and 'command:'")
    if not isinstance(data, dict):
        raise document.error(
            (), "not a recipe: the top level is not a mapping", "begin with 'recipe_version: \"2\"' and 'model: …'"
        )
    dialects.check_keys(document, data)
    for key in data:
        _check_kind(document, key, data[key])
    if not data.get("model"):
        more = "'include:' is not read: write what it brings into this file" if data.get("include") else ""
        raise document.error(("model",), "the recipe has no model", more or "add 'model: <Hugging Face id or path>'")
    v2 = dialects.migrate(data)
    low, high = v2.get("min_nodes") or 1, v2.get("max_nodes")
    if low < 1 or (high is not None and high < low):
        raise document.error(
            ("max_nodes",), f"min_nodes {low} and max_nodes {high} leave no number of machines", "mend one of them"
        )
    metadata = v2.get("metadata") or {}
    return Recipe(
        name=slug(v2.get("name") or Path(path).stem),
        path=path,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        recipe_version=str(v2.get("recipe_version") or "2"),
        model=v2["model"],
        model_revision=v2.get("model_revision"),
        runtime=v2["runtime"],
        container=(v2.get("container") or "").strip() or None,
        min_nodes=low,
        max_nodes=high,
        description=str(v2.get("description") or metadata.get("description") or "").strip(),
        metadata=metadata,
        defaults=v2.get("defaults") or {},
        env=_env(document, v2.get("env") or {}),
        command=v2.get("command"),
        harness=_harness(document, v2.get("harness") or {}),
        other={key: value for key, value in v2.items() if key not in _FIELDS},
    )


_FIELDS = {name for name, kind in dialects.KEYS.items() if kind.acted_on} - {"executor_config"}


def slug(name: str) -> str:
    """A name that can be typed, and be a folder's: whatever is not a letter, digit or one of `._+-` becomes `-`."""
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "recipe"


LONGEST = 10_000_000
"""Tokens: more than any context."""


def _measurable(depth: int | None, pp: int | None, tg: int | None, concurrency: int | None) -> bool:
    """None, of what is not said, can be anything."""
    least = ((depth, 0), (pp, 1), (tg, 1), (concurrency, 1))
    return all(value is None or low <= value <= LONGEST for value, low in least)


_POSITIVE = ("max_seconds", "seconds", "burstiness", "target")


def profile(document: Document, where: Where, data: object) -> Profile:
    """A profile from YAML. Raises `RecipeError` with its line."""
    found = _typed(document, where, data, Profile)

    def wrong(name: str, message: str, hint: str) -> RecipeError:
        return document.error((*where, name), message, hint)

    for name, least in (("depth", 0), ("pp", 1), ("tg", 1), ("concurrency", 1)):
        values = getattr(found, name)
        if not values or min(values) < least or max(values) > LONGEST:
            needs = f"at least {least}" if not values or min(values) < least else f"at most {LONGEST}"
            raise wrong(name, f"{name} {list(values)}: needs numbers of {needs}", f"write it like {name}: [{max(least, 1)}]")
    if any(not _measurable(*point) for point in found.points):
        raise wrong("points", "points: needs [depth, pp, tg, concurrency] of each", "write it like points: [[0, 2048, 128, 1]]")
    if found.points and (found.rate or found.mix):
        raise wrong("points", "points are for a closed loop of one shape", "leave out rate and mix")
    if any(not 0 < rate < math.inf for rate in found.rate):
        raise wrong("rate", f"rate {list(found.rate)}: needs requests per second above 0", "write it like rate: [0.5, 2]")
    if found.percentile not in PERCENTILE_FLOORS:
        known = ", ".join(str(p) for p in PERCENTILE_FLOORS if p == int(p))
        raise wrong("percentile", f"percentile {found.percentile} is not one that is measured", f"choose one of {known}")
    for name, known_values in (("prompt_class", ("prose", "code")), ("arrivals", ARRIVALS)):
        if getattr(found, name) not in known_values:
            raise wrong(name, f"{name} '{getattr(found, name)}' does not exist", f"choose one of {', '.join(known_values)}")
    for name in ("runs", "requests", "requests_per_slot", "turns", "sessions"):
        value = getattr(found, name)
        if value is not None and value < 1:
            raise wrong(name, f"{name} must be at least 1", "mend that line")
    for name in _POSITIVE:
        value = getattr(found, name)
        if value is not None and not 0 < value < math.inf:
            raise wrong(name, f"{name} must be above 0", "mend that line")
    if not 0 <= found.min_seconds < math.inf:
        raise wrong("min_seconds", "min_seconds must be 0 or more", "mend that line")
    if found.max_runs < found.runs:
        key = "max_runs" if (*where, "max_runs") in document.lines else "runs"
        raise wrong(key, f"max_runs {found.max_runs} is less than runs {found.runs}", "raise max_runs, or lower runs")
    if any(not min(shape.pp, shape.tg, shape.weight) > 0 or max(shape.pp, shape.tg) > LONGEST for shape in found.mix):
        raise wrong("mix", "pp, tg and weight of a mixture must be above 0", "mend that line")
    if found.until_slo and not (found.rate and found.slo):
        raise wrong("until_slo", "until_slo needs rates and an SLO", "add rate: [1, 2, 4] and slo: a preset or limits")
    if found.sessions > 1 and found.turns == 1:
        raise wrong("sessions", "sessions only mean something with turns", "add turns: 10, or leave sessions out")
    return found


def _harness(document: Document, data: dict[str, Any]) -> HarnessBlock:
    where: Where = ("harness",)
    _known(document, where, data, HarnessBlock)
    plain = {key: value for key, value in data.items() if key not in ("profiles", "published", "expect")}
    profiles, published = data.get("profiles") or {}, data.get("published") or []
    _expect(document, (*where, "profiles"), profiles, dict)
    _expect(document, (*where, "published"), published, list)
    return msgspec.structs.replace(
        _typed(document, where, plain, HarnessBlock),
        profiles={name: profile(document, (*where, "profiles", name), value) for name, value in profiles.items()},
        published=tuple(_published(document, (*where, "published", n), value) for n, value in enumerate(published)),
        expect=_expected(document, (*where, "expect"), data.get("expect") or {}),
    )


def _published(document: Document, where: Where, data: object) -> Published:
    found = _typed(document, where, data, Published)
    if found.value is None and (found.low is None or found.high is None):
        raise document.error(
            where, f"{_dotted(where)} has no 'value'", "add 'value:', or 'low:' and 'high:' where a range was published"
        )
    if not _measurable(found.depth, found.pp, found.tg, found.concurrency):
        raise document.error(where, f"{_dotted(where)}: depth 0, pp 1, tg 1 and concurrency 1 are the least", "mend that line")
    return found


def _typed(document: Document, where: Where, data: object, kind: type[T]) -> T:
    """`data` as a struct; msgspec's complaint becomes ours, with a line."""
    _expect(document, where, data, dict)
    assert isinstance(data, dict)
    _known(document, where, data, kind)
    try:
        return converted(data, kind)
    except msgspec.ValidationError as error:
        said, _, inside = str(error).partition(" - at `$")
        path = (*where, *(int(n) if n else key for key, n in re.findall(r"\.(\w+)|\[(\d+)\]", inside)))
        if match := re.match(r"Object missing required field `(\w+)`", said):
            raise document.error(path, f"{_dotted(path)} has no '{match[1]}'", f"add '{match[1]}:'") from None
        match = re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", said)
        if not match:
            raise document.error(path, f"{_dotted(path)}: {said.replace('`', '').lower()}", "mend that line") from None
        wanted = " or ".join(_WORDS.get(word, word) for word in match[1].split(" | ") if word != "null")
        raise _mismatch(document, path, wanted, _WORDS.get(match[2], match[2])) from None


def _known(document: Document, where: Where, data: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    fields = [field.name for field in msgspec.structs.fields(kind)]
    for key in data:
        if key not in fields:
            near = did_you_mean(key, fields)
            hint = f"did you mean '{near}'?" if near else f"known: {', '.join(fields)}"
            raise document.error((*where, key), f"{_dotted(where)} has no key '{key}'", hint)


def _check_kind(document: Document, key: str, value: object) -> None:
    """The top level's types; nothing at all counts as left out, except where the recipe cannot be without."""
    kind = dialects.KEYS.get(key)
    if key == "recipe_version" and isinstance(value, int | float) and not isinstance(value, bool):
        return
    if key == "env" and isinstance(value, list) and value:
        raise document.error(("env",), "env: expected a mapping, got a list", "write NAME: value lines")
    if kind is None or not kind.acted_on or value is None or (value == [] and kind.json == "object"):
        return
    wanted = _JSON[kind.json]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        raise _mismatch(document, (key,), _PYTHON[wanted], _PYTHON[type(value)])


def _expected(document: Document, where: Where, data: object) -> Expect:
    found = _typed(document, where, data, Expect)
    for name, value in msgspec.structs.asdict(found).items():
        if value is not None and not 0 < value < math.inf:
            raise document.error((*where, name), f"{name} must be above 0", "mend that line")
    return found


def _env(document: Document, data: dict[str, Any]) -> dict[str, str]:
    """Values as text, as a shell would get them; a mapping is what YAML makes of an unquoted placeholder."""
    found = {}
    for name, value in data.items():
        where = ("env", name)
        if not VARIABLE.fullmatch(name):
            raise document.error(where, f"env: '{name}' is not a variable's name", "use letters, digits and _")
        if isinstance(value, dict) and len(value) == 1 and None in value.values():
            raise document.error(
                where, f"env.{name}: {{{next(iter(value))}}} without quotes is a YAML mapping", "put it in quotes"
            )
        if value is None:
            raise document.error(where, f"env.{name} has no value", "write '' for an empty one")
        if isinstance(value, dict | list):
            raise _mismatch(document, where, "text", _PYTHON[type(value)])
        found[name] = str(value)
    return found


def _expect(document: Document, where: Where, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise _mismatch(document, where, _PYTHON[kind], _PYTHON[type(value)])


def _mismatch(document: Document, where: Where, wanted: str, got: str) -> RecipeError:
    hint = "put it in quotes" if wanted == "text" and got in _QUOTABLE else _HINTS.get(wanted, f"write {wanted}")
    return document.error(where, f"{_dotted(where)}: expected {wanted}, got {got}", hint)


def _dotted(where: Where) -> str:
    text = ""
    for key in where:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text or "the recipe"
