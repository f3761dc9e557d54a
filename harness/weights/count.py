"""Tensors by what decoding text does with them. Pure: names and sizes in, bytes out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from harness.schema.weights import Weights
from harness.weights.cache import cache
from harness.weights.config import Config, number

ALWAYS, HEAD, ROUTED, EMBEDDING, LOOKUP = (
    "always",
    "output head",
    "routed experts",
    "input embedding",
    "tables of which a row is read",
)
TOWER, DRAFT = "vision and audio", "draft layers (MTP)"

_TOWER = re.compile(
    r"^(?:v|a|mm|talker|token2wav|code2wav|vpm|apm)\."  # GGUF; Qwen-Omni; MiniCPM
    r"|(?:^|\.)(?:visual|vit|(?:vision|audio|speech)_\w+|multi_modal_projector|mm_projector|embed_vision|embed_audio|patch_merger)\."
)
_DRAFT = re.compile(r"(?:^|\.)(?:mtp|mtp_\w+|nextn\w*|eagle\w*|medusa\w*)\.")
_LAYER = re.compile(r"(?:^|\.)(?:layers|blk|h)\.(\d{1,6})\.")
_ROUTED = re.compile(r"\.experts\.|_exps\.|\.ffn_(?:gate|up|down)\.\d+\.|\.moe\.(?:gate|up|down)_proj\.")
_LOOKUP = re.compile(r"(?:^|\.)(?:wpe|embed_positions|position_embd|embed_tokens_per_layer|per_layer_token_embd|token_types)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|tok_embeddings|token_embd|embeddings|embed_in)\.")
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.|^output\.")


def kind(name: str, layers: int | None) -> str:
    """What a tensor is for; `layers` are the model's own, behind which draft layers may follow."""
    layer = _LAYER.search(name)
    if _TOWER.search(name):
        return TOWER
    if _DRAFT.search(name) or (layer and layers is not None and int(layer[1]) >= layers):
        return DRAFT
    for pattern, what in ((_ROUTED, ROUTED), (_LOOKUP, LOOKUP), (_EMBEDDING, EMBEDDING), (_HEAD, HEAD)):
        if pattern.search(name):
            return what
    return ALWAYS


def count(source: str, tensors: Iterable[tuple[str, int]], config: Config, kv_dtype: str | None) -> tuple[Weights | None, str]:
    """Weights, or None with a reason. `config` as `harness.weights.config` gives it."""
    layers = number(config, "num_hidden_layers")
    held: Counter[str] = Counter()
    for name, size in tensors:
        held[kind(name, layers)] += size
    if not held[ALWAYS]:
        return None, "the files have no weights that are always read"
    experts, used = number(config, "num_experts"), number(config, "num_experts_per_tok")
    if held[ROUTED] and (experts is None or used is None or used > experts):
        return None, "the model has routed experts, and its configuration does not say how many of how many a token takes"
    notes = []
    read = held[ALWAYS] + held[HEAD]
    apart = (EMBEDDING, LOOKUP, TOWER, DRAFT) if held[HEAD] else (LOOKUP, TOWER, DRAFT)
    unread = {what: held[what] for what in apart if held[what]}
    if not held[HEAD]:
        read += held[EMBEDDING]
        notes.append("the output head is the input embedding, which is therefore read whole")
    if held[ROUTED] and experts and used:
        chosen = held[ROUTED] * used // experts
        read += chosen
        unread["routed experts not chosen"] = held[ROUTED] - chosen
    found, reason = cache(config, kv_dtype)
    return Weights(
        source=source,
        memory_bytes=held.total(),
        step_bytes=read,
        unread=unread,
        experts=experts if held[ROUTED] else None,
        experts_used=used if held[ROUTED] else None,
        cache=found,
        cache_reason=reason,
        notes=tuple(notes),
    ), ""
