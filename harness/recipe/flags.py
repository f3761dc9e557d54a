"""A command's flags against what its engine's parser says of itself, as argparse would judge them. Pure.

Beside argparse's own rules: vLLM reads `_` for `-` in a flag, `-O3`, and `--config.key value` as JSON; llama.cpp reads `_` for `-`.
Checked against the parsers of vLLM 0.32.0, SGLang 0.5.23 and llama.cpp b10434.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from harness.errors import did_you_mean
from harness.recipe.command import starts
from harness.schema.flags import Flags, Option

NAMES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "embedded": "the embedded engine",
    "paced": "the paced server",
}
LISTED = 12
"""Choices that are listed before the list is cut."""
DEEPER = {"vllm": ("serve",), "sglang": ("serve",)}
"""What may follow the program before its flags."""
DASHES = ("vllm", "llamacpp")
"""Engines to which `_` in a flag is `-`."""
NO_ARGPARSE = ("llamacpp",)
"""A flag takes the words after it whatever they look like; nothing is glued to it, and there are no abbreviations."""
SERVERS = re.compile(r"vllm\.entrypoints\.openai\.api_server|sglang\.launch_server")

_NEGATIVE = re.compile(r"-\d+$|-\d*\.\d+$")
_SHELL_ENDS = re.compile(r"[;&|<>]+|\d?>.*")


ERROR, WARNING, NOTE = "error", "warning", "note"


class Flaw(msgspec.Struct, frozen=True):
    flag: str
    """As it is written."""
    text: str
    severity: str = ERROR
    """`error`: the engine ends because of it."""


class Known(msgspec.Struct, frozen=True):
    """A flag that newer parsers refuse."""

    why: str
    instead: str = ""


FLAGS = {
    "sglang": {
        "--cuda-graph-max-bs": Known("is ambiguous in SGLang 0.5.23", "--cuda-graph-max-bs-decode"),
        "--cuda-graph-bs": Known("is ambiguous in SGLang 0.5.23", "--cuda-graph-bs-decode"),
        "--mamba-scheduler-strategy": Known("is not known to SGLang 0.5.23"),
        "--max-model-len": Known("is vLLM's", "--context-length"),
        "--tp": Known("passes only as an abbreviation", "--tp-size"),
        "--speculative-algo": Known("passes only as an abbreviation", "--speculative-algorithm"),
    },
    "vllm": {
        "--mxfp4-backend": Known("exists only in a fork of vLLM; stock vLLM has --moe-backend"),
        "--mxfp4-layers": Known("exists only in a fork of vLLM"),
        "--gpu-memory-utilization-gb": Known("exists only in a fork of vLLM"),
        "--max-num-seq": Known("passes only as an abbreviation", "--max-num-seqs"),
        "--max-tokens-per-mmitem": Known("is not known to vLLM 0.32.0"),
        "--calculate-kv-scales": Known("is not known to vLLM 0.32.0"),
        "--model-name": Known("is not known to vLLM 0.32.0", "--served-model-name"),
        "--context-length": Known("is SGLang's", "--max-model-len"),
    },
}
"""By engine, from a survey of 481 public commands against vLLM 0.32.0 and SGLang 0.5.23 (November 2026): what is known where no engine
can be asked, and what to write instead."""


def said(flags: Flags) -> str:
    return f"{NAMES.get(flags.engine, flags.engine)} {flags.version}".rstrip()


class Line(NamedTuple):
    program: str
    arguments: list[str]
    """The words that the engine's parser gets."""


def server(words: Sequence[str], engine: str) -> Line | None:
    """The engine's server in a command, whatever of a shell is around it; None where it is not started."""
    for at, program in enumerate(words):
        if not starts(words[at:], engine):
            continue
        rest = list(words[at + 1 :])
        if program.rpartition("/")[2].startswith("python"):
            found, rest = bool(SERVERS.fullmatch(rest[1])), rest[2:]
        else:
            deeper = DEEPER.get(engine, ())
            found, rest = tuple(rest[: len(deeper)]) == deeper, rest[len(deeper) :]
        if found:
            end = next((n for n, word in enumerate(rest) if _SHELL_ENDS.fullmatch(word)), len(rest))
            return Line(program, rest[:end])
    return None


def by_heart(words: Sequence[str], engine: str) -> Iterator[Flaw]:
    """What is known of flags without asking anybody; it may be wrong of the build that will run."""
    for word in words:
        flag = word.partition("=")[0]
        if known := FLAGS.get(engine, {}).get(flag):
            yield Flaw(flag, f"{flag} {known.why}" + (f": use {known.instead}" if known.instead else ""), WARNING)


def flaws(words: Sequence[str], flags: Flags) -> Iterator[Flaw]:
    """What the parser refuses of its words, or takes only just."""
    names = {name: option for option in flags.options for name in option.names}
    line = _read(words, flags.engine)
    surplus: list[str] = []
    at = 0
    while at < len(line):
        written, word = line[at]
        at += 1
        if word == "--":
            surplus += [written for written, _ in line[at:]]
            break
        if not _is_flag(word, names):
            surplus.append(written)
            continue
        flag, inline, found = _find(word, names, flags)
        shown = written if flags.engine in NO_ARGPARSE else written.partition("=")[0]
        if len(found) != 1:
            yield _no_such(shown, found, flags, names)
            while at < len(line) and not _is_flag(line[at][1], names):
                at += 1  # its values, most likely
            continue
        if flag != found[0]:
            yield Flaw(shown, f"{shown} passes only as an abbreviation: use {found[0]}", WARNING)
        option = names[found[0]]
        if option.deprecated:
            yield Flaw(shown, f"{shown}: {said(flags)} says: {option.deprecated}", NOTE)
        values = [] if inline is None else [inline]
        least, most = _counts(option.values)
        greedy = flags.engine in NO_ARGPARSE
        while inline is None and len(values) < most and at < len(line) and (greedy or not _is_flag(line[at][1], names)):
            values.append(line[at][1])
            at += 1
        if inline is not None and most == 0:
            yield Flaw(shown, f"{shown} takes no value, and gets {inline}")
        elif len(values) < least:
            yield Flaw(shown, f"{shown} has no value")
        for value in values if most else ():
            yield from _value(shown, value, option, flags)
    if flags.positionals >= 0:
        for word in surplus[flags.positionals :]:
            yield Flaw(word, f"'{word}' belongs to no flag")


Word = tuple[str, str]
"""As it is written, and as the parser gets it."""


def _read(words: Sequence[str], engine: str) -> list[Word]:
    """The engine's own rewriting, before argparse sees the words."""
    if engine not in DASHES:
        return [(word, word) for word in words]
    done: list[Word] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            head, dot, rest = name.partition(".")
            name = head.replace("_", "-") + dot + rest
        if engine == "vllm" and word == "-O" and left[:1] in (["0"], ["1"], ["2"], ["3"]):
            done.append((word, "--optimization-level"))
        elif engine == "vllm" and word.startswith("-O") and word != "-O":
            done += [(word, "--optimization-level"), (word, word[2:].removeprefix("="))]
        elif engine == "vllm" and name.startswith("-") and "." in name and not _NEGATIVE.match(name):
            head = name.partition(".")[0]
            done.append((word, f"{head}={{}}" if equals or left[:1] else head))
            left = left if equals else left[1:]
        else:
            done.append((word, name + equals + value))
    return done


def _is_flag(word: str, names: dict[str, Option]) -> bool:
    if not word.startswith("-") or word == "-":
        return False
    return word in names or word.partition("=")[0] in names or not (" " in word or _NEGATIVE.match(word))


def _find(word: str, names: dict[str, Option], flags: Flags) -> tuple[str, str | None, list[str]]:
    """The flag, what is glued to it, and the names that it can stand for."""
    if word in names or flags.engine in NO_ARGPARSE:
        return word, None, [word][: word in names]
    head, equals, value = word.partition("=")
    inline = value if equals else None
    if head in names:
        return head, inline, [head]
    near = [name for name in names if flags.abbreviations and name.startswith(head)]
    if not head.startswith("--") and word[:2] in names:
        return word[:2], word[2:], [word[:2], *near]
    return head, inline, near


def _no_such(flag: str, found: Sequence[str], flags: Flags, names: dict[str, Option]) -> Flaw:
    """Unknown, or short for several; and what to write instead."""
    known = FLAGS.get(flags.engine, {}).get(flag.replace("_", "-") if flags.engine in DASHES else flag)
    instead = known.instead if known and known.instead in names else ""
    why = f": it {known.why}" if known and known.why.startswith("exists") else ""
    if found:
        text = f"{flag} is ambiguous in {said(flags)}: {_list(sorted(found))}"
        return Flaw(flag, text + (f"; use {instead}" if instead else ""))
    near = instead or (None if why else did_you_mean(flag, list(names)))
    hint = f": use {near}" if instead else f"; did you mean {near}?" if near else why
    return Flaw(flag, f"{said(flags)} does not know {flag}{hint}")


def _counts(values: str) -> tuple[int, float]:
    """How many words must follow, and how many may."""
    if values.isdigit():
        return int(values), int(values)
    return int(values == "+"), 1 if values == "?" else float("inf")


def _value(flag: str, value: str, option: Option, flags: Flags) -> Iterator[Flaw]:
    if option.choices:
        given = value.lower().replace("-", "_") if option.loose else value
        if given not in option.choices and value not in option.choices:
            near = did_you_mean(value, option.choices)
            hint = f"; did you mean {near}?" if near else ""
            yield Flaw(flag, f"{flag} {value}: {said(flags)} takes {_list(option.choices)}{hint}")
    elif option.kind and value and not any(_KINDS[kind][0](value) for kind in option.kind.split("|")):
        wants = " or ".join(_KINDS[kind][1] for kind in option.kind.split("|"))
        yield Flaw(flag, f"{flag} {_short(value)}: {said(flags)} wants {wants}")


def _list(words: Sequence[str]) -> str:
    return ", ".join(words[:LISTED]) + (f" and {len(words) - LISTED} more" if len(words) > LISTED else "")


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:59] + "…"


def _takes(convert: Callable[[str], object]) -> Callable[[str], bool]:
    def taken(value: str) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    return taken


def _object(value: str) -> None:
    if not isinstance(json.loads(value), dict):
        raise ValueError(value)


def _size(value: str) -> None:
    if not re.fullmatch(r"\d+(\.\d+)?[kKmMgGtT]i?", value.strip()):
        int(value)


_KINDS = {
    "integer": (_takes(int), "a whole number"),
    "number": (_takes(float), "a number"),
    "size": (_takes(_size), "a whole number, perhaps with k, M or G"),
    "auto": (lambda value: value.lower() == "auto", "auto"),
    "json": (_takes(json.loads), "JSON"),
    "object": (_takes(_object), "JSON in braces"),
}
