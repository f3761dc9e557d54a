"""What may become of a value on its way out. Each rule lets through what it knows, and nothing else. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from harness.share import grammar, wordwise
from harness.share.names import IMAGE, SERVER, Given

KEPT, RENAMED, GENERALISED, ASK, OUT = "kept", "renamed", "generalised", "asked", "left out"


class Rule(NamedTuple):
    how: str
    do: Callable[[Given, Any], Any] | None
    """None: nothing is kept of it."""
    what: str = ""
    """What is kept, and why not more; for people."""


def number(given: Given, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(number(given, each) for each in value)
    if isinstance(value, Mapping):
        return {name: number(given, each) for name, each in value.items() if code(given, name)}
    return value if value is None or isinstance(value, bool | int | float) else None


def code(given: Given, value: Any) -> Any:
    """Of several those that are."""
    if isinstance(value, list | tuple):
        return tuple(each for each in value if code(given, each))
    if value is None or value == "":
        return value
    return value if len(value) <= 80 and given.plain(value) else ""


def reason_code(given: Given, value: str | None) -> str | None:
    """A code decides what is counted, so it may not go for nothing."""
    return value if not value or code(given, value) else given.renamed("code", value)


def text(given: Given, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(text(given, each) for each in value))
    return value if value is None else wordwise.sentence(given, value)


def instant(given: Given, value: int | None) -> int | None:
    return None if value is None else value - given.origin_ns


def asked(kind: str) -> Callable[[Given, Any], Any]:
    return lambda given, value: None if value is None else given.asked(kind, value)


def renamed(kind: str) -> Callable[[Given, Any], Any]:
    def do(given: Given, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(do(given, each) for each in value)
        return given.renamed(kind, value) if value else value

    return do


def host(given: Given, value: str | None) -> str | None:
    return None if value is None else given.host(value)


_URL = re.compile(r"(https?)://(?:[^/@]*@)?(\[[0-9a-fA-F:]+\]|[^/:@]+)(?::(\d{1,5}))?(?:/.*)?", re.DOTALL)


def url(given: Given, value: str) -> str:
    found = _URL.fullmatch(value)
    if found is None:
        return ""
    return f"{found[1]}://{given.host(found[2].strip('[]'))}{':' + found[3] if found[3] else ''}"


def server(given: Given, value: str) -> str:
    if not value or (said := given.known(SERVER, value)) is None:
        if value:
            given.asked(SERVER, value)
        return url(given, value)
    return said


def source(given: Given, value: str) -> str:
    """`nvml`, `nvml@host`: both parts."""
    name, at, host = value.partition("@")
    return f"{reason_code(given, name)}{at}{given.host(host)}"


def sensor(given: Given, value: str) -> str:
    """`gpu0.power`. What a kernel's driver or a meter calls its parts may be their owner's word."""
    if given.plain(value):
        return value
    part, dot, quantity = value.rpartition(".")
    return f"{given.renamed('sensor', part)}{dot}{quantity if given.plain(quantity) else 'value'}"


_CELL = re.compile(rf"({grammar.CELL.pattern})(?:-(.+))?", re.DOTALL)


def cell(given: Given, value: str) -> str:
    found = _CELL.fullmatch(value)
    if found is None:
        return value if given.plain(value) else given.renamed("cell", value)
    return value if found[2] is None else f"{found[1]}-{variant(given, found[2])}"


def variant(given: Given, value: str) -> str:
    return value if not value or given.plain(value) else given.renamed("variant", value)


def profile(given: Given, value: str) -> str:
    return value if not value or given.plain(value) else given.renamed("profile", value)


def variants(given: Given, value: Mapping[str, Any]) -> dict[str, Any]:
    return {variant(given, name): wordwise.value(given, fields) for name, fields in value.items()}


_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}|[0-9a-f]{40}")


def digest(given: Given, value: str | None) -> str | None:
    return value if value is None or _DIGEST.fullmatch(value) else ""


def optional_digest(given: Given, value: str | None) -> str | None:
    return digest(given, value) or None


def digests(given: Given, value: tuple[str, ...]) -> tuple[str, ...]:
    """`name@sha256:…`."""
    pairs = [each.rpartition("@") for each in value]
    return tuple(f"{given.asked(IMAGE, name)}@{digest}" for name, _, digest in pairs if name and _DIGEST.fullmatch(digest))


def labels(given: Given, value: Mapping[str, str]) -> dict[str, str]:
    return {name: said for name, each in value.items() if given.plain(name) and (said := grammar.version(each))}


def by(make: Callable[[str], str]) -> Callable[[Given, Any], Any]:
    """Of this machine's own names nothing is kept, whatever they look like."""
    return lambda given, value: None if value is None else "" if given.is_own(made := make(value)) else made


def hardware(given: Given, value: Any) -> Any:
    """What somebody wrote into it themselves is no word."""
    if isinstance(value, tuple):
        return tuple(hardware(given, each) for each in value)
    return value if value is None else wordwise.sentence(given, value).replace(grammar.LEFT_OUT, "")


def spoken(given: Given, value: str) -> str:
    """Whether there was text is all that a figure needs of it."""
    return "…" if value else ""


_SUFFIX = re.compile(r".*(\.(?:safetensors|gguf|json|txt|model|bin))", re.DOTALL)


def file(given: Given, value: str) -> str:
    """Weights are called alike all over the world, or after their model."""
    found = _SUFFIX.fullmatch(value)
    return value if given.plain(value) else f"<file>{found[1] if found else ''}"


def ident(given: Given, value: str) -> str:
    return value if _ID.fullmatch(value) else given.renamed("id", value)


def unread(given: Given, value: Mapping[str, int]) -> dict[str, int]:
    """The sum stays the same, whatever is left of the words."""
    done: dict[str, int] = {}
    for name, count in value.items():
        said = wordwise.sentence(given, name)
        done[said] = done.get(said, 0) + count
    return done


def reasons(given: Given, value: Mapping[str, int]) -> dict[str, int]:
    return {reason_code(given, name) or "": count for name, count in value.items()}


_ID = re.compile(r"[0-9a-f]{6,12}")

NUMBER = Rule(KEPT, number, "numbers")
CODE = Rule(KEPT, code, "a word of the harness's own")
COUNTED = Rule(KEPT, reason_code, "a word of the harness's own; another one is renamed")
TEXT = Rule(KEPT, text, "a sentence of public words and numbers only, else that it was left out")
DIGEST = Rule(KEPT, digest, "SHA-256")
INSTANT = Rule(GENERALISED, instant, "counts from the run's begin: the clock itself tells when the machine was started")
HOST = Rule(RENAMED, host, "`host-…`, random; loopback stays")
CELL = Rule(KEPT, cell, "its numbers; a variant's name, if it is of public words, else renamed")
VERSION_OF = Rule(KEPT, by(grammar.version), "as much as is a version")
SECOND = Rule(GENERALISED, by(grammar.second), "to the second: a figure has a date")
HARDWARE = Rule(KEPT, hardware, "as it is sold; another text is left out")
KERNEL = Rule(GENERALISED, by(grammar.kernel), "of distributions as it is, of one's own build the number")
PATH = Rule(OUT, None, "a path")
PERSONAL = Rule(OUT, None, "says whose machine it is")
WORDS = Rule(KEPT, lambda given, value: wordwise.words(given, value), "word by word, as a command line")


def ask(kind: str) -> Rule:
    return Rule(ASK, asked(kind), f"public {kind} names stay; else as its owner says, or `{kind}-…`, random")


def each_of(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)
