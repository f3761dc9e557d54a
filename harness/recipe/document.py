"""YAML text → plain values that remember their lines, so that every error can say `path:line`. Pure, bounded, no code is
ever built.

Dates stay text (PyYAML would make objects of them); the rest is YAML 1.1 as PyYAML and sparkrun read it. The last of two
equal keys wins, as there, but it is remembered. Refused: files over 256 KiB, more than 20,000 values once aliases are
counted out, 64 levels, tags, and characters that steer a terminal or end a C string.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.errors import RecipeError

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 64
NUMBER_BITS = 128

Key = str | int
Where = tuple[Key, ...]
"""The way to a value: `("defaults", "port")`."""

_PLAIN = "tag:yaml.org,2002:"
_SCALARS = {_PLAIN + kind for kind in ("str", "int", "float", "bool", "null")}
_MERGE, _VALUE = _PLAIN + "merge", _PLAIN + "value"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in found if tag != _PLAIN + "timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Document:
    """`value` is the file as plain Python values; `lines` says where each one stands, from 1."""

    def __init__(self, text: str, path: str) -> None:
        """Raises `RecipeError` with file and line for anything that is not plain YAML."""
        self.path = path
        self.lines: dict[Where, int] = {}
        self.repeated: list[tuple[Where, int]] = []
        """Keys that stand twice in one mapping, with the line of the later one."""
        self._count = 0
        self._text = text
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise RecipeError(
                f"{path}: larger than {MAX_BYTES // 1024} KiB", "a recipe is a page of YAML: is this the right file?"
            )
        self.value: Any = self._load(text)

    def line(self, *where: Key) -> int:
        """The line of a key or item, or of the nearest thing around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def find(self, key: str, text: str, *, word: bool = False) -> Where:
        """Where `text` first stands in a top-level block of text, or as a whole `word`; it gets a line of its own."""
        first = self.line(key)
        pattern = rf"(?<![^\s'\"]){re.escape(text)}(?![\w.-])" if word else re.escape(text)
        for number, line in enumerate(self._text.splitlines(), 1):
            if number >= first and re.search(pattern, line):
                self.lines[(key, text)] = number
                break
        return (key, text)

    def error(self, where: Where, message: str, hint: str) -> RecipeError:
        return RecipeError(f"{self.path}:{self.line(*where)}: {message}", hint)

    def _load(self, text: str) -> Any:
        loader = None
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            return None if node is None else self._value(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            said = ", ".join(part for part in (error.context, error.problem) if part)
            hint = (
                "indent with spaces, not tabs"
                if "\\t" in (error.problem or "")
                else "check that line's indentation, colons and quotes"
            )
            raise RecipeError(f"{self.path}:{line}: not valid YAML: {said}", hint) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise RecipeError(f"{self.path}:{line}: not valid YAML: {error.reason}", "remove the control character") from None
        except RecursionError:
            raise RecipeError(f"{self.path}: nested too deeply", f"a recipe has a few levels, at most {MAX_DEPTH}") from None
        finally:
            if loader is not None:
                loader.dispose()

    def _value(self, loader: _Loader, node: yaml.Node, where: Where) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        self._count += 1
        if self._count > MAX_VALUES or len(where) > MAX_DEPTH:
            raise RecipeError(
                f"{self.path}:{line}: too many values once its aliases are counted out", "write it without YAML aliases"
            )
        if isinstance(node, yaml.MappingNode) and node.tag == _PLAIN + "map":
            return self._mapping(loader, node, where)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PLAIN + "seq":
            return [self._value(loader, item, (*where, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            self._text_only(node)
            if node.tag == _VALUE:  # a lone "="
                return node.value
            if node.tag in _SCALARS:
                return self._scalar(loader, node, line)
        raise RecipeError(
            f"{self.path}:{line}: the YAML tag {node.tag.replace(_PLAIN, '!!')} is not used in recipes", "remove the tag"
        )

    def _text_only(self, node: yaml.ScalarNode) -> None:
        if found := _CONTROL.search(node.value):
            raise RecipeError(
                f"{self.path}:{node.start_mark.line + 1}: a control character, {found[0]!a}",
                "take it out: no setting needs it",
            )

    def _scalar(self, loader: _Loader, node: yaml.ScalarNode, line: int) -> Any:
        try:
            value = loader.construct_object(node)
            if isinstance(value, int) and value.bit_length() > NUMBER_BITS:
                raise ValueError("no setting is that large")
            return value
        except ValueError:
            raise RecipeError(
                f"{self.path}:{line}: not a usable number: {node.value[:40]}", "put it in quotes if it is text"
            ) from None

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged = {**self._merge(loader, value_node, where), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(
                    f"{self.path}:{line}: a key is not plain text", "put a text that begins with { or [ in quotes"
                )
            self._text_only(key_node)
            key = str(key_node.value)
            if key in own:
                self.repeated.append(((*where, key), line))
            self.lines[(*where, key)] = line
            own[key] = self._value(loader, value_node, (*where, key))
        return {**merged, **own}

    def _merge(self, loader: _Loader, node: yaml.Node, where: Where) -> dict[str, Any]:
        value = self._value(loader, node, (*where, "<<"))
        found: dict[str, Any] = {}
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise RecipeError(f"{self.path}:{node.start_mark.line + 1}: << takes a mapping", "write the keys out instead")
            found = {**part, **found}
        return found
