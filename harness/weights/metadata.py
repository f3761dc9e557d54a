"""A recipe's metadata → `Weights`, where there are no files: an estimate. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from harness.schema.weights import METADATA, CacheLayers, Weights
from harness.weights.cache import Cache
from harness.weights.config import number
from harness.weights.dtypes import cache_bytes, dtype_bytes

_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMBT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_ACTIVE = re.compile(r"-A([0-9]+(?:\.[0-9]+)?B)(?![A-Za-z0-9])", re.IGNORECASE)


def from_metadata(
    metadata: Mapping[str, object], *, model: str = "", kv_dtype: str | None = None
) -> tuple[Weights | None, str]:
    """From sparkrun's keys `model_params`, `model_dtype`, `model_vram` (GiB of all weights as loaded; it goes before the type), `kv_dtype`,
    `num_layers`, `num_kv_heads`, `head_dim`, `kv_lora_rank` and `qk_rope_head_dim` (MLA), `attention_layers` (of a hybrid, those whose
    cache grows with the context), `recurrent_state_bytes` (of one request, all layers), and ours: `active_params` (read by one token),
    `window_layers` and `sliding_window`, with `window_kv_heads` and `window_head_dim` where they are others.

    `model` is its name: where the metadata does not say how many parameters are active, `-A3B` in it does. `kv_dtype` is the server's
    own setting, before the metadata's. None comes with a reason.
    """
    params = parameters(metadata.get("model_params"))
    if params is None:
        return None, "the metadata does not say model_params"
    loaded = parameters(metadata.get("model_vram"))
    element = dtype_bytes(metadata.get("model_dtype")) if loaded is None else loaded * 2**30 / params
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
    element = cache_bytes(said, latent=number(metadata, "kv_lora_rank") is not None)
    if element is None:
        return None, f"the bytes of kv_dtype {str(said)[:40]!r} are not known" if said else "the metadata does not say kv_dtype"
    all_layers, windowed = number(metadata, "num_layers"), number(metadata, "window_layers")
    layers = number(metadata, "attention_layers") or all_layers
    rank, rope = number(metadata, "kv_lora_rank"), number(metadata, "qk_rope_head_dim")
    heads, size = number(metadata, "num_kv_heads"), number(metadata, "head_dim")
    if layers and rank and rope:
        return (CacheLayers(layers=layers, token_bytes=layers * (rank + rope) * element),), ""
    if not (layers and heads and size):
        words = "num_layers with num_kv_heads and head_dim, or with kv_lora_rank and qk_rope_head_dim"
        return None, f"the metadata does not say {words}"
    found = [CacheLayers(layers=layers, token_bytes=2 * layers * heads * size * element, heads=heads)]
    if windowed:
        window = number(metadata, "sliding_window")
        if window is None:
            return None, "the metadata says window_layers, and not sliding_window"
        heads, size = number(metadata, "window_kv_heads") or heads, number(metadata, "window_head_dim") or size
        kept = 2 * windowed * heads * size * element
        found.append(CacheLayers(layers=windowed, token_bytes=kept, window=window, heads=heads))
    recurrent = (all_layers or 0) - sum(group.layers for group in found)
    state = number(metadata, "recurrent_state_bytes")
    if recurrent > 0 and state is None:
        return tuple(found), f"without the states of {recurrent} recurrent layers, whose size is not told"
    if recurrent > 0 and state is not None:
        found.append(CacheLayers(layers=recurrent, token_bytes=state, window=1))
    return tuple(found), ""
