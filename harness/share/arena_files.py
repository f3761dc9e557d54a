"""What Spark Arena takes, in the layout of sparkrun 0.4.2: a recipe, a table, and facts about the run. Pure.

Not covered: what its backend thinks of it. Of that only two things are known, from sparkrun's issues 265 and 274: version 1 of the recipe
format is refused, and so is the runtime `vllm-distributed`.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator

import msgspec

from harness.errors import UsageError
from harness.recipe import export, load, overrides
from harness.report.exports import benchy
from harness.schema.plan import Image
from harness.schema.recipe import Recipe
from harness.share.parcel import Shareable

RECIPE, TABLE, FACTS = "recipes/recipe.yaml", "logs/benchmark.csv", "metadata/metadata.json"
GPU = "GB10"
TAKEN_AS = {"vllm-distributed": "vllm"}
"""Runtimes that the backend does not know, by the name of the same that it does."""
SHOWN_AS = {"vllm-ray": "vllm"}
PARALLEL = {
    "tensor_parallel": "tp",
    "pipeline_parallel": "pp",
    "data_parallel": "dp",
    "expert_parallel": "ep",
    "context_parallel": "cp",
}
OF_THE_MODEL = {
    "dtype": "model_dtype",
    "params": "model_params",
    "num_layers": "num_layers",
    "num_kv_heads": "num_kv_heads",
    "head_dim": "head_dim",
    "quantization": "quantization",
    "quant_bits": "quant_bits",
    "kv_dtype": "kv_dtype",
}


def files(shareable: Shareable) -> dict[str, bytes]:
    """Raises `UsageError` for a result that is none of the leaderboard's, `InvalidResult` where no cell can be told in its table."""
    stored = shareable.stored
    if why := _foreign(shareable):
        raise UsageError(
            f"{stored.result.id}: {why}",
            "Spark Arena lists what a recipe does on a DGX Spark; send it elsewhere: --to file:DIR",
        )
    declared = load.loads(shareable.recipe, "recipe.yaml")
    effective = overrides.apply(declared, stored.plan.overrides).recipe
    image, pinned = _image(stored.result.image, effective)
    published = msgspec.structs.replace(effective, container=image, runtime=TAKEN_AS.get(effective.runtime, effective.runtime))
    recipe = export.export(published).encode()
    facts = _facts(shareable, published, raw=effective.container, pinned=pinned)
    facts["recipe"] |= {"hash": _sha256(export.export(declared).encode()), "effective_hash": _sha256(recipe)}
    return {
        RECIPE: recipe,
        TABLE: benchy.as_csv(stored.result, stored.plan, stored.records).text.encode(),
        FACTS: msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n",
    }


def _foreign(shareable: Shareable) -> str:
    """Why it has no place there; empty: it has."""
    result, plan = shareable.stored.result, shareable.stored.plan
    if result.server or plan.launch is None:
        return "its server was not started by the harness, so there is no recipe of it"
    names = sorted({gpu.name for gpu in result.machine.gpus})
    if not any(GPU in name for name in names):
        return f"it was not measured on a DGX Spark, but on {', '.join(names) or 'a machine without a GPU'}"
    if plan.nodes and any(GPU not in gpu for node in plan.nodes for gpu in node.gpus):
        return "not all of its machines are a DGX Spark"
    return ""


def _image(found: Image | None, recipe: Recipe) -> tuple[str | None, bool]:
    """(the container's name, whether it says by its digest which one ran)."""
    if found is not None and found.digests:
        return found.digests[0], True
    return recipe.container, bool(recipe.container and "@sha256:" in recipe.container)


def _facts(shareable: Shareable, recipe: Recipe, *, raw: str | None, pinned: bool) -> dict[str, dict[str, object]]:
    """By sparkrun's keys. What it knows and we do not is null or left out; hosts have no names."""
    result, plan = shareable.stored.result, shareable.stored.plan
    profile, cells = plan.workload.profile, [found.cell for found in result.cells]
    begun = datetime.datetime.fromisoformat(result.anchor.wall)
    ended = datetime.datetime.fromisoformat(result.finished) if result.finished else None
    return {
        "recipe": {
            "name": recipe.name,
            "qualified_name": recipe.name,
            "type": "sparkrun",
            "model": recipe.model,
            "hf_model": recipe.model.partition(":")[0],
            "raw_container": raw,
            "container": recipe.container,
            "container_pinned": pinned,
            "runtime": SHOWN_AS.get(recipe.runtime, recipe.runtime),
            "runtime_full": recipe.runtime,
            "registry": None,
            "registry_git": "",
        },
        "timing": {
            "start": begun.isoformat(),
            "end": ended.isoformat() if ended else None,
            "duration": (ended - begun).total_seconds() if ended else None,
        },
        "cluster": {"cluster_id": None, "node_count": result.nodes, **dict(_parallel(recipe))},
        "benchmark": {
            "framework": "spark-harness",
            "profile": plan.workload.profile_name,
            "args": {
                "pp": sorted({cell.pp for cell in cells}),
                "tg": sorted({cell.tg for cell in cells}),
                "depth": sorted({cell.depth for cell in cells}),
                "concurrency": sorted({cell.concurrency for cell in cells if cell.concurrency}),
                "prefix_caching": profile.prefix_caching,
                "runs": profile.runs,
            },
            "category": "performance",
        },
        "model": {ours: recipe.metadata[theirs] for ours, theirs in OF_THE_MODEL.items() if recipe.metadata.get(theirs)}
        | ({"revision": recipe.model_revision} if recipe.model_revision else {}),
        "runtime_info": {result.engine.name: result.engine.version} if result.engine.version else {},
        "spark_harness": {"version": result.harness_version},
    }


def _parallel(recipe: Recipe) -> Iterator[tuple[str, int]]:
    """Of how many parts, where it is more than one."""
    for ours, theirs in PARALLEL.items():
        value = str(recipe.defaults.get(ours, ""))
        if value.isascii() and value.isdigit() and int(value) > 1:
            yield theirs, int(value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
