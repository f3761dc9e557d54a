"""Broken and hostile model files: a reason, soon, and in little memory."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.weights import gguf as reader
from harness.weights.cache import OTHER_RULES, cache
from harness.weights.config import ALIASES, GGUF_KEYS, from_json
from harness.weights.files import look
from tests.weights.model_files import LLAMA, dense, folder, gguf, safetensors, string

HUGE = 1 << 62


def short(part: str | bytes) -> str:
    """Some of these files are megabytes long, too long for a test's name."""
    return repr(part[:12])


def safetensors_header(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def one(begin: int, end: int) -> bytes:
    return json.dumps({"a.weight": {"dtype": "U8", "shape": [1], "data_offsets": [begin, end]}}).encode()


def gguf_header(rest: bytes = b"", *, tensors: int = 0, keys: int = 0, magic: bytes = b"GGUF", version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", magic, version, tensors, keys) + rest


def tensor(name: str, dimensions: tuple[int, ...], kind: int, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (safetensors_header(b"{}", HUGE), "claims a header"),
        (safetensors_header(b"{}", 3), "claims a header"),
        (safetensors_header(b"{" * 100_000), ""),
        (safetensors_header(b'{"a":' * 10_000), ""),
        (safetensors_header(b'{"a":{"b":' + b"[" * 100_000), ""),
        (safetensors_header(b"[1]"), "Expected"),
        (safetensors_header(b"\xff\xfe{}"), ""),
        (safetensors_header(one(0, 5), data=b"1234"), "not whole"),
        (safetensors_header(b'{"a":{"data_offsets":[0,' + b"9" * 9_000_000 + b"]}}"), ""),
        (safetensors_header(one(0, 4), data=b"12345"), "not whole"),
        (safetensors_header(one(5, 0), data=b"12345"), "does not lie in it"),
        (safetensors_header(one(0, HUGE)), "does not lie in it"),
        (safetensors_header(b'{"a":{"data_offsets":[0,' + b"9" * 400 + b"]}}"), "does not lie in it"),
        (safetensors_header(b"{" + b",".join(b'"%x":{}' % n for n in range(1_100_000)) + b"}"), "more than"),
    ],
    ids=short,
)
def test_safetensors(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    weights, reason = look(tmp_path)
    assert weights is None
    assert said in reason
    assert len(reason) < 500


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "ends within"),
        (gguf_header(magic=b"GGML"), "no GGUF"),
        (gguf_header(version=1), "no GGUF"),
        (gguf_header(version=3 << 24), "no GGUF"),
        (gguf_header(tensors=HUGE), "claims"),
        (gguf_header(keys=HUGE), "claims"),
        (gguf_header(keys=60_000), "ends within"),
        (gguf_header(keys=1, rest=struct.pack("<Q", HUGE)), "name of"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<IQ", 8, HUGE)), "ends within"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<IIQ", 9, 8, HUGE)), "ends within"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<IIQQ", 9, 8, 2, HUGE)), "ends within"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<IIQ", 9, 12, HUGE)), "ends within"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<IIQIQ", 9, 9, 1, 9, 1) * 1000), "array of the type 9"),
        (gguf_header(keys=1, rest=string("k") + struct.pack("<I", 99)), "unknown type"),
        (gguf_header(keys=1, rest=struct.pack("<Q", 2) + b"\xff\xff"), "utf-8"),
        (gguf_header(tensors=1, rest=string("t") + struct.pack("<I", HUGE >> 32)), "dimensions"),
        (gguf_header(tensors=1, rest=tensor("t", (HUGE, HUGE, HUGE, HUGE), 0)), "not whole"),
        (gguf_header(tensors=1, rest=tensor("t", (32,), 4)), "type 4"),
        (gguf_header(tensors=1, rest=tensor("t", (33,), 8)), "whole blocks"),
        (gguf_header(tensors=1, rest=tensor("t", (32,), 8, HUGE) + bytes(100)), "not whole"),
        (gguf_header(tensors=3, rest=tensor("t", (32,), 8) * 3 + bytes(40)), "not whole"),
    ],
    ids=short,
)
def test_gguf(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    weights, reason = look(tmp_path / "m.gguf")
    assert weights is None
    assert said in reason
    assert len(reason) < 500


def test_counts_are_not_believed_with_memory(tmp_path: Path) -> None:
    counts = [
        gguf_header(keys=1, rest=string("k") + struct.pack("<IIQ", 9, 4, HUGE)),
        gguf_header(keys=1, rest=string("k") + struct.pack("<IIQ", 9, 8, HUGE)),
        gguf_header(tensors=1 << 17, keys=1 << 16),
    ]
    (tmp_path / "model.safetensors").write_bytes(safetensors_header(b"{}", HUGE))
    tracemalloc.start()
    try:
        for data in counts:
            with pytest.raises(ValueError, match="ends within"):
                reader.parse(data, HUGE, "m.gguf")
        look(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.safetensors").write_bytes(safetensors(dense()))
    model = folder(tmp_path / "model", dense())
    for name in ("../outside.safetensors", str(tmp_path / "outside.safetensors"), ".."):
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        assert look(model)[0] is None


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert look(tmp_path)[0] is None
    (tmp_path / "m.gguf").mkdir()
    assert look(tmp_path / "m.gguf")[0] is None


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"text_config": 3, "moe": [], "num_hidden_layers": 1e400}',
        json.dumps({**LLAMA, "head_dim": int("9" * 4000)}),
        json.dumps({**LLAMA, "num_key_value_heads": [int("9" * 4000)] * 2}),
        '{"num_hidden_layers": ' + "9" * 1_000_000 + "}",
    ],
    ids=short,
)
def test_a_broken_configuration(tmp_path: Path, config: str) -> None:
    (folder(tmp_path, dense()) / "config.json").write_text(config)
    weights, reason = look(tmp_path)
    assert (weights is None) == bool(reason)


KEYS = [
    *ALIASES,
    *GGUF_KEYS.values(),
    *OTHER_RULES,
    *(
        "layer_types",
        "hybrid_override_pattern",
        "quantization_config",
        "model_type",
        "dtype",
        "text_config",
        "moe",
        "use_sliding_window",
    ),
    *("linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim", "mamba_ssm_dtype", "global_head_dim"),
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 1 << 64)
    | st.floats()
    | st.sampled_from(["fp8", "M*-", "full_attention", "gemma3"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*KEYS, "kv_cache_scheme", "num_bits"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=8))
def test_any_configuration_gives_a_cache_or_a_reason(config: dict[str, object]) -> None:
    found, reason = cache(from_json(LLAMA | config), None)
    assert found is not None or reason
    assert all(group.token_bytes >= 0 and group.layers > 0 for group in found or ())


WHOLE = {
    "model.safetensors": safetensors(dense()),
    "m.gguf": gguf(
        {"general.architecture": "llama", "llama.block_count": 1, "t": ["a", "bc"], "n": [1, 2, 3]},
        [("token_embd.weight", (32, 10), 8, 340), ("blk.0.attn_k.weight", (32, 1), 8, 34)],
    ),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_change_of_a_file_gives_weights_or_a_reason(name: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[name])
    header = whole.index(b"}}") if name == "model.safetensors" else 200
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, header))
        whole[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    cut = data.draw(st.none() | st.integers(0, len(whole)))
    with TemporaryDirectory() as path:
        (Path(path) / name).write_bytes(whole[:cut])
        weights, reason = look(Path(path))
    assert (weights is None) == bool(reason)
    if weights is not None:
        assert weights.memory_bytes == weights.step_bytes + sum(weights.unread.values()) <= len(whole)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_no_truncated_file_is_counted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    assert look(tmp_path)[0] is not None
    for length in range(0, len(WHOLE[name]) - 64, 7):  # a GGUF file ends with padding
        (tmp_path / name).write_bytes(WHOLE[name][:length])
        assert look(tmp_path)[0] is None, length
