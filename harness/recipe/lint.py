"""What is wrong or risky in a recipe that loads. Pure: no engine is asked, no network.

Flags known to be gone or misleading come from a survey of 481 public commands against vLLM 0.32.0 and SGLang 0.5.23
(November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from harness import secret
from harness.errors import did_you_mean
from harness.recipe import dialects, docker, render
from harness.recipe.document import Document, Where
from harness.recipe.overrides import ALWAYS
from harness.recipe.resolve import RUNTIMES
from harness.schema.plan import faked_acceptance
from harness.schema.recipe import Recipe

ERROR, WARNING, NOTE = "error", "warning", "note"


class Finding(msgspec.Struct, frozen=True):
    path: str
    line: int
    severity: str
    """`error` (it will not run, or must not be shared so), `warning` (it may not do what it says), `note`."""
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.severity}: {self.text}"


Remark = tuple[Where, str, str]

FLAGS = {
    "sglang": {
        "--cuda-graph-max-bs": "is ambiguous in SGLang 0.5.23: use --cuda-graph-max-bs-decode there",
        "--cuda-graph-bs": "is not known to SGLang 0.5.23",
        "--mamba-scheduler-strategy": "is not known to SGLang 0.5.23",
        "--max-model-len": "is vLLM's: SGLang's is --context-length",
        "--tp": "passes only as an abbreviation: use --tp-size",
        "--speculative-algo": "passes only as an abbreviation: use --speculative-algorithm",
    },
    "vllm": {
        "--mxfp4-backend": "exists only in a fork of vLLM (0.32.0 lacks it): stock vLLM has --moe-backend",
        "--mxfp4-layers": "exists only in a fork of vLLM (0.32.0 lacks it)",
        "--gpu-memory-utilization-gb": "exists only in a fork of vLLM (0.32.0 lacks it)",
        "--max-num-seq": "passes only as an abbreviation: use --max-num-seqs",
        "--max-tokens-per-mmitem": "is not known to vLLM 0.32.0",
        "--calculate-kv-scales": "is not known to vLLM 0.32.0",
        "--model-name": "is not known to vLLM 0.32.0: use --served-model-name",
        "--context-length": "is SGLang's: vLLM's is --max-model-len",
    },
}
"""By engine: flags that newer parsers refuse, and what to write instead."""

FLOATING = re.compile(r"(^|[-.])(latest|nightly|main|master|dev|edge|stable)$")
DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def lint(recipe: Recipe) -> list[Finding]:
    """Findings by line."""
    document = Document(recipe.text, recipe.path)
    found = [
        Finding(recipe.path, document.line(*where), severity, text)
        for check in (_format, _command, _flags, _container, _model, _secrets, _published)
        for where, severity, text in check(recipe, document)
    ]
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
        near = did_you_mean(name, list(values))
        yield (
            document.find("command", f"{{{name}}}"),
            ERROR,
            f"{{{name}}} has no value" + (f"; did you mean '{near}'?" if near else ""),
        )
    used = render.used(recipe)
    for key in recipe.defaults:
        if key not in used and key not in ALWAYS:
            yield ("defaults", key), NOTE, f"the command does not use '{key}'"
    if "{{" in recipe.command and recipe.recipe_version != "1":
        yield ("command",), NOTE, "{{ }} is version 1's way to write braces; JSON needs no doubling in version 2"
    if re.search(r"\\[ \t]+\n", recipe.command):
        yield ("command",), WARNING, "blanks after a line's last backslash end the command there in a shell"
    if render.words(text) is None:
        yield ("command",), NOTE, "the command needs a shell: it runs as bash -c"


def _flags(recipe: Recipe, document: Document) -> Iterator[Remark]:
    for flag, says in FLAGS.get(RUNTIMES.get(recipe.runtime, ""), {}).items():
        if match := re.search(rf"(?<!\S){re.escape(flag)}(?=[\s=]|$)", recipe.command or ""):
            yield document.find("command", match[0]), WARNING, f"{flag} {says}"
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


def _secrets(recipe: Recipe, document: Document) -> Iterator[Remark]:
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
