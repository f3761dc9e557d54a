"""Command templates → command lines, by the rules of sparkrun 0.4.2. Pure.

`{name}` is replaced by its value, and again in what came in, up to ten times. A template's braces that enclose anything but a
plain name are text, so JSON needs no care; in what came in a brace reaches to the next closing one, so that nothing inside JSON is
replaced. Where a template (or a value) contains `{{`, `{{` and `}}` mean one brace each. A backslash followed by blanks still
continues the line. Ours alone: a name that stays is an error, a mapping or list becomes JSON (sparkrun would write Python).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import msgspec

from harness.errors import did_you_mean
from harness.recipe.document import Document, Where
from harness.schema.recipe import Recipe

PASSES = 10
LONGEST = 256 * 1024
"""Characters of a command: more than any kernel takes."""

_PLACEHOLDER = re.compile(r"\{.*?\}")
_NAME = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_.-]*)\}")  # ${NAME} is the shell's
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\$`]|\\.)*\"|\\(?:.|\n)")
_SHELL = re.compile(
    r"[;&|<>$`()\n\"'*?]|(?:^|\s)[#~!]|^\s*[A-Za-z_]\w*=|^\s*(?:export|source|cd|exec|set)\s|\{[^\s{}]*,[^\s{}]*\}"
)
_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters that stand for literal braces meanwhile


def namespace(recipe: Recipe) -> dict[str, object]:
    """What placeholders may name: the defaults, `model`, `resolved_model_path`, and `model_revision` where one is pinned."""
    names: dict[str, object] = {"model": recipe.model, "resolved_model_path": recipe.model}
    if recipe.model_revision:
        names["model_revision"] = recipe.model_revision
    return names | recipe.defaults


def command(recipe: Recipe, values: Mapping[str, object]) -> str:
    """The recipe's command line as one text. Raises `RecipeError` with file and line for a placeholder without a value."""
    if not recipe.command:
        document = Document(recipe.text, recipe.path)
        raise document.error((), "the recipe has no command", "write out the engine's command line under 'command:'")
    rendered, missing = filled(recipe, values)
    if missing:
        document = Document(recipe.text, recipe.path)
        raise document.error(*unfilled(document, recipe, missing[0], values))
    return re.sub(r"\\[ \t]+\n", "\\\\\n", rendered)


def filled(recipe: Recipe, values: Mapping[str, object]) -> tuple[str, list[str]]:
    """The command filled in, and the names that have no value. Raises `RecipeError` where it grows without end."""
    try:
        return substitute((recipe.command or "").strip(), values)
    except OverflowError as error:
        document = Document(recipe.text, recipe.path)
        raise document.error(("command",), f"the command {error}", "a default holds itself several times: mend it") from None


def substitute(template: str, values: Mapping[str, object]) -> tuple[str, list[str]]:
    """The template filled in, and the names that have no value. Raises `OverflowError`."""
    escaped = "{{" in template
    text = _BRACES.sub(lambda found: _literal(found[0], escaped), template)
    for _ in range(PASSES):
        before, text = text, _pass(text, values)
        if text == before:
            break
    return text.replace(_OPEN, "{").replace(_CLOSE, "}"), _NAME.findall(text)


def _pass(text: str, values: Mapping[str, object]) -> str:
    """One pass, given up as soon as it is too long: it could be gigabytes at its end."""
    left = LONGEST - len(text)

    def value(found: re.Match[str]) -> str:
        nonlocal left
        came = _value(found, values)
        left -= len(came)
        if left < 0:
            raise OverflowError(f"grows beyond {LONGEST} characters")
        return came

    return _PLACEHOLDER.sub(value, text)


def names(template: str) -> set[str]:
    """The placeholders of a template, whether they have values or not."""
    escaped = "{{" in template
    return set(_NAME.findall(_BRACES.sub(lambda found: _literal(found[0], escaped), template)))


def used(recipe: Recipe) -> set[str]:
    """Every placeholder of the command, and of the defaults that come in for them."""
    return _reached(recipe, names(recipe.command or ""))


def _reached(recipe: Recipe, new: set[str]) -> set[str]:
    """These, and what comes in for them."""
    found: set[str] = set()
    while new - found:
        found |= new
        new = set().union(*(names(value) for name in found if isinstance(value := recipe.defaults.get(name), str)))
    return found


def _literal(found: str, escaped: bool) -> str:
    """Hides the braces that do not enclose a placeholder."""
    if found in ("{{", "}}"):
        return (_OPEN if found == "{{" else _CLOSE) * (1 if escaped else 2)
    if len(found) > 1:
        return found
    return _OPEN if found == "{" else _CLOSE


def _value(found: re.Match[str], values: Mapping[str, object]) -> str:
    value = values.get(found[0].strip("{}"))
    if value is None:
        return found[0]
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    text = str(value)
    return text.replace("{{", "{").replace("}}", "}") if "{{" in text else text


def unfilled(document: Document, recipe: Recipe, name: str, values: Mapping[str, object]) -> tuple[Where, str, str]:
    """Where a name stands that was not replaced, why, and what to do."""
    placeholder = f"{{{name}}}"
    if values.get(name) is not None:
        if name in _reached(recipe, names(str(recipe.defaults.get(name)))):
            return ("defaults", name), f"the value of '{name}' holds itself", "write out what it is"
        key = next((key for key, value in recipe.defaults.items() if placeholder in str(value)), name)
        said = f"{placeholder} is not filled in: it stands in the braces of the value of '{key}'"
        return ("defaults", key), said, "in the command itself it is: write that value there"
    near = did_you_mean(name, list(values))
    known = ", ".join(sorted(values))
    hint = f"did you mean '{near}'? Known: {known}" if near else f"add '{name}:' under 'defaults:'. Known: {known}"
    return document.find("command", placeholder), f"the command's {placeholder} has no value", hint


def words(text: str) -> list[str] | None:
    """The command as its argv, or None where only a shell can run it (`&&`, `|`, `$`, comments, several lines …)."""
    text = text.rstrip()
    while (len(text) - len(text.rstrip("\\"))) % 2:
        text = text[:-1].rstrip()  # a continued line with nothing after it
    if _SHELL.search(_QUOTED.sub(lambda found: " " if found[0] == "\\\n" else "x", text)):
        return None
    return shlex.split(_QUOTED.sub(lambda found: "" if found[0] == "\\\n" else found[0], text))


def shell_words(text: str) -> list[str] | None:
    """The words of a shell's command, only to read its flags; None where a quote is never closed, which no shell runs either."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return None
