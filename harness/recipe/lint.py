"""What is wrong or risky in a recipe that loads. Pure: `harness.launch.flags` asks engines for their flags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from harness import secret
from harness.errors import RecipeError, did_you_mean, one_line
from harness.recipe import dialects, docker, flags, older, render
from harness.recipe.command import NO_PROGRAM, SAY_THE_PROGRAM
from harness.recipe.document import Document, Where
from harness.recipe.flags import ERROR, NOTE, WARNING
from harness.recipe.overrides import ALWAYS
from harness.recipe.resolve import RUNTIMES, engine_of
from harness.schema.flags import Flags
from harness.schema.plan import faked_acceptance
from harness.schema.recipe import Recipe


class Finding(msgspec.Struct, frozen=True):
    path: str
    line: int
    severity: str
    """`error` (it will not run, or must not be shared so), `warning` (it may not do what it says), `note`."""
    text: str

    def __str__(self) -> str:
        return one_line(f"{self.path}:{self.line}: {self.severity}: {self.text}")


Remark = tuple[Where, str, str]
Check = Callable[[Recipe, Document], Iterator[Remark]]

__all__ = ["ERROR", "NOTE", "WARNING", "Finding", "lint", "refused", "secrets"]

FLOATING = re.compile(r"(^|[-.])(latest|nightly|main|master|dev|edge|stable)$")
TEMPLATE = re.compile(r"\{[A-Za-z_][\w.]*\}")
DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def lint(recipe: Recipe, known: Flags | None = None, *, own: bool = False) -> list[Finding]:
    """Findings by line. `known` is what a parser of the recipe's engine says; `own`: the very one that the recipe starts."""
    document = Document(recipe.text, recipe.path)
    checks: tuple[Check, ...] = (_format, _command, _faked, _container, _model, _env, _published)
    remarks = [remark for check in checks for remark in check(recipe, document)]
    remarks += secrets(recipe)
    remarks += _flags(recipe, document, known, own=own)
    found = [Finding(recipe.path, document.line(*where), severity, text) for where, severity, text in remarks]
    return sorted(found, key=lambda finding: finding.line)


def _format(recipe: Recipe, document: Document) -> Iterator[Remark]:
    for where, line in document.repeated:
        yield where, WARNING, f"'{where[-1]}' stands twice; the value of line {line} counts"
    if recipe.recipe_version not in ("1", "2"):
        yield (
            ("recipe_version",),
            NOTE,
            f"recipe_version '{recipe.recipe_version}' is not a version of the format; read as \"2\"",
        )
    for key in recipe.other:
        if key not in dialects.KEYS and not key.startswith(dialects.COMMAND_VARIANT):
            yield (key,), NOTE, f"'{key}' is not a key of the format; kept, not acted on"
    if recipe.harness.engine is None and RUNTIMES.get(recipe.runtime) == "openai":
        yield ("runtime",), NOTE, "the harness does not start such a server: it measures one that runs, with --url"
    elif recipe.harness.engine is None and recipe.runtime not in RUNTIMES:
        near = did_you_mean(recipe.runtime, list(RUNTIMES))
        yield (
            ("runtime",),
            ERROR,
            f"the harness cannot start the runtime '{recipe.runtime}'" + (f"; did you mean '{near}'?" if near else ""),
        )
    for key in dialects.CHANGES_THE_SERVER:
        if recipe.other.get(key) and (key,) in document.lines:
            yield (key,), NOTE, f"'{key}' is not applied: the author's server may differ"


def _command(recipe: Recipe, document: Document) -> Iterator[Remark]:
    if not recipe.command:
        yield ("command",), ERROR, "the recipe has no command"
        return
    values = render.namespace(recipe)
    text, missing = render.filled(recipe, values)
    for name in dict.fromkeys(missing):
        where, said, hint = render.unfilled(document, recipe, name, values)
        yield where, ERROR, f"{said}; {hint}"
    used = render.used(recipe)
    for key in recipe.defaults:
        if key not in used and key not in ALWAYS:
            yield ("defaults", key), NOTE, f"the command does not use '{key}'"
    if "{{" in recipe.command and recipe.recipe_version != "1":
        yield ("command",), NOTE, "{{ }} is version 1's way to write braces; JSON needs no doubling in version 2"
    if re.search(r"\\[ \t]+\n", recipe.command):
        yield ("command",), WARNING, "blanks after a line's last backslash end the command there in a shell"
    words = render.words(text)
    if words and words[0] == NO_PROGRAM:
        yield ("command",), ERROR, f"the command begins with '{NO_PROGRAM}', which is no program: {SAY_THE_PROGRAM}"
    if words is None:
        yield ("command",), NOTE, "the command needs a shell: it runs as bash -c"
    if others := list(older.differences(recipe)):
        yield ("command",), NOTE, f"rendered by sparkrun 0.4's rules; {'; '.join(others)}"


def refused(recipe: Recipe, known: Flags) -> RecipeError | None:
    """The first flag that the recipe's own engine would refuse, so that nothing need be started to hear of it."""
    document = Document(recipe.text, recipe.path)
    for where, severity, text in _flags(recipe, document, known, own=True):
        if severity == ERROR:
            return document.error(where, text, "correct that line; `harness recipes lint` shows all of them")
    return None


def _flags(recipe: Recipe, document: Document, known: Flags | None, *, own: bool) -> Iterator[Remark]:
    text = render.filled(recipe, render.namespace(recipe))[0]
    plain = render.words(text)
    words = plain if plain is not None else render.shell_words(text) or text.split()
    engine = engine_of(recipe) or ""
    line = flags.server(words, engine)
    if known is None or line is None:
        found = list(flags.by_heart(words, engine))
    else:
        own = own and (recipe.container is not None or "/" not in line.program)  # else it is whichever lies there
        found = list(flags.flaws(line.arguments, known))
        if plain is None:  # what a shell makes of its words is not known here
            found = [flaw for flaw in found if flaw.flag.startswith("--") and "$" not in flaw.text]
    for flaw in found:
        excuse = recipe.harness.needs_image.get(flaw.flag)
        severity, text = flaw.severity, flaw.text
        if excuse and not own:
            severity, text = NOTE, f"{text} (this recipe's image takes it: {excuse})"
        elif severity == ERROR and not own:
            severity, text = WARNING, f"{text} (the recipe's own engine was not asked)"
        elif severity == ERROR and plain is None:
            severity = WARNING
        yield document.find("command", flaw.flag, word=True), severity, text
    for flag in recipe.harness.needs_image:
        if not any(word.partition("=")[0] == flag for word in words):
            yield ("harness", "needs_image", flag), WARNING, f"the command has no {flag}"


def _faked(recipe: Recipe, document: Document) -> Iterator[Remark]:
    env = " ".join(f"{name}={value}" for name, value in recipe.env.items())
    if faked_acceptance(f"{recipe.command} {env} {recipe.defaults}"):
        yield ("command",), WARNING, "it fakes the acceptance of drafts: the figures are synthetic and cannot be shared"


def _container(recipe: Recipe, document: Document) -> Iterator[Remark]:
    image = recipe.container
    if image:
        name, _, digest = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if not digest and "/" not in name:
            yield ("container",), WARNING, f"'{image}' is a local build: its name does not say what is in it"
        elif not digest and (not tag or FLOATING.search(tag)):
            yield ("container",), WARNING, f"'{image}' is a moving tag: name a dated tag, or better a digest (…@sha256:…)"
    settings = recipe.other.get("executor_config")
    for key, text in docker.settings(recipe, allow=frozenset())[1].items():
        yield ("executor_config", key), NOTE, text
    if "docker.sock" in str(recipe.other.get("volumes")) + str(settings):
        yield ("volumes",), ERROR, "it hands Docker's socket to the container, and with it the whole machine"


def _model(recipe: Recipe, document: Document) -> Iterator[Remark]:
    if (
        recipe.model_revision
        and recipe.command
        and "model_revision" not in render.used(recipe)
        and recipe.model_revision not in recipe.command
    ):
        yield ("model_revision",), WARNING, "the command does not pass it on: add --revision {model_revision}"
    if not recipe.model_revision and re.fullmatch(r"[\w.-]+/[\w.-]+", recipe.model):
        yield ("model",), NOTE, "no model_revision: the weights may change under the same name"


def _env(recipe: Recipe, document: Document) -> Iterator[Remark]:
    """What looks as if it were filled in, and is not."""
    for name, value in recipe.env.items():
        if secret.REFERENCE.fullmatch(value):
            continue
        if "$" in value:
            yield (
                ("env", name),
                NOTE,
                f"'{value}' is passed on as it stands: only a value that is nothing but $NAME is looked up",
            )
        elif TEMPLATE.search(value):
            yield ("env", name), WARNING, f"'{value}' is passed on as it stands: placeholders are filled in only in the command"


def secrets(recipe: Recipe) -> Iterator[Remark]:
    """What must not be stored or handed on."""
    for name, value in recipe.env.items():
        if secret.in_variable(name, value):
            yield ("env", name), ERROR, f"a secret in plain text: write {name}: ${name}, which is passed on without being read"
    found: list[Where] = [("command",)] if secret.in_text(recipe.command or "") else []
    found += [("defaults", key) for key, value in recipe.defaults.items() if secret.in_variable(key, str(value))]
    for where in found:
        yield where, ERROR, "a secret in plain text: take it from the environment"


def _published(recipe: Recipe, document: Document) -> Iterator[Remark]:
    for index, figure in enumerate(recipe.harness.published):
        where: Where = ("harness", "published", index)
        if not DATE.fullmatch(figure.date):
            yield where, WARNING, f"{figure.metric} has no date (YYYY-MM-DD)"
        if not figure.source.strip():
            yield where, WARNING, f"{figure.metric} has no source"
        known = [number for number in (figure.low, figure.value, figure.high) if number is not None]
        if known != sorted(known):
            yield where, WARNING, f"{figure.metric}: low, value and high are not in order"
