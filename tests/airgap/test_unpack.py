"""A small pack, made by hand: what is installed, and what is refused before anything is written."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import unpack
from harness.pack import Entry, HubModel, Manifest

REVISION = "0123456789abcdef0123456789abcdef01234567"
BLOB = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    made = tmp_path / "pack"
    (made / "wheels").mkdir(parents=True)
    (made / "models").mkdir()
    with zipfile.ZipFile(made / "wheels" / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "HERE = True\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    (made / "models" / BLOB).write_bytes(b"weights")
    (made / "recipe.yaml").write_text("model: org/m\n")
    (made / "unpack.py").write_bytes(Path(unpack.__file__).read_bytes())
    write(made, manifest(made))
    return made


def manifest(made: Path) -> Manifest:
    files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
    return Manifest(
        command="m --offline",
        place={"recipes/m.yaml": "recipe.yaml"},
        hub=(HubModel("org/m", REVISION, {"sub/model.safetensors": f"models/{BLOB}"}),),
        image=None,
        files={name: Entry(path.stat().st_size, unpack.sha256(path)) for name, path in files.items()},
    )


def write(made: Path, what: Manifest) -> None:
    (made / "pack.json").write_bytes(msgspec.json.encode(what))


def test_everything_goes_to_its_place(pack: Path, tmp_path: Path) -> None:
    """By the script in the pack, with nothing but a bare Python."""
    words = (sys.executable, "-I", str(pack / "unpack.py"), "--to", str(tmp_path / "to"))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    for _ in range(2):  # what is there already is left as it is
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert f"Run it: cd {tmp_path}/to && .venv/bin/harness bench m --offline" in done.stdout
    assert hashlib.sha256((pack / "pack.json").read_bytes()).hexdigest() in done.stdout
    assert (tmp_path / "to/recipes/m.yaml").read_text() == "model: org/m\n"
    model = tmp_path / "home/.cache/huggingface/hub/models--org--m"
    file = model / "snapshots" / REVISION / "sub/model.safetensors"
    assert file.is_symlink()
    assert file.resolve() == model / "blobs" / BLOB
    assert file.read_bytes() == b"weights"
    assert (model / "refs/main").read_text() == REVISION
    subprocess.run([tmp_path / "to/.venv/bin/python", "-c", "import tiny; assert tiny.HERE"], check=True)


def lose(pack: Path) -> None:
    (pack / "recipe.yaml").unlink()
    (pack / "models" / BLOB).write_bytes(b"weighty")
    (pack / "unpack.py").write_text("")


def leave(pack: Path) -> None:
    write(pack, msgspec.structs.replace(manifest(pack), files={"../secret": Entry(0, "")}))


def move(pack: Path) -> None:
    write(pack, msgspec.structs.replace(manifest(pack), machine="riscv64"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose, ("recipe.yaml is missing", f"models/{BLOB} is not what was packed", "unpack.py has 0 bytes instead of")),
        (leave, ("names files outside the pack: ../secret",)),
        (move, ("it was packed for Python 3.", "on riscv64, and this is Python 3.")),
        (lambda pack: (pack / "pack.json").unlink(), ("pack.json cannot be read",)),
        (lambda pack: (pack / "pack.json").write_text('{"format": 2}'), ("is not of format 1",)),
    ],
)
def test_what_is_missing_or_changed_is_named_and_nothing_is_written(
    pack: Path, tmp_path: Path, change: Callable[[Path], None], said: tuple[str, ...]
) -> None:
    change(pack)
    with pytest.raises(unpack.Refused) as caught:
        unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)
    assert all(part in caught.value.message for part in said), caught.value.message
    assert not (tmp_path / "to").exists()
    assert not (tmp_path / "hub").exists()


def test_another_file_is_not_overwritten(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "to/recipes").mkdir(parents=True)
    (tmp_path / "to/recipes/m.yaml").write_text("model: org/n\n")
    with pytest.raises(unpack.Refused, match=r"recipes/m.yaml is there, and is another file"):
        unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)
    assert (tmp_path / "to/recipes/m.yaml").read_text() == "model: org/n\n"
