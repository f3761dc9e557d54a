"""The same template by the rules of other loaders: sparkrun 0.2 and eugr's run-recipe. Pure.

The harness renders by sparkrun 0.4's rules (`harness.recipe.render`). An author whose loader was another one may have run another
command. Checked against sparkrun 0.2.40, and against run-recipe.py of eugr/spark-vllm-docker at 181ade0, which is `str.format`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from harness.errors import RecipeError, did_you_mean
from harness.recipe import render
from harness.recipe.document import Document
from harness.schema.recipe import Recipe

SPARKRUN_0_4, SPARKRUN_0_2, EUGR = "sparkrun-0.4", "sparkrun-0.2", "eugr"
DIALECTS = {SPARKRUN_0_4: "sparkrun 0.4", SPARKRUN_0_2: "sparkrun 0.2", EUGR: "eugr's run-recipe"}

PASSES = 100
"""sparkrun 0.2 itself goes on until nothing changes, which for a value that holds itself is never."""
EUGR_NEEDS = ("name", "recipe_version", "container", "command")

_SPAN = re.compile(r"\{(.*?)\}")
_LONG_NUMBER = re.compile(r"\d{4}")
"""In a format's width: it would pad to gigabytes."""


def command(recipe: Recipe, dialect: str) -> str:
    """The command line as this loader makes it. Raises `RecipeError` where that loader refuses the recipe or would never end."""
    if not recipe.command or dialect == SPARKRUN_0_4:
        return render.command(recipe, render.namespace(recipe))
    return _sparkrun_0_2(recipe) if dialect == SPARKRUN_0_2 else _eugr(recipe)


def differences(recipe: Recipe) -> Iterator[str]:
    """How other loaders' commands differ from ours, a clause each. Eugr's is asked about version 1 only: it is written for that."""
    try:
        ours = command(recipe, SPARKRUN_0_4)
    except RecipeError:
        return
    for dialect in (SPARKRUN_0_2, EUGR) if recipe.recipe_version == "1" else (SPARKRUN_0_2,):
        try:
            theirs = command(recipe, dialect)
        except RecipeError as error:
            yield re.sub(rf"^{re.escape(recipe.path)}:\d+: ", "", error.message)
            continue
        if _words(theirs) != _words(ours):
            yield f"{DIALECTS[dialect]} makes another command of it (harness recipes show {recipe.name} --dialect {dialect})"


def _words(text: str) -> list[str]:
    words = render.words(text)
    return text.split() if words is None else words


def _sparkrun_0_2(recipe: Recipe) -> str:
    """Any braces up to the next closing one are a placeholder, JSON or not; one without a value stays as it is."""
    values = {"model": recipe.model, **recipe.defaults}
    text = (recipe.command or "").strip()

    def value(found: re.Match[str]) -> str:
        said = values.get(found[0].strip("{}"))
        return found[0] if said is None else str(said)

    for _ in range(PASSES):
        before, text = text, _SPAN.sub(value, text)
        if text == before:
            return re.sub(r"\\ +\n", "\\\\\n", text)
        if len(text) > render.LONGEST:
            break
    raise _error(recipe, SPARKRUN_0_2, "never has the command whole: a default holds itself", "mend that default")


def _eugr(recipe: Recipe) -> str:
    document = Document(recipe.text, recipe.path)
    for key in EUGR_NEEDS:
        if (key,) not in document.lines:
            raise _error(recipe, EUGR, f"refuses a recipe without '{key}'", f"add '{key}:'")
    text = _formatted(recipe).rstrip()
    if text.endswith("\\"):
        text = text.rstrip("\\\n").rstrip()
    return text.strip()


def _formatted(recipe: Recipe) -> str:
    """`str.format`, but for what no recipe needs: attributes, indices, and formats inside formats are refused."""
    done = []
    try:
        for literal, name, form, conversion in string.Formatter().parse(recipe.command or ""):
            done.append(literal)
            if name is None:
                continue
            if name not in recipe.defaults or not name or re.search(r"[.\[]", name) or name.isdigit():
                raise _without_value(recipe, name)
            if conversion or _LONG_NUMBER.search(form or "") or "{" in (form or ""):
                raise ValueError(f"{{{name}}} asks for a format")
            done.append(format(recipe.defaults[name], form or ""))
    except (ValueError, TypeError) as error:
        raise _error(recipe, EUGR, f"cannot format the command: {error}", "write every brace of JSON twice") from None
    return "".join(done)


def _without_value(recipe: Recipe, name: str) -> RecipeError:
    near = did_you_mean(name, list(recipe.defaults))
    hint = f"did you mean '{near}'?" if near else "it knows only the names under 'defaults:'"
    return _error(recipe, EUGR, f"has no value for {{{name}}}", hint, at=f"{{{name}")


def _error(recipe: Recipe, dialect: str, message: str, hint: str, at: str = "") -> RecipeError:
    document = Document(recipe.text, recipe.path)
    where = document.find("command", at) if at else ("command",)
    return document.error(where, f"{DIALECTS[dialect]} {message}", hint)
