"""What figures need besides the trials: facts of the machine and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.schema.health import Canary
from harness.schema.machine import Machine
from harness.schema.weights import Weights

MEMORY_BYTES_S = {"NVIDIA GB10": 273e9}
"""By the GPU's name. GB10: LPDDR5X-8533 on 256 bits, 8533e6 × 32 bytes (NVIDIA DGX Spark User Guide, "Hardware Overview": 273 GB/s)."""


NOT_KNOWN = "the model's size is not known"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    idle_w: Mapping[str, float] = {}
    """What the idle machine draws, by scope."""
    weights: Weights | None = None
    weights_reason: str = NOT_KNOWN
    """Why there are none."""
    memory_spec_bytes_s: float | None = None
    """What the memory is specified to give; None: not known of this machine."""
    memory_read_bytes_s: float | None = None
    """What it gave to the processor that runs the model; None: not measured there."""

    @classmethod
    def of(
        cls, machine: Machine, weights: tuple[Weights | None, str], canaries: Sequence[Canary], idle_w: Mapping[str, float]
    ) -> Given:
        """The canary reads as the CPU does, so it says nothing of a model on a GPU."""
        gpus = [gpu.name for gpu in machine.gpus]
        read = [canary.memory_bytes_s for canary in canaries if canary.memory_bytes_s is not None]
        return cls(
            idle_w=idle_w,
            weights=weights[0],
            weights_reason=weights[1] or NOT_KNOWN,
            memory_spec_bytes_s=MEMORY_BYTES_S.get(gpus[0]) if len(gpus) == 1 else None,
            memory_read_bytes_s=max(read, default=None) if not gpus else None,
        )


NOTHING = Given()
