"""Collects what a run needs into one folder, for a machine without a network; `harness.unpack` installs it there.

pack.json            what is in it, with sizes and SHA-256: written last, so that a pack without it is not finished
unpack.py            that module, to begin with where there is no harness yet
recipe.yaml          the recipe as it is written
wheels/              the harness and its locked requirements, for this machine's kind and Python
models/              blobs of Hugging Face's cache by their hash, or a model's own files
image.tar            `docker save`, where the recipe runs in a container
"""

from __future__ import annotations

import errno
import platform
import posixpath
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from harness import __version__, bench, offline, unpack
from harness.errors import MachineError, UsageError
from harness.launch import container, preflight
from harness.order import Order
from harness.probe import WHEEL_MODEL
from harness.recipe.command import OUR_OWN
from harness.schema.machine import Machine
from harness.schema.plan import Image, Plan
from harness.typed import decoded
from harness.weights import hub, model

ROOT = Path(__file__).parent.parent
RUN_LOCK, CPU_LOCK = ROOT / "requirements" / "run.txt", ROOT / "requirements" / "cpu.txt"

Say = Callable[[str], None]


class Entry(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class HubModel(msgspec.Struct, frozen=True):
    repo: str
    revision: str
    files: dict[str, str]
    """By the name in the repository: the blob in the pack."""


class PackedImage(msgspec.Struct, frozen=True):
    name: str
    id: str
    layers: tuple[str, ...]
    """By the hashes of what is in them, which are the same in every Docker; the id is not."""
    file: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`pack.json`. Paths are relative to the pack."""

    format: int = unpack.FORMAT
    harness: str = __version__
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine: str = platform.machine()
    command: str
    """What follows `harness bench` there."""
    place: dict[str, str]
    """Where files go, by path: absolute, or below the folder that is unpacked into."""
    hub: tuple[HubModel, ...]
    image: PackedImage | None
    files: dict[str, Entry]


def pack(order: Order, to: Path, say: Say) -> str:
    """Gives the manifest's SHA-256, by which the pack is known. Raises `MachineError` for what is not here to be packed."""
    plan, to = bench.with_image(order).plan(), to.absolute()
    launch = plan.launch
    assert launch is not None  # no order to pack has a URL
    _check(plan, order.machine)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--to {to}: it is there, and not an empty folder", "name another one, or remove it")
    try:
        to.mkdir(parents=True, exist_ok=True)
        (to / "recipe.yaml").write_text(order.recipe.text, encoding="utf-8")
        shutil.copyfile(Path(unpack.__file__), to / "unpack.py")
        place, hubs = _models(plan, order.machine, to, say)
        image = _image(launch.image_found, to, say) if launch.image_found else None
        _wheels(to / "wheels", cpu=plan.engine in OUR_OWN, say=say)
        say("Hashing")
        files = {path.relative_to(to).as_posix(): _entry(path) for path in sorted(to.rglob("*")) if path.is_file()}
        manifest = Manifest(
            command=_command(plan, image),
            place={f"recipes/{plan.recipe_name}.yaml": "recipe.yaml", **place},
            hub=hubs,
            image=image,
            files=files,
        )
        (to / unpack.MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    except OSError as error:
        hint = "make room, or pack into another folder: --to DIR"
        if error.errno == errno.EFBIG:
            hint = "FAT32 holds no file of 4 GiB or more: pack onto another file system, as exFAT: --to DIR"
        raise MachineError(f"{error.filename2 or error.filename or to}: {error.strerror}", hint) from None
    return unpack.sha256(to / unpack.MANIFEST)


def _check(plan: Plan, machine: Machine) -> None:
    """Raises `MachineError` for the first thing that is missing, before anything is written."""
    assert plan.launch is not None
    if plan.launch.image is not None:
        if machine.docker is None:
            preflight.check(["docker"], machine, plan.recipe_name)
        container.check(plan.launch.image_found, plan.launch.image, machine.arch)
    elif plan.engine not in OUR_OWN:
        raise MachineError(
            f"{plan.recipe_name} runs {plan.engine} as it is installed here, which no pack holds",
            "pack a recipe that runs in a container",
        )
    if missing := offline.missing(plan, machine):
        raise MachineError(f"{missing[0]}, so it cannot be packed", missing[1])
    for name, revision in offline.models(plan):
        found = model.place(name, revision, machine)
        assert isinstance(found, Path)  # as checked
        if PurePosixPath(goes_to(name, found)).parts[0] in ("..", "~"):
            raise MachineError(
                f"{name} has another place on each machine", "write its whole path, or one below the working folder"
            )
    if not RUN_LOCK.exists():
        raise MachineError(
            "packing needs the harness's checkout, with its requirements/", "clone the project, and pack from there"
        )


def _models(plan: Plan, machine: Machine, to: Path, say: Say) -> tuple[dict[str, str], tuple[HubModel, ...]]:
    """Copies them. Gives where plain files go, and what goes into Hugging Face's cache."""
    place: dict[str, str] = {}
    hubs = []
    for number, (name, revision) in enumerate(offline.models(plan)):
        found = model.place(name, revision, machine)
        assert isinstance(found, Path)  # as checked
        if name.casefold() == WHEEL_MODEL.casefold():
            continue  # it comes with the wheels
        say(f"Packing {name}")
        if found.parent.name == "snapshots":
            hubs.append(_snapshot(name, found, to / "models"))
            continue
        there = goes_to(name, found)
        files = hub.files(found) if found.is_dir() else {"": found}
        for inside, file in files.items():
            packed = Path("models", str(number), inside or found.name)
            _copy(file, to / packed)
            place[f"{there}/{inside}".rstrip("/")] = packed.as_posix()
    return place, tuple(hubs)


def goes_to(name: str, found: Path) -> str:
    """Where its recipe looks for a model that is no hub's: in the folder that is unpacked into, unless its path is whole."""
    if name.startswith((".", "~", "/")):
        return posixpath.normpath(name)
    return f".engines/models/{found.name}"


def _snapshot(repo: str, snapshot: Path, to: Path) -> HubModel:
    """Each file is held against the name of its blob. Raises `MachineError` for one that is not what its revision has."""
    files = {}
    for name, path in hub.files(snapshot).items():
        blob = path.resolve()
        anew = f"hf download {repo} {name} --revision {snapshot.name} --force-download"
        if blob.parent.name != "blobs":
            raise MachineError(f"{path} is no link to a blob: what its revision has is not known", anew)
        _copy(blob, to / blob.name)
        if found := hub.changed(to / blob.name):
            raise MachineError(
                f"{path} is not what revision {snapshot.name[:12]} has: it hashes to {found}, not {blob.name}", anew
            )
        files[name] = f"models/{blob.name}"
    return HubModel(repo, snapshot.name, files)


def _image(found: Image, to: Path, say: Say) -> PackedImage:
    """Under a name that Docker keeps: a digest is a registry's, and is lost on the way."""
    say(f"Packing {found.name}")
    name = kept_name(found.name)
    if "@" in found.name:
        _run(["docker", "tag", found.id, name])
    _run(["docker", "save", "--output", str(to / "image.tar"), name])
    layers = _run(["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", name])
    return PackedImage(name, found.id, decoded(layers, tuple[str, ...]), "image.tar")


def kept_name(name: str) -> str:
    """With a tag: that of the recipe, `latest` as Docker has it, or the beginning of a digest."""
    path, _, digest = name.partition("@")
    folder, slash, last = path.rpartition("/")
    image, colon, tag = last.partition(":")
    return f"{folder}{slash}{image}:{digest.removeprefix('sha256:')[:12] if digest else tag if colon else 'latest'}"


def _wheels(to: Path, *, cpu: bool, say: Say) -> None:
    say("Fetching wheels")
    fetch = (
        _with_pip(),
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--dest",
        str(to),
    )
    _run([*fetch, "--require-hashes", "-r", str(RUN_LOCK)])
    if cpu:
        _run([*fetch, "--require-hashes", "--no-deps", "-r", str(CPU_LOCK)])
    _run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(to)])


def _with_pip() -> str:
    """Environments that uv made have no pip; the Python below them may."""
    below = str(Path(sys.executable).resolve())
    for python in (sys.executable, below):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return python
    raise MachineError(f"{below} has no pip to fetch wheels with", "install it: apt install python3-pip")


def _command(plan: Plan, image: PackedImage | None) -> str:
    """What runs it there, as here."""
    ours = {f"env.{name}" for name in offline.ENV}
    chosen = {key: value for key, value in plan.overrides.items() if key not in ours}
    if image is not None and plan.launch is not None and "@" in (plan.launch.image or ""):
        chosen["container"] = image.name
    sets = (word for key, value in chosen.items() for word in ("--set", f"{key}={value}"))
    return shlex.join([plan.recipe_name, "--offline", *sets])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _entry(path: Path) -> Entry:
    return Entry(path.stat().st_size, unpack.sha256(path))


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = " ".join(f"{done.stdout} {done.stderr}".split())[-500:]
        raise MachineError(f"{' '.join(argv[:4])} failed: {said}", "mend what it names, and pack again into an empty folder")
    return done.stdout
