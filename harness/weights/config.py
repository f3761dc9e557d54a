"""What a model's files say of its shape, in the words of Hugging Face's config.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Config = Mapping[str, object]
LARGEST = 1 << 40

TEXT = ("text_config", "llm_config", "language_config")
ALIASES = {
    "num_hidden_layers": ("n_layers", "n_layer", "num_layers"),
    "num_attention_heads": ("n_heads", "n_head"),
    "num_key_value_heads": ("n_kv_heads",),
    "hidden_size": ("dim", "n_embd"),
    "num_experts": ("n_routed_experts", "num_local_experts", "moe_num_experts"),
    "num_experts_per_tok": ("top_k_experts", "moe_top_k", "moe_topk", "moe_k", "num_experts_per_token", "experts_per_token"),
}
"""Mistral's params.json, GPT-2's words, and one word for each family of experts."""

GGUF_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "v_head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.sliding_window_pattern": "sliding_window_pattern",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
    "full_attention_interval": "full_attention_interval",
    "attention.key_length_swa": "swa_head_dim",
    "attention.indexer.top_k": "index_topk",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
}
PERIODS = {"gpt-oss": 2, "gemma2": 2, "gemma3": 6, "gemma3_text": 6}
"""Every such layer attends to all, where that goes by the architecture and need not be in the file (`set_swa_pattern` in llama.cpp's
model code, the classes' defaults in transformers)."""
GGUF_INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
"""llama.cpp's default of `full_attention_interval`."""
GGUF_IGNORES_WINDOW = {"llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe"}


def number(config: Config, name: str) -> int | None:
    """A whole number above 0 and of a size that can be; what else stands there counts as not said."""
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else None


def from_json(config: Mapping[str, object]) -> dict[str, object]:
    """Of config.json or params.json: what it says of the language model, inner words before outer ones."""
    flat = dict(config)
    for name in (*TEXT, "moe"):
        inner = config.get(name)
        if isinstance(inner, Mapping):
            flat |= inner
    for name, others in ALIASES.items():
        for other in others:
            if flat.get(name) is None and other in flat:
                flat[name] = flat[other]
    return flat


def from_gguf(values: Mapping[str, object]) -> dict[str, object]:
    """Of a GGUF file's keys. Caches are float16 there unless llama.cpp is told otherwise; its recurrent states are float32."""
    family = str(values.get("general.architecture"))
    own = {key.removeprefix(f"{family}."): value for key, value in values.items() if key.startswith(f"{family}.")}
    flat = {ours: own[theirs] for theirs, ours in GGUF_KEYS.items() if theirs in own}
    layers, drafts = number(flat, "num_hidden_layers"), number(own, "nextn_predict_layers")
    if layers and drafts:
        flat["num_hidden_layers"] = layers - drafts
    if family in PERIODS:
        flat.setdefault("sliding_window_pattern", PERIODS[family])
    elif family in GGUF_INTERVALS:
        flat.setdefault("full_attention_interval", GGUF_INTERVALS[family])
    elif family in GGUF_IGNORES_WINDOW:
        flat.pop("sliding_window", None)
    flat["dtype"] = "float16"
    if number(own, "ssm.inner_size") and number(own, "ssm.state_size"):
        flat |= {"mamba_num_heads": 1, "mamba_head_dim": own["ssm.inner_size"], "ssm_state_size": own["ssm.state_size"]}
        flat["mamba_ssm_dtype"] = "float32"
    return flat


FULL, SLIDING, RECURRENT, NONE = "full_attention", "sliding_attention", "recurrent", "none"
_KINDS = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": SLIDING,
    "linear_attention": RECURRENT,
    "mamba": RECURRENT,
    "mlp": NONE,
    "moe": NONE,
}
_LETTERS = {"*": FULL, "M": RECURRENT, "-": NONE, "E": NONE}
"""Of `hybrid_override_pattern`, Nemotron-H: attention, Mamba 2, MLP, experts."""
_ALL_SLIDE = {"mistral", "mixtral", "phi3", "starcoder2"}


def layer_kinds(config: Config, layers: int) -> tuple[list[str] | None, str]:
    """What each layer keeps; None with a reason where the configuration leaves it open."""
    heads = config.get("num_key_value_heads")  # in GGUF a list of them is 0 where a layer has no attention
    listed, letters = config.get("layer_types") or config.get("layers_block_type"), config.get("hybrid_override_pattern")
    if isinstance(letters, str):
        listed, names = list(letters), _LETTERS
    else:
        names = _KINDS
    if isinstance(listed, Sequence) and not isinstance(listed, str):
        unknown = [kind for kind in listed if not isinstance(kind, str) or kind not in names]
        if unknown or len(listed) < layers:
            return None, f"layers of the type {str(unknown[0])[:40]!r}" if unknown else "fewer layer types than layers"
        return [names[kind] for kind in listed[:layers]], ""
    if every := number(config, "full_attention_interval"):
        return [FULL if (layer + 1) % every == 0 else RECURRENT for layer in range(layers)], ""
    if (config.get("ssm_state_size") or config.get("linear_num_value_heads")) and not isinstance(heads, list):
        return None, "recurrent layers, and no word which they are"
    return _windows(config, layers)


def _windows(config: Config, layers: int) -> tuple[list[str] | None, str]:
    if number(config, "sliding_window") is None or config.get("use_sliding_window") is False:
        return [FULL] * layers, ""
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) >= layers:
        return [SLIDING if slides else FULL for slides in pattern[:layers]], ""
    if every := number(config, "sliding_window_pattern") or PERIODS.get(str(config.get("model_type"))):
        return [FULL if (layer + 1) % every == 0 else SLIDING for layer in range(layers)], ""
    if str(config.get("model_type")) in _ALL_SLIDE:
        return [SLIDING] * layers, ""
    return None, "a sliding window, and no word which layers have it"
