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
from harness.pack import Entry, HubModel, Manifest, PackedImage

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


def said(pack: Path, **other: object) -> None:
    (pack / "pack.json").unlink(missing_ok=True)
    write(pack, msgspec.structs.replace(manifest(pack), **other))


def leave(pack: Path) -> None:
    said(pack, files={"../secret": Entry(0, "")})


def leave_for(revision: str, name: str) -> Callable[[Path], None]:
    return lambda pack: said(pack, hub=(HubModel("org/m", revision, {name: f"models/{BLOB}"}),))


def vouch_for_nothing(pack: Path) -> None:
    (pack / "models/more").symlink_to("/etc/hostname")
    made = manifest(pack)
    files = {name: entry for name, entry in made.files.items() if name != "models/more"}
    hub = (HubModel("org/m", REVISION, {"more": "models/more"}),)
    said(pack, files=files, hub=hub, place={"recipes/m.yaml": "../home"}, image=PackedImage("a", "b", (), "image.tar"))


def move(pack: Path) -> None:
    write(pack, msgspec.structs.replace(manifest(pack), machine="riscv64"))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lose, ("recipe.yaml is missing", f"models/{BLOB} is not what was packed", "unpack.py has 0 bytes instead of")),
        (leave, ("names places outside its own: ../secret",)),
        (lambda pack: said(pack, place={"../../.bashrc": "recipe.yaml"}), ("names places outside its own: ../../.bashrc",)),
        (leave_for("../../../x", "a"), ("names places outside its own: ../../../x",)),
        (leave_for(REVISION, "../../../../a"), ("names places outside its own: ../../../../a",)),
        (leave_for(REVISION, "/etc/cron.d/a"), ("names places outside its own: /etc/cron.d/a",)),
        (vouch_for_nothing, ("has no SHA-256 of ../home, image.tar, models/more",)),
        (lambda pack: (pack / "pack.json").write_text('{"format": 1, "files": []}'), ("its parts are not those of a pack",)),
        (move, ("it was packed for Python 3.", "on riscv64, and this is Python 3.")),
        (lambda pack: (pack / "pack.json").unlink(), ("pack.json cannot be read",)),
        (lambda pack: (pack / "pack.json").write_text('{"format": 2}'), ("is not of format 1",)),
    ],
)
def test_what_is_missing_or_changed_is_named_and_nothing_is_written(
    pack: Path, tmp_path: Path, change: Callable[[Path], None], parts: tuple[str, ...]
) -> None:
    change(pack)
    with pytest.raises(unpack.Refused) as caught:
        unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)
    assert all(part in caught.value.message for part in parts), caught.value.message
    assert not (tmp_path / "to").exists()
    assert not (tmp_path / "hub").exists()


def test_another_file_is_not_overwritten(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "to/recipes").mkdir(parents=True)
    (tmp_path / "to/recipes/m.yaml").write_text("model: org/n\n")
    with pytest.raises(unpack.Refused, match=r"recipes/m.yaml is there, and is another file"):
        unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)
    assert (tmp_path / "to/recipes/m.yaml").read_text() == "model: org/n\n"


def test_a_file_of_the_same_name_in_the_cache_is_not_taken_for_the_packed_one(pack: Path, tmp_path: Path) -> None:
    there = tmp_path / "hub/models--org--m/snapshots" / REVISION / "sub/model.safetensors"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"weighty")
    with pytest.raises(unpack.Refused, match=r"sub/model.safetensors is there, and is another file"):
        unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)


def test_another_main_stays_and_is_named(pack: Path, tmp_path: Path) -> None:
    main = tmp_path / "hub/models--org--m/refs/main"
    main.parent.mkdir(parents=True)
    main.write_text("f" * 40)
    heard: list[str] = []
    unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", heard.append)
    assert main.read_text() == "f" * 40
    assert "  Its main stays ffffffffffff here: a recipe that names no revision runs that one" in heard


def test_an_environment_that_was_left_half_made_is_made_whole(pack: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "to/.venv"], check=True)
    unpack.unpack(pack, tmp_path / "to", tmp_path / "hub", print)
    subprocess.run([tmp_path / "to/.venv/bin/python", "-c", "import tiny"], check=True)


def test_a_python_without_venv_is_refused_before_anything_is_written(pack: Path, tmp_path: Path) -> None:
    """As on Ubuntu without its package `python3-venv`."""
    code = f"import sys; sys.modules['ensurepip'] = None; sys.argv = ['unpack.py', '--to', '{tmp_path}/to']; sys.path[0] = '{pack}'"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import unpack; unpack.main()"], capture_output=True, text=True, check=False
    )
    assert "unpack: this Python cannot make a virtual environment: it has no ensurepip\nHint: install it" in done.stderr
    assert not (tmp_path / "to").exists()


def test_what_does_not_fit_the_disk_leaves_no_part_behind(pack: Path, tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    words = ("prlimit", "--fsize=3", sys.executable, str(pack / "unpack.py"), "--to", str(tmp_path / "to"))
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == unpack.EXIT_CODE, done.stderr
    assert f"unpack: {tmp_path}/to/recipes/.m.yaml.part: File too large\nHint: make room" in done.stderr
    assert [path for path in (tmp_path / "to").rglob("*") if path.is_file()] == []
