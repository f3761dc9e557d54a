"""What was imported lies there as it came, and a file that was changed since is not shown."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import imports, index


def _keep(root: Path, data: bytes, name: str = "a.json", source: str = "") -> str:
    return imports.keep(root, data, name, hardware="GB10", engine="vllm", source=source).sha256


def test_a_file_is_kept_as_it_came(tmp_path: Path) -> None:
    data = b'{ "odd":   1 }\r\n'
    digest = _keep(tmp_path, data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / ".imports" / f"{digest}.json").read_bytes() == data
    ((about, again),), broken = imports.every(tmp_path)
    assert (about.sha256, about.name, about.hardware, about.engine, again, broken) == (
        digest,
        "a.json",
        "GB10",
        "vllm",
        data,
        [],
    )
    assert index.summaries(tmp_path) == [], "it is no result"


def test_a_second_import_of_the_same_bytes_is_no_second_one(tmp_path: Path) -> None:
    _keep(tmp_path, b"1")
    _keep(tmp_path, b"1", source="example.org")
    ((about, _),), _ = imports.every(tmp_path)
    assert about.source == "example.org"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file, about: file.write_bytes(file.read_bytes().replace(b"1", b"2")), "was changed after it was imported"),
        (lambda file, about: file.unlink(), "cannot be read"),
        (lambda file, about: about.write_text("{"), "cannot be read"),
        (lambda file, about: about.write_text(about.read_text().replace(file.stem, "../a")), "was changed after"),
        (lambda file, about: about.write_text(about.read_text().replace('version": 1', 'version": 9')), "format is version 9"),
        (lambda file, about: about.write_text(about.read_text().replace('sha256": "', 'sha256": "../')), "was changed after"),
        (
            lambda file, about: about.write_text(re.sub('when": ".*"', 'when": "2026-01-01T00:00:00"', about.read_text())),
            "timezone",
        ),
    ],
)
def test_one_that_cannot_be_trusted_is_named_and_hides_no_other(tmp_path: Path, damage: object, said: str) -> None:
    digest = _keep(tmp_path, b"[1]")
    _keep(tmp_path, b"[3]", "b.json")
    damage(tmp_path / f".imports/{digest}.json", tmp_path / f".imports/{digest}.about.json")  # type: ignore[operator]
    found, (why,) = imports.every(tmp_path)
    assert [about.name for about, _ in found] == ["b.json"]
    assert said in why


def test_what_is_no_file_and_what_is_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        imports.content(tmp_path / "none.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(imports.LARGEST_BYTES + 1)
    with pytest.raises(StoreError, match="more than 256 MiB"):
        imports.content(tmp_path / "large.json")
