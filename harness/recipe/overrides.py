"""`--set key=value` applied to a recipe. Pure.

A key is a default of the recipe, or any other placeholder of its command; `host` and `port`; the recipe's own `model`,
`model_revision`, `container` and `runtime`; `env.NAME`; `ready_timeout_s` and `stop_grace_s` of the launch. A value is read
as YAML would read it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness import secret
from harness.errors import RecipeError, UsageError, did_you_mean
from harness.recipe import render
from harness.recipe.document import Document
from harness.recipe.load import VARIABLE
from harness.schema.recipe import Recipe

OF_THE_RECIPE = ("model", "model_revision", "container", "runtime")
OF_THE_MODEL = ("model", "model_revision")
OF_THE_LAUNCH = ("ready_timeout_s", "stop_grace_s")
ALWAYS = ("host", "port", "served_model_name")
"""These are put into the command line even where its template does not name them."""


class Applied(msgspec.Struct, frozen=True):
    recipe: Recipe
    launch: dict[str, float]
    """Seconds by the names of `OF_THE_LAUNCH`."""


def apply(recipe: Recipe, overrides: Mapping[str, str]) -> Applied:
    """Raises `RecipeError` for a key that does not exist or would change nothing, `UsageError` for a value that cannot be."""
    fields: dict[str, str | None] = {}
    defaults, env = dict(recipe.defaults), dict(recipe.env)
    launch: dict[str, float] = {}
    used = render.used(recipe)
    for key, text in overrides.items():
        variable = key.removeprefix("env.") if key.startswith("env.") else ""
        if secret.in_variable(variable or key, text):
            name = variable or "NAME"
            hint = f"pass it on unread: --set env.{name}='${name}', with {name} exported"
            raise UsageError(f"--set {key}: a secret, which the plan and the result would store", hint)
        if variable and not VARIABLE.fullmatch(variable):
            raise UsageError(f"--set {key}: '{variable}' is not a variable's name", "write it like --set env.NAME=value")
        if variable:
            env[variable] = text
        elif key in OF_THE_LAUNCH:
            launch[key] = _seconds(key, text)
        elif key in OF_THE_RECIPE:
            if not text and key in ("model", "runtime"):
                raise UsageError(f"--set {key}=: a recipe cannot be without it", f"write it like --set {key}=NAME")
            if key in OF_THE_MODEL and recipe.command and key not in used:
                raise _refused(recipe, key, used)
            fields[key] = text or None
            if key in defaults:
                defaults[key] = text
        elif key in used or key in ALWAYS:
            defaults[key] = scalar(text)
        else:
            raise _refused(recipe, key, used)
    if "model" in fields and "model_revision" not in fields:
        if "model_revision" in used:
            hint = "name this one's too: --set model_revision=COMMIT"
            raise UsageError(f"--set model={fields['model']}: the recipe's model_revision is another model's", hint)
        fields["model_revision"] = None
    return Applied(msgspec.structs.replace(recipe, defaults=defaults, env=env, **fields), launch)


def scalar(text: str) -> object:
    """`8192` is a number, `true` a boolean, as in a recipe; whatever is not one plain value (JSON, say) stays text."""
    try:
        value: object = Document(text, "--set").value
    except RecipeError:
        return text
    return text if value is None or isinstance(value, dict | list) else value


def _refused(recipe: Recipe, key: str, used: set[str]) -> RecipeError:
    document = Document(recipe.text, recipe.path)
    if key in recipe.defaults or key in OF_THE_MODEL:
        return document.error(
            ("defaults", key) if key in recipe.defaults else (key,),
            f"the command does not use {{{key}}}, so --set {key} would change nothing",
            f"put {{{key}}} into the command of a copy of this recipe",
        )
    known = sorted({*recipe.defaults, *used, *OF_THE_RECIPE, *OF_THE_LAUNCH, *ALWAYS})
    near = did_you_mean(key, known)
    hint = f"did you mean '{near}'?" if near else f"known: {', '.join(known)}, env.NAME"
    return document.error(("defaults",), f"defaults has no key '{key}'", hint)


def _seconds(key: str, text: str) -> float:
    value = scalar(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UsageError(f"--set {key}={text}: not a number of seconds", f"write it like --set {key}=60")
    return float(value)
