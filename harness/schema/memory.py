"""Whether a server fits the memory, worked out before it is started."""

from __future__ import annotations

import msgspec

FITS, MISFIT, UNKNOWN = "fits", "does not fit", "unknown"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine's command line says of the memory it will take. None: it does not say. Bytes and shares are each GPU's."""

    tensor: int = 1
    """GPUs among which each layer is shared out (tensor parallelism)."""
    pipeline: int = 1
    """GPUs among which the layers are shared out."""
    fraction: float | None = None
    """Share of the memory for weights and cache together."""
    reserves: bool = False
    """That share must be free when the engine starts, else it refuses."""
    cache_bytes: int | None = None
    """The cache's own size, said outright."""
    cache_tokens: int | None = None
    """Tokens of all requests that the cache is made for."""
    context: int | None = None
    """Tokens of the longest request, for which there must be room where nothing else is said."""
    slots: int = 1
    """Requests whose windows and states there must be room for from the start."""
    draft: str | None = None
    """The model that drafts, where it is one of its own."""
    quantises: bool = False
    """Weights take less than their files: they are quantised while they are loaded."""
    resident: bool = True
    """Without all weights in this memory the server cannot start."""
    fraction_flag: str = ""
    cache_flag: str = ""
    tokens_flag: str = ""
    """Sets `cache_tokens` if they are said, else `context`."""
    tensor_flag: str = ""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The memory that a server is held against: one GPU's own, or the machine's."""

    total_bytes: int
    most_bytes: int
    """What a server may take of it."""
    gpu: bool
    """It is a GPU's: with more of them each takes less."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes are each GPU's. What activations, CUDA graphs and the engine itself take comes on top; nobody says how much that is."""

    verdict: str
    """`fits`, `does not fit`, or `unknown`."""
    text: str
    """The parts and the sum; of `unknown` the reason."""
    setting: str = ""
    """The one change with which it would fit."""
    certain: bool = False
    """It cannot start: weights that were counted in the model's files are more than all the memory."""
    weights_bytes: int | None = None
    draft_bytes: int | None = None
    cache_bytes: int | None = None
    """Keys, values and states that there must be room for from the start."""
    room: Room | None = None
    reserved_bytes: int | None = None
    """What must be free when the engine starts, however little it needs; None: no such rule."""
    missing_bytes: int = 0
    """By how much it does not fit."""
    holds_tokens: int | None = None
    """Tokens of all requests that the cache will hold, at the most."""
