"""Keys, values and recurrent states that a forward pass reads. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod

from harness.schema.weights import CacheLayers
from harness.weights.config import FULL, LARGEST, RECURRENT, SLIDING, Config, layer_kinds, number
from harness.weights.dtypes import NVFP4, cache_bytes, dtype_bytes

Cache = tuple[tuple[CacheLayers, ...] | None, str]

OTHER_RULES = {
    "index_topk": "sparse attention",
    "compress_ratios": "compressed attention",
    "swa_head_dim": "sliding layers of their own shape",
    "swa_num_key_value_heads": "sliding layers of their own shape",
    "attention_chunk_size": "chunked attention",
}
"""Keys of models whose reads are worked out in another way than here."""


def cache(config: Config, kv_dtype: str | None) -> Cache:
    """None with a reason where the configuration does not tell. `kv_dtype` is the server's own setting; `auto` and None: by the
    configuration."""
    layers = number(config, "num_hidden_layers")
    if layers is None or layers > 10_000:
        return None, "the configuration names no layers"
    if rule := next((text for key, text in OTHER_RULES.items() if config.get(key)), None):
        return None, f"its rule is not known here: {rule}"
    element = element_bytes(config, kv_dtype)
    if element is None:
        return None, f"the size of the cache's type is not known: {str(kv_dtype or config.get('dtype'))[:40]}"
    kinds, reason = layer_kinds(config, layers)
    if kinds is None:
        return None, reason
    window = number(config, "sliding_window")
    if SLIDING in kinds and window is None:
        return None, "sliding layers, and no word of their window"
    held: Counter[int | None] = Counter()
    layers_of: Counter[int | None] = Counter()
    heads_of: dict[int | None, int] = {}
    for layer, kind in enumerate(kinds):
        if kind not in (FULL, SLIDING):
            continue
        shape = token_width(config, layer, kind)
        if shape is None:
            return None, "the configuration does not name its heads and their size"
        width, heads = shape
        if width == 0:  # so GGUF marks layers without attention
            reason = "without the states of recurrent layers"
            continue
        reach = window if kind == SLIDING else None
        held[reach] += width
        layers_of[reach] += 1
        heads_of[reach] = min(heads, heads_of.get(reach, heads))
    found = [
        CacheLayers(layers=layers_of[reach], token_bytes=held[reach] * element, window=reach, heads=heads_of[reach])
        for reach in held
    ]
    if recurrent := kinds.count(RECURRENT):
        state = state_bytes(config)
        if state is None:
            return tuple(found), f"without the states of {recurrent} recurrent layers, whose size is not told"
        found.append(CacheLayers(layers=recurrent, token_bytes=state * recurrent, window=1))
    return tuple(found), reason


def element_bytes(config: Config, kv_dtype: str | None) -> float | None:
    """As vLLM and SGLang resolve `auto`: what the checkpoint was quantised for, else the model's own type."""
    if kv_dtype not in (None, "auto"):
        return cache_bytes(kv_dtype, latent=number(config, "kv_lora_rank") is not None)
    made = config.get("quantization_config")
    if isinstance(made, Mapping):
        scheme = made.get("kv_cache_scheme")
        if isinstance(scheme, Mapping) and (bits := number(scheme, "num_bits")):
            return {8: 1.0, 4: NVFP4}.get(bits)
        if algo := made.get("kv_cache_quant_algo"):
            return dtype_bytes(algo)
    return dtype_bytes(config.get("dtype") or config.get("torch_dtype"))


def token_width(config: Config, layer: int, kind: str) -> tuple[int, int] | None:
    """Elements that one layer keeps of one token, and the heads among which they are: K and V of each head, or the one latent that both
    come from (MLA)."""
    rank, rope = number(config, "kv_lora_rank"), number(config, "qk_rope_head_dim")
    if rank is not None:
        return (rank + rope, 1) if rope is not None else None
    queries, size = number(config, "num_attention_heads"), number(config, "head_dim")
    listed = config.get("num_key_value_heads")
    if isinstance(listed, list):
        own: object = listed[layer] if layer < len(listed) else None
        heads = own if isinstance(own, int) and 0 <= own < LARGEST else None
    else:
        heads = number(config, "num_key_value_heads") or queries  # config.json leaves it out where they are the same
    if size is None and queries and (hidden := number(config, "hidden_size")):
        size = hidden // queries
    if kind == FULL:  # Gemma 4
        heads, size = number(config, "num_global_key_value_heads") or heads, number(config, "global_head_dim") or size
    if heads is None or size is None:
        return None
    return heads * (size + (number(config, "v_head_dim") or size)), heads


def state_bytes(config: Config) -> float | None:
    """Of one recurrent layer and sequence: the delta rule's matrix by head, or Mamba 2's. The convolution's few rows are left out."""
    element = dtype_bytes(config.get("mamba_ssm_dtype") or config.get("mamba_ssm_cache_dtype"))
    for names in (
        ("linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"),
        ("mamba_num_heads", "mamba_head_dim", "ssm_state_size"),
    ):
        sizes = [size for name in names if (size := number(config, name))]
        if element is not None and len(sizes) == len(names):
            return element * prod(sizes)
    return None
