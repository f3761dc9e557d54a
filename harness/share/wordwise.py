"""Texts of several words, word by word: sentences, command lines, environments, values of settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness import secret
from harness.share.grammar import LEFT_OUT, LONGEST, is_number, tokens
from harness.share.names import MODEL, Given

_PIECE = re.compile(r"[^\s\"'`{}\[\]();,|&<>!*?\\]+|[<>`]")
"""What stands between the punctuation of JSON, YAML and shells. Theirs is kept, as it says nothing; what could pass for a mark of ours is
not."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_ADDRESS = re.compile(r"\[?[0-9A-Fa-f]*[:.][0-9A-Fa-f:.]{5,}\]?(:\d+)?|[\w.-]+@.+|(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?")
_PATH = re.compile(r"[/~.].|[A-Za-z]:[\\/]|.*/\.")
_FLAG = re.compile(r"(--?)([A-Za-z][\w.-]*)", re.ASCII)
_VARIABLE = re.compile(
    r"(?:NCCL|VLLM|SGLANG|SGL|CUDA|TORCH|PYTORCH|TORCHINDUCTOR|TRITON|OMP|MKL|UCX|GLOO|HF|TRANSFORMERS|TOKENIZERS|FLASHINFER|LLAMA|GGML"
    r"|NVIDIA|RAY|SIMULATE|SAFETENSORS)_[A-Z0-9_]+"
)
_REFERENCE = re.compile(r"\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))")


def sentence(given: Given, text: str) -> str:
    """The text, its hosts renamed, if it says nothing but public words and numbers; else that it was left out."""
    if not text:
        return text
    if len(text) > LONGEST or not text.isprintable():
        return LEFT_OUT
    done = text
    for token in tokens(text):
        if _PATH.match(token) and not token.startswith(("/sys/", "/proc/", "/dev/")) and not is_number(token):
            return LEFT_OUT
        name = token if given.name(token) else token.partition(":")[0]
        if (other := given.name(name)) is not None:
            done = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", other, done)
        elif not given.plain(token):
            return LEFT_OUT
    return done


def piece(given: Given, word: str) -> str:
    """One word of a command line or a value."""
    if (name := given.name(word)) is not None:
        return name
    if _URL.match(word):
        return "<url>"
    if _PATH.match(word) and not is_number(word):
        last = word.rstrip("/").rpartition("/")[2]
        return f"<path>/{last}" if last in PROGRAMS else "<path>"
    if given.plain(word) or word in ("$", "%", "@", "-", "--", "=", ":", "/", "~", ".", "+", "#"):
        return word
    if (flag := _FLAG.match(word)) and (flag.end() == len(word) or word[flag.end()] == "="):
        return _flag(given, flag, word)
    if reference := _REFERENCE.fullmatch(word):
        name = reference[1] or reference[2]
        return word if given.plain(name) else "<text>"
    name, equals, value = word.partition("=")
    if equals and name and given.plain(name):
        return f"{name}={'<text>' if secret.in_name(name) else piece(given, value) if value else ''}"
    if _ADDRESS.fullmatch(word):
        return "<address>"
    if _REPOSITORY.fullmatch(word):
        return given.asked(MODEL, word)
    return "<path>" if "/" in word else "<text>"


PROGRAMS = frozenset(["python", "python3", "vllm", "sglang", "llama-server", "bash", "sh", "env"])


def _flag(given: Given, flag: re.Match[str], word: str) -> str:
    """Of `--flag` and `--flag=value`."""
    if not given.plain(flag[2]):
        return "<text>"
    if flag.end() == len(word):
        return word
    value = word[flag.end() + 1 :]
    return f"{flag[0]}={'<text>' if secret.in_name(flag[2]) else piece(given, value) if value else ''}"


def words(given: Given, text: str) -> str:
    """A value of any kind, or a whole script: every piece that is not let through is replaced by what it was."""
    found = []
    last, hidden = 0, False
    for match in _PIECE.finditer(text):
        between = text[last : match.start()]
        found.append(between if between.isascii() and between.replace("\n", "").replace("\t", "").isprintable() else " ")
        last = match.end()
        if match[0] in ":=":
            found.append(match[0])
            continue
        found.append("<text>" if hidden and match[0][0] != "$" else "" if match[0] in "<>`" else piece(given, match[0]))
        hidden = _hides(match[0])
    return "".join(found) + (text[last:] if text[last:].isascii() else "")


def _hides(word: str) -> bool:
    """Whether what follows is a secret, however harmless it looks: `--api-key 1234`, `"password": "winter"`."""
    name = word.strip("-").rstrip(":=")
    return not is_number(name) and secret.in_name(name) and (word.startswith("-") or word[-1] in ":=" or name == word)


def command(given: Given, argv: Sequence[str]) -> tuple[str, ...]:
    """Word for word, so that every flag has its value."""
    done: list[str] = []
    for before, word in zip(("", *argv), argv, strict=False):
        done.append("<text>" if _hides(before) and not word.startswith(("-", "$")) else words(given, word))
    return tuple(done)


def environment(given: Given, env: Mapping[str, str]) -> dict[str, str]:
    """Of engines and their libraries only. A reference stays one, and is nothing that was looked up."""
    return {
        name: value if secret.REFERENCE.fullmatch(value) and given.plain(value.strip("${}")) else words(given, value)
        for name, value in env.items()
        if _VARIABLE.fullmatch(name) and given.plain(name) and (secret.REFERENCE.fullmatch(value) or not secret.in_name(name))
    }


def settings(given: Given, found: Mapping[str, str]) -> dict[str, str]:
    """What a server tells of its settings, by names that engines have."""
    return {
        name: words(given, value)
        for name, value in found.items()
        if given.plain(name) and not secret.in_name(name.split(".")[-1])
    }


def value(given: Given, data: Any) -> Any:
    """JSON and YAML. Of a mapping the entries whose names are public."""
    if isinstance(data, str):
        return words(given, data)
    if isinstance(data, Mapping):
        return {
            key: value(given, each)
            for key, each in data.items()
            if isinstance(key, str) and given.plain(key) and not secret.in_name(key)
        }
    if isinstance(data, list | tuple):
        return [value(given, each) for each in data]
    return data if data is None or isinstance(data, bool | int | float) else "<text>"


def under(given: Given, name: str, data: Any) -> Any:
    """A value that stands under a name, which may be that of a secret."""
    reference = isinstance(data, str) and secret.REFERENCE.fullmatch(data)
    return "<text>" if secret.in_name(name) and not reference else value(given, data)
