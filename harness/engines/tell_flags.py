"""Tells which flags an engine's own parser knows, as JSON (`harness.schema.flags`). A program for the engine's Python, not for ours:
`python3 -c SOURCE vllm`. It imports the engine and the standard library, and starts nothing.

Checked with vLLM 0.32.0 and SGLang 0.5.23; where older versions of vLLM have their parser is from its source.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

MAKERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
SAMPLES = ("1", "1.5", "8k", "x", "auto", "{}", "[]")
"""A converter is known by those that it takes."""
REFUSALS = (
    *(argparse.ArgumentTypeError, ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError),
    *(TypeError, ValueError),
)
LONGEST = 200


def told(engine: str, number: str, parser: argparse.ArgumentParser) -> dict[str, object]:
    words = [_words(action.nargs) for action in parser._actions if not action.option_strings]
    return {
        "engine": engine,
        "version": number,
        "options": [_option(parser, action) for action in parser._actions if action.option_strings],
        "positionals": -1 if -1 in words else sum(words),
        "abbreviations": parser.allow_abbrev,
    }


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, object]:
    convert: Any = action.type
    choices = [str(choice) for choice in action.choices or () if choice is not None]
    return {
        "names": list(action.option_strings),
        "values": "1" if action.nargs is None else str(action.nargs),
        "kind": "" if choices or convert is None else _kind(convert),
        "choices": choices,
        "loose": convert is not None and any(_converted(convert, c.upper()) == c != c.upper() for c in choices),
        "deprecated": _deprecated(parser, action),
    }


def _words(nargs: int | str | None) -> int:
    return nargs if isinstance(nargs, int) else 1 if nargs in (None, "?") else -1


def _kind(convert: Callable[[str], object]) -> str:
    took = {sample for sample in SAMPLES if _converted(convert, sample) is not None}
    if "{}" in took and not took & {"8k", "x", "auto"}:
        return "json" if "[]" in took else "object"
    if "1" in took and not took & {"x", "{}"}:
        number = "size" if "8k" in took else "number" if "1.5" in took else "integer"
        return f"{number}|auto" if "auto" in took else number
    return ""


def _converted(convert: Callable[[str], object], sample: str) -> object | None:
    try:
        return convert(sample)
    except REFUSALS:
        return None


def _deprecated(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = " ".join((action.help or "").split())
    marked = getattr(action, "deprecated", False) or action in getattr(parser, "_deprecated", ())
    if marked or type(action).__name__.startswith("Deprecated") or text.lower().lstrip("([").startswith("deprecated"):
        return text[:LONGEST] or "deprecated"
    return ""


def _first(modules: Sequence[str], name: str) -> Any:
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"{name} is in none of {', '.join(modules)}")


def _parser(engine: str) -> argparse.ArgumentParser:
    if engine == "vllm":
        made: argparse.ArgumentParser = _first(MAKERS, "make_arg_parser")(_first(CLASSES, "FlexibleArgumentParser")())
        return made
    made = argparse.ArgumentParser()
    _first(("sglang.srt.server_args",), "ServerArgs").add_cli_args(made)
    return made


def main(engine: str) -> None:
    sys.path[:] = [path for path in sys.path if path]  # a folder `vllm` that we happen to stand beside is not the engine
    out = os.dup(1)
    os.dup2(2, 1)  # engines log to standard output while they are imported
    answer = told(engine, version(engine), _parser(engine))
    with os.fdopen(out, "w") as stream:
        json.dump(answer, stream)


if __name__ == "__main__":
    main(sys.argv[1])
