"""Whether a server will fit the memory of its machine, or of its machines, before it is started: by the headers of the model's files, else
by the recipe's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.engines import ENGINES, flags
from harness.launch.watchdog import SHARED_MEMORY_GPUS, default_floor
from harness.schema.machine import Gpu, Machine
from harness.schema.memory import UNKNOWN, Claim, Fit
from harness.schema.plan import Plan
from harness.schema.recipe import Recipe
from harness.schema.weights import METADATA, Weights
from harness.weights import fit, metadata, model
from harness.weights.config import number

HALF = "f16"
"""llama.cpp's cache where it is not told otherwise."""


def of_plan(plan: Plan, recipe: Recipe, machine: Machine) -> Fit | None:
    """None where nothing is started, or what is started has no model. `recipe` is the one that the plan was made of. Of several machines
    the one with the least memory is looked at, and weighed is what lies on this one."""
    if plan.launch is None:
        return None
    asked = max((cell.context_tokens * (cell.concurrency or 1) for cell in plan.workload.cells), default=0)
    gpu = "gpu" in plan.requires
    if plan.nodes:
        if gpu and (host := next((node.host for node in plan.nodes if set(node.gpus) - SHARED_MEMORY_GPUS), None)):
            return Fit(verdict=UNKNOWN, text=f"how much memory the GPU of {host} has is not known")
        least = min(plan.nodes, key=lambda node: node.memory_bytes)
        gpus = tuple(Gpu(index=index, name=name) for index, name in enumerate(least.gpus))
        machine = msgspec.structs.replace(machine, memory_bytes=least.memory_bytes, gpus=gpus)
    return of_command(
        planned(plan, recipe),
        plan.engine,
        plan.launch.argv,
        plan.launch.env,
        machine,
        gpu=gpu,
        asked_tokens=asked,
        machines=len(plan.nodes) or 1,
    )


def planned(plan: Plan, recipe: Recipe) -> Recipe:
    """The recipe with the plan's model; metadata of another model is left out."""
    said = recipe.metadata if plan.model == recipe.model else {}
    return msgspec.structs.replace(recipe, model=plan.model, model_revision=plan.model_revision, metadata=said)


def of_command(
    recipe: Recipe,
    engine: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    machine: Machine,
    *,
    gpu: bool,
    asked_tokens: int = 0,
    machines: int = 1,
) -> Fit | None:
    """The same, of a command line; on each of so many machines like this one."""
    claim = ENGINES[engine].memory(argv, env)
    if claim is None:
        return None
    weights, reason = weigh(recipe, claim, argv, machine)
    if weights is None:
        return Fit(verdict=UNKNOWN, text=f"what the weights need is not known: {reason}")
    draft, unweighed = _draft(recipe, claim, machine)
    found = fit.fit(
        fit.room(machine, gpu=gpu, floor_bytes=default_floor(machine) or 0),
        weights,
        draft,
        claim,
        context=number(recipe.metadata, "model_max_len"),
        asked_tokens=asked_tokens,
        machines=machines,
    )
    basis = "By the recipe's metadata" if weights.source == METADATA else "By the headers of its files"
    return msgspec.structs.replace(found, text=f"{found.text}. {basis}{unweighed}.")


def weigh(recipe: Recipe, claim: Claim | None, argv: Sequence[str], machine: Machine) -> tuple[Weights | None, str]:
    """The model's weights, with the cache in the type that the command line asks for; None comes with a reason. Where weights are quantised
    while they are loaded, their files say too much, and metadata goes before them."""
    kv_dtype = cache_type(argv)
    if claim is not None and claim.quantises:
        weights, _ = metadata.from_metadata(recipe.metadata, model=recipe.model, kv_dtype=kv_dtype)
        if weights is not None:
            return weights, ""
    return model.weigh(recipe.model, recipe.model_revision, machine, said=recipe.metadata or None, kv_dtype=kv_dtype)


def estimated(plan: Plan, recipe: Recipe) -> Weights | None:
    """The model's weights by the metadata alone, whatever lies here."""
    argv = plan.launch.argv if plan.launch else ()
    if plan.launch is not None:
        recipe = planned(plan, recipe)
    return metadata.from_metadata(recipe.metadata, model=recipe.model, kv_dtype=cache_type(argv))[0]


def cache_type(argv: Sequence[str]) -> str | None:
    """What the command line asks for; `q8_0/f16` where it is one type for keys and another for values (llama.cpp)."""
    keys, values = flags.value(argv, "--cache-type-k", "-ctk"), flags.value(argv, "--cache-type-v", "-ctv")
    if keys or values:
        return keys if keys == values else f"{keys or HALF}/{values or HALF}"
    said = flags.value(argv, "--kv-cache-dtype")
    return None if said == "auto" else said


def _draft(recipe: Recipe, claim: Claim, machine: Machine) -> tuple[Weights | None, str]:
    """The draft model's, and what to say where they are not known: `draft_gb` of the metadata is `draft_model`'s."""
    if claim.draft is None or claim.draft == recipe.model:
        return None, ""
    weights, _ = model.weigh(claim.draft, None, machine, said=None)
    size = metadata.parameters(recipe.metadata.get("draft_gb")) if recipe.metadata.get("draft_model") == claim.draft else None
    if weights is None and size is not None:
        weights = Weights(source=METADATA, memory_bytes=round(size * 1e9), step_bytes=round(size * 1e9))
    return weights, "" if weights else f"; without {claim.draft}, whose size is not known"
