"""Bytes per element of the types that weights and caches are stored in, scales included."""

from __future__ import annotations

from collections.abc import Mapping

NVFP4 = 0.5 + 1 / 16  # an FP8 scale for each 16 (NVIDIA: "Introducing NVFP4"); the one FP32 scale of a tensor is nothing
MXFP4 = 0.5 + 1 / 32  # an E8M0 scale for each 32 (OCP Microscaling Formats 1.0)
INT4 = 0.5 + 2 / 128  # an FP16 scale for each 128, the usual group of GPTQ and AWQ

DTYPE_BYTES: dict[str, float] = {
    **dict.fromkeys(("float32", "fp32", "f32"), 4.0),
    **dict.fromkeys(("bfloat16", "bf16", "float16", "fp16", "f16", "half"), 2.0),
    # scales of a channel or of a 128 × 128 block add less than 0.1 %
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e5m2", "float8_e4m3fn", "float8_e5m2", "int8", "w8a8", "awq8"), 1.0),
    **dict.fromkeys(("int4", "w4a16", "awq", "awq4", "gptq", "gptq4"), INT4),
    "nvfp4": NVFP4,
    "mxfp4": MXFP4,
}
CACHE_BYTES = {
    **DTYPE_BYTES,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
"""llama.cpp's types too. A GGUF file that is called by one of them has others beside it, so of weights they say too little."""


def dtype_bytes(name: object, known: Mapping[str, float] = DTYPE_BYTES) -> float | None:
    """Of a type by any of its usual names; None for one that is not known."""
    return known.get(name.lower().replace("-", "_").removeprefix("torch.")) if isinstance(name, str) else None


def cache_bytes(name: object, *, latent: bool = False) -> float | None:
    """Of a cache's type; of `q8_0/f16`, keys and values, the mean, or of the keys' alone where both come from one `latent` (MLA)."""
    keys, slash, values = name.partition("/") if isinstance(name, str) else (name, "", "")
    each = [dtype_bytes(kind, CACHE_BYTES) for kind in ([keys, values] if slash and not latent else [keys])]
    known = [size for size in each if size is not None]
    return sum(known) / len(known) if len(known) == len(each) else None


GGML_TYPES: dict[int, tuple[int, int]] = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
    42: (64, 18),  # Q2_0
}
"""(elements, bytes) of a block by ggml's number of the type: `enum ggml_type` in ggml.h, block sizes as ggml-common.h asserts them
(ggml at 2026-08-21)."""
