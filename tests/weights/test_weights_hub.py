"""Hugging Face's cache: each file is held against the name of its blob."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.weights import hub


def snapshot(folder: Path, **files: bytes) -> Path:
    """Large files by their SHA-256, `config` by git's hash, as huggingface_hub stores them."""
    made = folder / "snapshots" / "abc"
    made.mkdir(parents=True)
    (folder / "blobs").mkdir()
    for name, data in files.items():
        small = name == "config"
        digest = (hashlib.sha1(b"blob %d\0" % len(data) + data) if small else hashlib.sha256(data)).hexdigest()
        (folder / "blobs" / digest).write_bytes(data)
        (made / f"{name}.{'json' if small else 'safetensors'}").symlink_to(f"../../blobs/{digest}")
    return made


def test_a_blob_is_what_its_name_says(tmp_path: Path) -> None:
    made = snapshot(tmp_path, config=b"{}", model=b"weights")
    assert list(hub.files(made)) == ["config.json", "model.safetensors"]
    for path in hub.files(made).values():
        blob = path.resolve()
        assert hub.changed(blob) is None
        blob.write_bytes(blob.read_bytes() + b" ")
        assert hub.changed(blob) not in (None, blob.name)


def test_gits_own_hash(tmp_path: Path) -> None:
    """Of `git hash-object` for an empty file and for "hello" with a line's end."""
    for name, data in (
        ("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b""),
        ("ce013625030ba8dba906f756967f9e9ca394464a", b"hello\n"),
    ):
        (tmp_path / name).write_bytes(data)
        assert hub.changed(tmp_path / name) is None


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    made = snapshot(tmp_path, a=b"1", b=b"2")
    assert hub.absent(made) == []
    (made / "a.safetensors").resolve().unlink()
    (made / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "b.safetensors", "y": "c.safetensors"}}))
    assert hub.absent(made) == ["a.safetensors", "c.safetensors"]
    assert hub.absent(made / "b.safetensors") == []
