"""What the recipe needs besides Docker: an engine, its model, disk, memory, a port, and flags that its engine knows."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from harness import fits
from harness.doctor.patient import Patient
from harness.engines import ENGINES
from harness.errors import RecipeError
from harness.launch import flags, preflight
from harness.launch.watchdog import default_floor
from harness.offline import LOADS_NOTHING
from harness.recipe import lint, render
from harness.recipe.flags import said
from harness.recipe.resolve import engine_of
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.schema.memory import FITS, UNKNOWN, Fit
from harness.schema.plan import Plan
from harness.schema.recipe import Recipe
from harness.schema.weights import Weights
from harness.sense import memory
from harness.weights import model

GIB = 2**30
DF_LIMIT_S = 1.0
RESULTS_BYTES, RESULTS_LEAST_BYTES = 2 * GIB, 100 * 2**20
"""A long run stores some hundred MB of records and samples."""
PATHS = ("/", ".", "~")
"""A model whose name begins so is a folder or a file."""
END = "end other programs; memory that a stopped one held may take a minute to come back"


def look(patient: Patient) -> Iterator[Check]:
    recipe = patient.recipe
    if recipe is None:
        text = "none was named: its engine, image, model, port and flags are not looked at"
        yield Check("recipe", SKIP, text, "name one: harness doctor RECIPE (`harness recipes list` shows them)")
        yield _disk(patient, "disk", patient.results, RESULTS_BYTES, RESULTS_LEAST_BYTES, "for results")
        yield _memory(patient, None)
        return
    yield from _flags(patient, recipe)
    if patient.plan is not None:
        yield from _engine(patient, patient.plan)
    machine = patient.machine
    place = model.place(recipe.model, recipe.model_revision, machine)
    weights, reason = model.weigh(recipe.model, recipe.model_revision, machine, said=recipe.metadata)
    loads = patient.plan is None or patient.plan.engine != LOADS_NOTHING
    if loads:
        yield _model(recipe, place, reason if isinstance(place, Path) else "")
    yield _disk(patient, "disk", patient.results, RESULTS_BYTES, RESULTS_LEAST_BYTES, "for results")
    if loads and not isinstance(place, Path) and _of_the_hub(recipe.model) and (size := _download_bytes(recipe, weights)):
        cache = Path(machine.hf_hub or machine.hf_home)
        yield _disk(patient, "disk for the model", cache, size, size, f"for the {size / GIB:.0f} GiB of {recipe.model}")
    fit = _fit(patient, recipe)
    yield _memory(patient, fit)
    if fit is not None and fit.weights_bytes is not None:
        yield of_fit(fit)
    if patient.plan is not None:
        yield _port(patient, patient.plan)


def of_fit(fit: Fit) -> Check:
    status = {FITS: PASS, UNKNOWN: SKIP}.get(fit.verdict, FAIL if fit.certain else WARN)
    return Check("memory fit", status, f"{fit.verdict}: {fit.text}", f"use {fit.setting}" if fit.setting else "")


def _fit(patient: Patient, recipe: Recipe) -> Fit | None:
    """Also of a recipe that has no plan here, as one for several machines."""
    if patient.plan is not None:
        return fits.of_plan(patient.plan, recipe, patient.machine)
    engine = ENGINES.get(engine_of(recipe) or "")
    try:
        words = render.shell_words(render.filled(recipe, render.namespace(recipe))[0])
    except RecipeError:
        return None
    if engine is None or words is None:
        return None
    gpu = engine.needs_gpu(words, recipe.env)
    return fits.of_command(recipe, engine.NAME, words, recipe.env, patient.machine, gpu=gpu)


def _flags(patient: Patient, recipe: Recipe) -> Iterator[Check]:
    refusal = patient.refusal
    if refusal is not None:
        yield Check("recipe", FAIL, refusal.message, refusal.hint)
    engine = engine_of(recipe) or ""
    asked = flags.ask(patient.host, patient.machine, engine, recipe.container, kept=patient.cache, say=patient.say)
    yield from of_flags(recipe, asked, planned=refusal is None)


def of_flags(recipe: Recipe, asked: flags.Asked, *, planned: bool) -> Iterator[Check]:
    grave = {lint.ERROR: FAIL, lint.WARNING: WARN}
    found = [finding for finding in lint.lint(recipe, asked.flags, own=asked.own) if finding.severity in grave]
    for finding in found:
        advice = f"correct line {finding.line} of {finding.path}"
        yield Check("recipe", grave[finding.severity], finding.text, advice)
    if not found and planned:
        yield Check("recipe", PASS, f"{recipe.name} has no flag that is known to be wrong for its engine")
    if asked.flags is None:
        yield Check("flags", SKIP, f"checked against a list only: {asked.reason}")
    else:
        other = "" if asked.own else ", which is installed here; the recipe's own image was not asked"
        yield Check("flags", PASS, f"checked against the parser of {said(asked.flags)}{other}")


def _engine(patient: Patient, plan: Plan) -> Iterator[Check]:
    for need in plan.requires:
        kind, _, engine = need.partition(":")
        if kind != "engine":
            continue
        lacking = preflight.missing([need], patient.machine, plan.recipe_name)
        if lacking:
            yield Check("engine", FAIL, lacking.message, lacking.hint)
        else:
            yield Check("engine", PASS, f"{engine} is in {patient.machine.engines[engine] or 'the PATH'}")


def _of_the_hub(model: str) -> bool:
    """Whether an engine downloads what is not there."""
    return "/" in model and not model.startswith(PATHS)


def _model(recipe: Recipe, place: Path | str, incomplete: str) -> Check:
    if isinstance(place, Path):
        if incomplete:
            return Check(
                "model", WARN, f"{recipe.model}: {incomplete}", f"look into {place}: a download may have been cut short"
            )
        return Check("model", PASS, f"{recipe.model} is in {place}")
    if not _of_the_hub(recipe.model):
        return Check(
            "model", FAIL, f"{recipe.model}: {place}", "`make engines` brings the small models; see the recipe for others"
        )
    revision = f" --revision {recipe.model_revision}" if recipe.model_revision else ""
    advice = f"hf download {recipe.model}{revision}; else the first start does it, and takes so much longer"
    return Check("model", WARN, f"{recipe.model}: {place}", advice)


def _download_bytes(recipe: Recipe, weights: Weights | None) -> int | None:
    """By the recipe's metadata; None where they do not say."""
    said = recipe.metadata.get("disk_gb")
    if isinstance(said, (int, float)) and not isinstance(said, bool) and said > 0:
        return round(said * 1e9)
    return weights.memory_bytes if weights else None


def _disk(patient: Patient, name: str, folder: Path, wanted: int, least: int, what: str) -> Check:
    """`folder` need not exist yet."""
    folder = folder.absolute()
    there = next((p for p in (folder, *folder.parents) if patient.host.glob(glob.escape(str(p)))), Path("/"))
    asked = patient.host.run(["df", "-B1", "--output=avail", str(there)], timeout_s=DF_LIMIT_S)
    words = asked.out.split()
    if asked.code != 0 or not words or not words[-1].isdecimal():
        return Check(name, SKIP, f"how much is free in {there} is not known", f"look: df {there}")
    free = int(words[-1])
    text = f"{free / GIB:.1f} GiB are free {what} ({there})"
    if free >= wanted:
        return Check(name, PASS, text)
    return Check(name, FAIL if free < least else WARN, text, "make room there, or choose another folder (--results, HF_HOME)")


def _memory(patient: Patient, fit: Fit | None) -> Check:
    """What is available now. Weights lie in the memory that programs share, or in the GPU's own where it has such."""
    machine = patient.machine
    floor = default_floor(machine) or 0
    free = memory.free_bytes(patient.system_root)
    if free is None:
        return Check("memory", SKIP, "what is available cannot be read", "look into /proc/meminfo")
    kept = f", {floor / GIB:.0f} of them are kept free" if floor else ""
    text = f"{free / GIB:.1f} of {machine.memory_bytes / GIB:.1f} GiB are available{kept}"
    if free <= floor:
        return Check(
            "memory", FAIL, text, "end other programs: a server would be stopped at once, before it freezes the machine"
        )
    if fit is None or fit.weights_bytes is None:
        return Check("memory", PASS, f"{text}{f'; {fit.text}' if fit else ''}")
    need = fit.weights_bytes + (fit.draft_bytes or 0)
    if fit.room is None:
        return Check("memory", SKIP, f"the weights need {need / GIB:.1f} GiB of a GPU that is not there")
    text = f"{text}, the weights need {need / GIB:.1f}"
    if fit.room.total_bytes != machine.memory_bytes:
        text = f"the GPUs have {fit.room.total_bytes / GIB:.1f} GiB, the weights need {need / GIB:.1f}"
        small = need < fit.room.total_bytes
        return Check("memory", PASS if small else FAIL, text, "" if small else "take a smaller model")
    if need >= machine.memory_bytes - floor:
        return Check("memory", FAIL, text, "take a smaller model, or one with fewer bits")
    if need >= free - floor:
        return Check("memory", FAIL, text, END)
    if fit.reserved_bytes is not None and fit.reserved_bytes > free:
        return Check("memory", FAIL, f"{text}, and its engine wants {fit.reserved_bytes / GIB:.1f} at once", END)
    return Check("memory", PASS, text)


def _port(patient: Patient, plan: Plan) -> Check:
    """A taken one is no obstacle where the harness may choose another, as it does then."""
    if patient.host.port_free(plan.host, plan.port):
        return Check("port", PASS, f"{plan.port} is free")
    owner = patient.host.port_owner(plan.port)
    text = f"{plan.port} is taken{f' by {owner}' if owner else ''}"
    try:
        patient.plan_with(port=str(plan.port + 1))
    except RecipeError as error:
        return Check("port", FAIL, f"{text}, and another cannot be chosen: {error.message}", "end that program")
    return Check("port", WARN, text, "end that program if it is a server that was left over; else another port is taken")
