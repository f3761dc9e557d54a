"""A facts file's text → plain values that know their lines. Bounded: aliases, tags, keys that stand twice and deep nesting are refused."""

from __future__ import annotations

import datetime
from typing import Any

import yaml

from harness.errors import FactsError

MAX_BYTES = 2 * 2**20
MAX_DEPTH = 8

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times as fast; wheels have it, some builds do not."""
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

Where = tuple[str | int, ...]
"""The way to a value: `("providers", 3, "dpa")`."""


class Read:
    """`value` is the file's one mapping."""

    def __init__(self, data: bytes, path: str) -> None:
        """Raises `FactsError` with file and line."""
        self.path = path
        self._lines: dict[Where, int] = {}
        if len(data) > MAX_BYTES:
            raise FactsError(f"{path}: larger than {MAX_BYTES // 2**20} MiB", "is this the right file?")
        try:
            self._refuse_what_is_not_plain(text := data.decode())
            loader = _Loader(text)
            try:
                node = loader.get_single_node()
                self._note(node, ())
                self.value: Any = None if node is None else loader.construct_document(node)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(part for part in (error.context, error.problem) if part)
            raise FactsError(
                f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {said}",
                "check that line's indentation, colons and quotes",
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            raise FactsError(f"{path}: not YAML text: {error}", "see docs/facts.md for the format") from None
        if not isinstance(self.value, dict):
            raise FactsError(f"{path}:1: it is no mapping of tables", "see docs/facts.md for the format")

    def line(self, *where: str | int) -> int:
        """Of a key or item, or of the nearest thing around it."""
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 1)

    def error(self, where: Where, message: str, hint: str) -> FactsError:
        return FactsError(f"{self.path}:{self.line(*where)}: {message}", hint)

    def _refuse_what_is_not_plain(self, text: str) -> None:
        """First, because what comes after it is recursive."""
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            what = (
                "an alias"
                if isinstance(event, yaml.AliasEvent)
                else "a tag"
                if getattr(event, "tag", None)
                else f"nesting deeper than {MAX_DEPTH}"
                if depth > MAX_DEPTH
                else ""
            )
            if what:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise FactsError(f"{self.path}:{line}: {what} is not used in facts", "write it out instead")

    def _note(self, node: yaml.Node | None, where: Where) -> None:
        if node is None:
            return
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note(item, (*where, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = (*where, str(key.value))
                if name in self._lines:
                    raise FactsError(
                        f"{self.path}:{key.start_mark.line + 1}: '{key.value}' stands here twice", "take one of the two out"
                    )
                self._lines[name] = key.start_mark.line + 1
                self._note(value, name)
        elif node.tag == _TIMESTAMP:
            try:
                datetime.date.fromisoformat(node.value)
            except ValueError:
                raise self.error(where, f"{node.value} is no day", "write days like 2026-11-23") from None
