"""The top level of recipe files as they are written in public: sparkrun v2, its version 1 (eugr's run-recipe), and what
people add.

Key names and their meaning: sparkrun 0.4.2's recipe format and a survey of 550 public recipes (November 2026). Pure.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from harness.errors import did_you_mean
from harness.recipe.document import Document


class Kind(NamedTuple):
    """What a top-level key holds: a JSON Schema type, and whether the harness acts on it."""

    json: str
    acted_on: bool
    help: str


_ACTED_ON = {
    "recipe_version": ("string", '"2"; "1" is migrated when it is loaded.'),
    "name": ("string", "The name it is found by, besides the file's own."),
    "description": ("string", "One line for lists."),
    "model": ("string", "Hugging Face id, or a path."),
    "model_revision": ("string", "Commit of the model's repository, 40 hex digits."),
    "runtime": ("string", "vllm, vllm-distributed, vllm-ray, eugr-vllm, sglang or llama-cpp."),
    "container": ("string", "Image to run in; without it the engine runs as a plain process."),
    "mode": ("string", "`solo` means one machine."),
    "min_nodes": ("integer", "Machines it needs."),
    "max_nodes": ("integer", "Machines it can use."),
    "metadata": ("object", "Facts about the model, for readers and estimates."),
    "defaults": ("object", "Values of the command's {placeholders}; --set overrides them."),
    "env": ("object", "Variables for the engine. A value $NAME is passed on without being read."),
    "command": ("string", "What to run: a template with {placeholders}."),
    "executor_config": ("object", "Docker settings; docs/recipes.md says which the harness acts on."),
    "solo_only": ("boolean", "One machine only (version 1)."),
    "cluster_only": ("boolean", "Two machines at least (version 1)."),
    "harness": ("object", "What the harness adds; other tools ignore it."),
}
_KEPT = {
    "boolean": "stop_after_post",
    "string": "runtime_version min_sparkrun_version sparkrun_version builder executor scheduler maintainer engine_version "
    "draft_model target_host",
    "array": "mods build_args containers pre_exec post_exec post_commands capabilities unsupported_capabilities patches",
    "object": "runtime_config builder_config distribution_config layout cluster_config runtime_cache readiness overrides",
    "": "benchmark include volumes ssh variants build context launch specs notes",
}
KEYS: dict[str, Kind] = {name: Kind(json, True, text) for name, (json, text) in _ACTED_ON.items()} | {
    name: Kind(json, False, "Kept, not acted on.") for json, names in _KEPT.items() for name in names.split()
}
"""Every top-level key that public recipes use."""

MISSPELT = 0.8
"""Likeness (difflib's ratio) from which a strange key is taken for a slip: `comand` 0.92, but `mine` and `min_nodes` 0.62."""

COMMAND_VARIANT = "command_"
"""Authors keep other commands beside the one that counts: `command_mtp`, `command_dflash2`."""

CHANGES_THE_SERVER = (
    "mods",
    "build_args",
    "builder",
    "patches",
    "pre_exec",
    "post_exec",
    "post_commands",
    "include",
    "overrides",
    "containers",
    "volumes",
    "runtime_config",
)
"""Of the keys that are kept: those without which another server may start than the author's. A plan names them."""

_COMMAND_HINTS = (  # sparkrun 0.4.2 tells the runtime by the command's first words where none is given
    (re.compile(r"vllm\s+serve\b"), "vllm"),
    (re.compile(r"(sglang\s+serve|python3?\s+-m\s+sglang\.launch_server)\b"), "sglang"),
    (re.compile(r"llama-server\b"), "llama-cpp"),
    (re.compile(r"(trtllm-serve|mpirun\b.*trtllm)"), "trtllm"),
)
_RAY = re.compile(r"--distributed-executor-backend\s+ray\b")


def check_keys(document: Document, data: dict[str, Any]) -> None:
    """Refuses misspelt keys, and where a `harness:` block shows that the file was written for us every unknown one. Elsewhere
    a key that is like no known one is its author's own, and kept, as sparkrun keeps it. Raises `RecipeError`."""
    for key in data:
        if key in KEYS or key.startswith(COMMAND_VARIANT):
            continue
        near = did_you_mean(key, list(KEYS))
        if "harness" in data or (near and SequenceMatcher(None, key, near).ratio() >= MISSPELT):
            hint = f"did you mean '{near}'?" if near else "keys of your own belong under 'metadata:'"
            raise document.error((key,), f"a recipe has no key '{key}'", hint)


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """A version 1 file, or one with its habits, as version 2: node limits and runtime said in version 2's words."""
    done = dict(data)
    if done.pop("solo_only", None) is True or done.get("mode") == "solo":
        done["min_nodes"] = done["max_nodes"] = 1
    if done.pop("cluster_only", None) is True:
        done["min_nodes"] = max(2, done.get("min_nodes") or 1)
    done["runtime"] = done.get("runtime") or runtime_of(done.get("command"))
    if str(done.get("recipe_version")) == "1" and done["runtime"] == "vllm":
        done["builder"] = done.get("builder") or "eugr"
    if done["runtime"] == "vllm" and _on_ray(done):
        done["runtime"] = "vllm-ray"
    return done


def _on_ray(data: dict[str, Any]) -> bool:
    """Whether bare vLLM is asked to spread over Ray, in the command or in a default, as sparkrun tells it."""
    backend = (data.get("defaults") or {}).get("distributed_executor_backend")
    return str(backend).lower() == "ray" or bool(_RAY.search(str(data.get("command"))))


def runtime_of(command: object) -> str:
    """What the command starts; vllm where nothing tells, as in sparkrun (version 1 knew nothing else)."""
    text = command.strip() if isinstance(command, str) else ""
    return next((runtime for pattern, runtime in _COMMAND_HINTS if pattern.match(text)), "vllm")
