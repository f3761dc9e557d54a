"""Installs what `harness pack` collected, on a machine without a network: `python3 unpack.py`, as it lies in the pack, or `harness unpack`.

Needs nothing but Python's standard library, and reads nothing before every file has been held against its SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "pack.json"
FORMAT = 1
CHUNK = 1 << 20
EXIT_CODE = 4
"""As a `MachineError`."""


class Refused(Exception):
    """`message` says what is wrong, `hint` the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def unpack(pack: Path, to: Path, hub: Path, say: Callable[[str], None]) -> str:
    """Gives the command that runs the recipe. `hub` is where Hugging Face's cache lies. Raises `Refused` before anything is written
    where a piece is missing or is not what was packed, or this machine cannot use it."""
    manifest, digest = _manifest(pack)
    say(f"{pack / MANIFEST}: SHA-256 {digest}; it must be the one that harness pack printed")
    _check_machine(manifest, to)
    wrong = [problem for name, said in sorted(manifest["files"].items()) if (problem := _wrong(pack, name, said))]
    if wrong:
        raise Refused("; ".join(wrong), "copy the pack anew from where it was made: nothing was installed")
    say(f"{len(manifest['files'])} files are as they were packed")
    try:
        for target, name in manifest["place"].items():
            _place(pack / name, to / target)
        for model in manifest["hub"]:
            main = _into_hub(pack, hub, model)
            say(f"{model['repo']} at {model['revision'][:12]} is in {hub}")
            if main != model["revision"]:
                say(f"  Its main stays {main[:12]} here: a recipe that names no revision runs that one")
    except OSError as error:
        where = error.filename2 or error.filename or to
        raise Refused(f"{where}: {error.strerror}", "make room and see to its permissions, then unpack again") from None
    if image := manifest["image"]:
        say(f"{image['name']} is in Docker: {_load_image(pack / image['file'], image)}")
    _make_environment(pack, to, manifest)
    say(f"harness {manifest['harness']} is in {to / '.venv'}")
    return f"cd {to} && .venv/bin/harness bench {manifest['command']}"


def _manifest(pack: Path) -> tuple[dict[str, Any], str]:
    try:
        data = (pack / MANIFEST).read_bytes()
        manifest = json.loads(data)
    except (OSError, ValueError) as error:
        raise Refused(
            f"{pack / MANIFEST} cannot be read: {error}", "name the folder that harness pack has made, and finished"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise Refused(f"{pack / MANIFEST} is not of format {FORMAT}", "unpack it with the unpack.py that lies beside it")
    try:
        strange = _strange(manifest)
    except (AttributeError, KeyError, TypeError) as error:
        strange = [f"its parts are not those of a pack ({type(error).__name__}: {error})"]
    if strange:
        raise Refused(f"{pack / MANIFEST}: {'; '.join(strange)}", "it was not made by harness pack: trust none of it")
    return manifest, hashlib.sha256(data).hexdigest()


def _strange(manifest: dict[str, Any]) -> list[str]:
    """What no pack of ours has: ways out of the folders that it is for, and files that no SHA-256 vouches for. A target may be absolute, as
    a model's own place is."""
    models, files, image = manifest["hub"], manifest["files"], manifest["image"]
    inside = [*files, *(path for model in models for path in (model["revision"], *model["files"]))]
    outside = [path for path in (*inside, *manifest["place"]) if ".." in PurePosixPath(path).parts]
    outside += [path for path in inside if PurePosixPath(path).is_absolute()]
    taken = {*manifest["place"].values(), *(source for model in models for source in model["files"].values())}
    unknown = sorted(taken.union({image["file"]} if image else ()) - files.keys())
    return [
        *([f"names places outside its own: {', '.join(outside)}"] if outside else []),
        *([f"has no SHA-256 of {', '.join(unknown)}"] if unknown else []),
    ]


def _check_machine(manifest: dict[str, Any], to: Path) -> None:
    here = (f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())
    made = (manifest["python"], manifest["machine"])
    if here != made:
        raise Refused(
            f"it was packed for Python {made[0]} on {made[1]}, and this is Python {here[0]} on {here[1]}",
            f"run it with python{made[0]}, or pack it on a machine like this one",
        )
    if not _has_pip(to) and importlib.util.find_spec("ensurepip") is None:
        raise Refused(
            "this Python cannot make a virtual environment: it has no ensurepip",
            f"install it, and unpack again: apt install python{here[0]}-venv",
        )
    if manifest["image"]:
        asked = subprocess.run(["sh", "-c", "docker version"], capture_output=True, check=False)
        if asked.returncode != 0:
            raise Refused(
                "the recipe runs in a container, and no Docker server answers this user here",
                f"install or start Docker, or let this user in, and unpack again; it said: {asked.stderr.decode(errors='replace').strip()}",
            )


def _wrong(pack: Path, name: str, said: dict[str, Any]) -> str | None:
    path = pack / name
    if not path.is_file():
        return f"{name} is missing"
    if (size := path.stat().st_size) != said["bytes"]:
        return f"{name} has {size} bytes instead of {said['bytes']}"
    return None if sha256(path) == said["sha256"] else f"{name} is not what was packed: its SHA-256 differs"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _place(source: Path, target: Path) -> None:
    """A file that is there already stays if it is the same; another is not overwritten. Raises `Refused`, `OSError`."""
    if target.exists():
        if target.is_file() and target.stat().st_size == source.stat().st_size and sha256(target) == sha256(source):
            return
        raise Refused(f"{target} is there, and is another file", "move it away, or unpack into another folder: --to DIR")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _into_hub(pack: Path, hub: Path, model: dict[str, Any]) -> str:
    """As huggingface_hub would have stored it: blobs by their hash, links to them by name, and `main`, where there is none yet. Gives what
    that is."""
    folder = hub / f"models--{model['repo'].replace('/', '--')}"
    for name, source in model["files"].items():
        blob = folder / "blobs" / PurePosixPath(source).name
        link = folder / "snapshots" / model["revision"] / name
        _place(pack / source, blob)
        if link.exists() and not link.samefile(blob):
            _place(pack / source, link)
        elif not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    main = folder / "refs" / "main"
    if not main.exists():
        main.parent.mkdir(parents=True, exist_ok=True)
        main.write_text(model["revision"])
    return main.read_text().strip()


def _load_image(archive: Path, image: dict[str, Any]) -> str:
    """Gives its id, which is another than where it was packed if the two Dockers store images in different ways: then its layers tell."""
    known = _inspect(image["name"])
    if known and known["Id"] == image["id"]:
        return str(image["id"])
    if known and known["RootFS"]["Layers"] != image["layers"]:
        raise Refused(
            f"Docker has another image as {image['name']}: {known['Id']}",
            f"give that one another name, and unpack again: docker tag {image['name']} NAME && docker rmi {image['name']}",
        )
    _run(["docker", "load", "--quiet", "--input", str(archive)])
    found = _inspect(image["name"])
    if not found or found["RootFS"]["Layers"] != image["layers"]:
        raise Refused(
            f"Docker has not {image['name']} as it was packed: {found['Id'] if found else 'it is not there'}",
            f"look what it says: docker load --input {archive}",
        )
    return str(found["Id"])


def _inspect(image: str) -> dict[str, Any] | None:
    """What Docker has under a name; None: nothing."""
    asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    found: list[dict[str, Any]] = json.loads(asked.stdout) if asked.returncode == 0 else []
    return found[0] if found else None


def _make_environment(pack: Path, to: Path, manifest: dict[str, Any]) -> None:
    python = to / ".venv" / "bin" / "python"
    if not _has_pip(to):  # it may be there, half made
        _run([sys.executable, "-m", "venv", str(to / ".venv")])
    wheels = [str(pack / name) for name in manifest["files"] if name.startswith("wheels/")]
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", *wheels])


def _has_pip(to: Path) -> bool:
    return any((to / ".venv").glob("lib/python3*/site-packages/pip/__main__.py"))


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = " ".join(f"{done.stderr} {done.stdout}".split())[-500:]
        raise Refused(
            f"{' '.join(argv[:4])} failed: {said}", "mend what it names, and unpack again: what is there already stays"
        )
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Installs a pack of Spark Harness, without a network.")
    here = Path(__file__).resolve().parent
    parser.add_argument(
        "pack", nargs="?", type=Path, default=here, help="the folder that harness pack made  [default: where this file lies]"
    )
    parser.add_argument("--to", type=Path, default=Path("spark-harness"), help="where to install  [default: ./spark-harness]")
    options = parser.parse_args()
    try:
        command = unpack(options.pack, options.to.absolute(), hub_folder(os.environ), print)
    except Refused as error:
        print(f"unpack: {error.message}\nHint: {error.hint}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("unpack: interrupted; run it again to go on: what is there already stays", file=sys.stderr)
        return 130
    print(f"Run it: {command}")
    return 0


def hub_folder(environment: Any) -> Path:
    """Where huggingface_hub keeps models, by the same variables."""
    home = environment.get("HF_HOME") or str(Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(hub).expanduser().absolute()


if __name__ == "__main__":
    sys.exit(main())
