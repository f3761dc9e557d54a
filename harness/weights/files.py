"""A model's files → `Weights`. Only headers are read; whatever is wrong with them becomes a reason, never an exception."""

from __future__ import annotations

import struct
from itertools import chain
from pathlib import Path

import msgspec

from harness.schema.weights import GGUF, SAFETENSORS, Weights
from harness.typed import decoded
from harness.weights import gguf, safetensors
from harness.weights.config import from_gguf, from_json
from harness.weights.count import count

CONFIG_LIMIT_BYTES = 4 << 20


def look(path: Path, kv_dtype: str | None = None) -> tuple[Weights | None, str]:
    """The weights in a folder of safetensors files, in a GGUF file (the first where it is split) or in a folder with one such; or
    None and the reason. They are counted as stored: an engine that quantises while it loads reads less.

    `kv_dtype` is the server's setting of its cache (`fp8`, `q8_0` …); None or `auto`: what the model's configuration leads to.
    """
    try:
        if path.is_dir():
            if shards := safetensors.shards(path):
                return count(SAFETENSORS, chain.from_iterable(map(safetensors.tensors, shards)), _config(path), kv_dtype)
            path = _only_gguf(path)
        headers = [gguf.header(part) for part in gguf.parts(path)]
        tensors = chain.from_iterable(header.tensors for header in headers)
        return count(GGUF, tensors, from_gguf(headers[0].values), kv_dtype)
    except (OSError, ValueError, struct.error, msgspec.MsgspecError, RecursionError) as error:
        return None, f"{path.name}: {error}"


def _config(folder: Path) -> dict[str, object]:
    for name in ("config.json", "params.json"):
        if (folder / name).exists():
            config = from_json(_object(folder / name))
            if (made := folder / "hf_quant_config.json").exists():  # of NVIDIA's quantiser, where config.json may not have it
                config.setdefault("quantization_config", _object(made).get("quantization"))
            return config
    return {}


def _object(file: Path) -> dict[str, object]:
    return decoded(safetensors.read_small(file, CONFIG_LIMIT_BYTES), dict[str, object])


def _only_gguf(folder: Path) -> Path:
    """Files that are loaded beside a model are none: GGUF's naming convention puts their part in front."""
    found = [p for p in sorted(folder.glob("*.gguf")) if not p.name.startswith(("mmproj", "mtp-"))]
    first = [p for p in found if gguf.SPLIT.fullmatch(p.name)] or found
    if len(first) != 1:
        raise ValueError("no safetensors files, and not just one GGUF model" if first else "no safetensors or GGUF files")
    return first[0]
