"""Reading an engine's own command line, whatever wraps it (`docker run …`, `bash -c '…'`)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence


def words(argv: Sequence[str]) -> list[str]:
    """The words of a command, a shell's `-c` string taken apart."""
    found: list[str] = []
    for before, word in zip(("", *argv), argv, strict=False):
        found += _split(word) if before in {"-c", "-lc"} and " " in word else [word]
    return found


def _split(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:  # a lone quote, as in a comment: a shell may still run it
        return script.split()


def value(argv: Sequence[str], *names: str) -> str | None:
    """What follows one of `names` (`--flag value`, `--flag=value`, `--my_flag` for `--my-flag`); the last one counts."""
    found = None
    given = words(argv)
    for word, following in zip(given, [*given, None][1:], strict=True):
        flag, equals, inline = word.partition("=")
        if _dashed(flag) in names:
            found = inline if equals else following
    return found


def _dashed(flag: str) -> str:
    return flag.replace("_", "-") if flag.startswith("--") else flag


def has(argv: Sequence[str], *names: str) -> bool:
    """Whether one of `names` stands there, with a value or without."""
    return any(_dashed(word.partition("=")[0]) in names for word in words(argv))


def share(text: str | None) -> float | None:
    """A number above 0 and up to 1, or None for anything else."""
    return float(text) if text and re.fullmatch(r"0?\.[0-9]+|[01](\.0*)?", text) and float(text) > 0 else None


def whole(text: str | None) -> int | None:
    """A positive whole number, or None for anything else (`auto`, `-1`)."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0 else None
