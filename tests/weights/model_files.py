"""Small model files, byte by byte as their formats say."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.weights.gguf import _Reader

LLAMA: dict[str, object] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "dtype": "bfloat16",
}


def dense(layers: int = 2, head: bool = True) -> dict[str, int]:
    """Tensors of a dense model: 1000 bytes of embedding, as much head, 310 bytes a layer and 10 of norm."""
    sizes = {"model.embed_tokens.weight": 1000, "model.norm.weight": 10}
    for layer in range(layers):
        sizes |= {f"model.layers.{layer}.self_attn.k_proj.weight": 200, f"model.layers.{layer}.mlp.up_proj.weight": 100}
        sizes |= {f"model.layers.{layer}.mlp.up_proj.weight_scale": 10}
    return sizes | ({"lm_head.weight": 1000} if head else {})


def safetensors(sizes: Mapping[str, int]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, size in sizes.items():
        entries[name] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + bytes(at)


def folder(path: Path, sizes: Mapping[str, int], config: Mapping[str, object] = LLAMA) -> Path:
    path.mkdir(exist_ok=True)
    (path / "model.safetensors").write_bytes(safetensors(sizes))
    (path / "config.json").write_text(json.dumps(config))
    return path


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value(item: object) -> bytes:
    """With its type in front."""
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    if isinstance(item, int):
        return struct.pack("<II", 4, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + string(item)
    assert isinstance(item, list)
    if item and isinstance(item[0], str):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(string, item))
    if item and isinstance(item[0], bool):
        return struct.pack(f"<IIQ{len(item)}?", 9, 7, len(item), *item)
    return struct.pack(f"<IIQ{len(item)}i", 9, 5, len(item), *item)


def gguf(values: Mapping[str, object], tensors: Sequence[tuple[str, tuple[int, ...], int, int]], version: int = 3) -> bytes:
    """`tensors`: name, dimensions, ggml type, bytes."""
    infos, at = b"", 0
    for name, dimensions, kind, size in tensors:
        infos += string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, at)
        at += -(-size // 32) * 32
    keys = b"".join(string(key) + value(item) for key, item in values.items())
    head = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values)) + keys + infos
    return head + bytes(-len(head) % 32 + at)


def first_layer(model: Path, file: Path) -> Path:
    """A GGUF model without its other layers, as `file`: tokenizer and template are the model's, reading costs next to nothing."""
    data = model.read_bytes()
    reader = _Reader(data, model.name)
    reader.skip(8)
    tensor_count, key_count = reader.number("Q"), reader.number("Q")
    keys_at, count_at = reader.at, 0
    for _ in range(key_count):
        key, kind = reader.string(), reader.number("I")
        count_at = reader.at if key.endswith(".block_count") else count_at
        reader.value(kind)
    keys, infos, kept, held = bytearray(data[keys_at : reader.at]), b"", [], 0
    struct.pack_into("<I", keys, count_at - keys_at, 1)
    for _ in range(tensor_count):
        start = reader.at
        name, size, offset = reader.tensor()
        if not name.startswith("blk.") or name.startswith("blk.0."):
            infos += data[start : reader.at - 8] + struct.pack("<Q", held)
            kept.append((offset, size))
            held += -(-size // 32) * 32
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(kept), key_count) + keys + infos
    body_at = -(-reader.at // 32) * 32
    tensors = (data[body_at + offset : body_at + offset + -(-size // 32) * 32] for offset, size in kept)
    file.write_bytes(head + bytes(-len(head) % 32) + b"".join(tensors))
    return file
