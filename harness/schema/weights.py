"""What a model holds in memory, and what one forward pass for one token must read of it."""

from __future__ import annotations

import msgspec

SAFETENSORS, GGUF, METADATA = "safetensors", "gguf", "metadata"


class CacheLayers(msgspec.Struct, frozen=True, kw_only=True):
    """Layers whose cache is read alike: `token_bytes` × min(context, `window`) per forward pass, of all of them together."""

    layers: int
    token_bytes: float
    window: int | None = None
    """Tokens that a sliding-window layer looks back; None: all. A recurrent state is one token of window 1: it does not grow."""
    heads: int = 1
    """Key/value heads, which tensor parallelism shares out; 1: every GPU holds all of it, as of a latent (MLA)."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """`memory_bytes` = `step_bytes` + the sum of `unread`.

    `step_bytes` is the least that a forward pass for one sequence reads: of routed experts those of one token. With several tokens a
    pass (a verify step) it may read more of them; a draft model is not in it.
    """

    source: str
    """`safetensors` or `gguf`: counted from the headers of the model's files, as they are stored. `metadata`: estimated from what the
    recipe says of the model."""
    memory_bytes: int
    step_bytes: int
    unread: dict[str, int] = {}
    """Bytes in memory that decoding text does not read, by what they are."""
    experts: int | None = None
    """Routed experts of a layer; None: the model is dense, or the source does not say."""
    experts_used: int | None = None
    """Of them, by one token."""
    cache: tuple[CacheLayers, ...] | None = None
    """Keys, values and states; None: not known, and `cache_reason` says why."""
    cache_reason: str = ""
    """Also what `cache` leaves out."""
    notes: tuple[str, ...] = ()
    """What the figures rest on, in sentences."""
