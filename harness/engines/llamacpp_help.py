"""llama-server's flags, from what `llama-server --help` prints. Pure; read from llama.cpp b10434 (August 2026)."""

from __future__ import annotations

import re

from harness.schema.flags import Flags, Option

_NAME = re.compile(r"(-{1,2}[A-Za-z][\w.-]*)(,\s*)?")
_SEVERAL = re.compile(r"[A-Z]+( [A-Z]+)+")
"""`START END`: two words follow."""


def flags(help_text: str, version: str) -> Flags:
    """Kinds and choices are left open: the text shows fewer than the server takes."""
    options = [option for line in help_text.splitlines() if (option := _option(line))]
    return Flags(engine="llamacpp", version=version, options=tuple(options), abbreviations=False)


def _option(line: str) -> Option | None:
    names, at = [], 0
    while found := _NAME.match(line, at):
        names.append(found[1])
        at = found.end()
        if not found[2]:
            break
    if not names:
        return None
    takes, _, text = line[at:].partition("  ")
    takes, text = takes.strip(), text.strip()
    values = len(takes.split()) if _SEVERAL.fullmatch(takes) else int(bool(takes))
    return Option(names=tuple(names), values=str(values), deprecated=text if "DEPRECATED" in text else "")
