"""A recipe's metadata → `Weights`, where there are no files: an estimate. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from harness.schema.weights import METADATA, CacheLayers, Weights
from harness.weights.cache import Cache
from harness.weights.config import number
from harness.weights.dtypes import CACHE_BYTES, dtype_bytes

_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMBT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_ACTIVE = re.compile(r"-A([0-9]+(?:\.[0-9]+)?B)(?![A-Za-z0-9])", re.IGNORECASE)


def from_metadata(
    metadata: Mapping[str, object], *, model: str = "", kv_dtype: str | None = None
) -> tuple[Weights | None, str]:
    """From sparkrun's keys `model_params`, `model_dtype`, `kv_dtype`, `num_layers`, `num_kv_heads`, `head_dim`, and ours: `active_params`
    (read by one token), `attention_layers` (of a hybrid, those with keys and values), `kv_lora_rank` and `rope_dim` (MLA).

    `model` is its name: where the metadata does not say how many parameters are active, `-A3B` in it does. `kv_dtype` is the server's
    own setting, before the metadata's. None comes with a reason.
    """
    params, element = parameters(metadata.get("model_params")), dtype_bytes(metadata.get("model_dtype"))
    if params is None:
        return None, "the metadata does not say model_params"
    if element is None:
        return None, f"the bytes of model_dtype {str(metadata.get('model_dtype'))[:40]!r} are not known"
    named = _ACTIVE.search(model)
    said = metadata.get("active_params")
    active = parameters(said if said is not None else named[1] if named else None)
    if active is None and (said is not None or metadata.get("num_experts")):
        return None, "a mixture of experts, and the metadata does not say active_params"
    if active is not None and active > params:
        return None, f"active_params {active:.4g} is more than model_params {params:.4g}"
    found, reason = _cache(metadata, kv_dtype)
    memory = round(params * element)
    step = memory if active is None else round(active * element)
    basis = f"{params:.4g} parameters of {element:.4g} bytes"
    if active is None:
        basis += ", taken as dense: no active_params"
    else:
        basis += f", {active:.4g} active" + (", by the model's name" if said is None else "")
    return Weights(
        source=METADATA,
        memory_bytes=memory,
        step_bytes=step,
        unread={"parameters that are not active": memory - step} if memory > step else {},
        cache=found,
        cache_reason=reason,
        notes=(f"estimated: {basis}; all of one type, input embedding included",),
    ), ""


def parameters(value: object) -> float | None:
    """`119B`, `6.5B`, `135M`, or a number."""
    if isinstance(value, str):
        match = _COUNT.fullmatch(value.strip().replace(",", "").replace("_", ""))
        value = float(match[1]) * _FACTORS[match[2].upper()] if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value < 1e18 and math.isfinite(value) else None


def _cache(metadata: Mapping[str, object], kv_dtype: str | None) -> Cache:
    said = kv_dtype if kv_dtype not in (None, "auto") else metadata.get("kv_dtype")
    element = dtype_bytes(said, CACHE_BYTES)
    if element is None:
        return None, f"the bytes of kv_dtype {str(said)[:40]!r} are not known" if said else "the metadata does not say kv_dtype"
    layers = number(metadata, "attention_layers") or number(metadata, "num_layers")
    rank, rope = number(metadata, "kv_lora_rank"), number(metadata, "rope_dim")
    heads, size = number(metadata, "num_kv_heads"), number(metadata, "head_dim")
    if layers and rank and rope:
        return (CacheLayers(layers=layers, token_bytes=layers * (rank + rope) * element),), ""
    if layers and heads and size:
        return (CacheLayers(layers=layers, token_bytes=2 * layers * heads * size * element),), ""
    return None, "the metadata does not say num_layers with num_kv_heads and head_dim, or with kv_lora_rank and rope_dim"
