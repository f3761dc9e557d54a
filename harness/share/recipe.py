"""A recipe as it may be shared: rendered anew, as plain sparkrun v2, from the fields that are allowed. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from harness.errors import RecipeError
from harness.recipe import dialects, export
from harness.recipe.document import Document
from harness.share import wordwise
from harness.share.names import IMAGE, MODEL, RECIPE, Given

_ACTIVE = re.compile(r"-A([0-9]+(?:\.[0-9]+)?B)(?![A-Za-z0-9])", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)\}")
_FACTS = (
    "model_params active_params model_dtype quantization kv_dtype num_layers attention_layers num_kv_heads head_dim window_layers "
    "sliding_window window_kv_heads window_head_dim recurrent_state_bytes kv_lora_rank qk_rope_head_dim num_experts model_vram "
    "model_max_len draft_gb disk_gb"
)
FACTS = frozenset(_FACTS.split())
"""Of the metadata: the model's figures, from which its size is estimated."""


def redacted(given: Given, text: str) -> str:
    """A shipped recipe stays as it is. One that cannot be read is a comment that says so."""
    if hashlib.sha256(text.encode()).hexdigest() in given.names.recipes:
        return text
    try:
        data = Document(text, "recipe.yaml").value
    except RecipeError:
        data = None
    if not isinstance(data, dict):
        return "# left out before sharing: it is no recipe\n"
    v2 = dialects.migrate(data)
    done = {"recipe_version": "2", **_head(given, v2)}
    for key, rule in (("metadata", _metadata), ("defaults", _defaults), ("env", wordwise.environment)):
        if isinstance(block := v2.get(key), Mapping) and (kept := rule(given, {str(k): v for k, v in block.items()})):
            done[key] = kept
    _active(done, str(v2.get("model", "")))
    if isinstance(command := v2.get("command"), str):
        done["command"] = _command(given, command)
    return export.dumped(done)


def _head(given: Given, v2: Mapping[str, Any]) -> dict[str, Any]:
    def text(key: str) -> str:
        return v2[key] if isinstance(v2.get(key), str) else ""

    runtime = text("runtime")
    revision = text("model_revision")
    head = {
        "name": given.asked(RECIPE, text("name")),
        "model": given.asked(MODEL, text("model")),
        "model_revision": revision if re.fullmatch("[0-9a-f]{40}", revision) else "",
        "runtime": runtime if given.plain(runtime) else "",
        "container": given.asked(IMAGE, text("container").strip()),
    }
    nodes = {key: v2[key] for key in ("min_nodes", "max_nodes") if isinstance(v2.get(key), int)}
    return {key: value for key, value in head.items() if value} | nodes


def _metadata(given: Given, block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in block.items()
        if key in FACTS and (isinstance(value, int | float) or given.plain(str(value)))
    }


def _active(done: dict[str, Any], model: str) -> None:
    """What the estimate of the model's size takes from its name must stay when the name goes."""
    metadata, found = done.get("metadata", {}), _ACTIVE.search(model)
    if found and done.get("model") != model and "model_params" in metadata:
        metadata.setdefault("active_params", found[1])


def _defaults(given: Given, block: Mapping[str, Any]) -> dict[str, Any]:
    return {_name(given, key): wordwise.under(given, key, value) for key, value in block.items()}


def _name(given: Given, name: str) -> str:
    """Of a placeholder."""
    return name if given.plain(name) else given.renamed("setting", name).replace("-", "_")


def _command(given: Given, command: str) -> str:
    for name in set(_PLACEHOLDER.findall(command)):
        command = command.replace(f"{{{name}}}", f"{{{_name(given, name)}}}")
    return "".join(wordwise.words(given, line) for line in re.sub(r"(?m)(^|\s)#.*$", r"\1", command).splitlines(keepends=True))
