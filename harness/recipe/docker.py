"""The one place that writes `docker run …`. Pure: it only joins words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from harness import secret
from harness.comm import LABEL
from harness.errors import UsageError, did_you_mean
from harness.recipe.document import Document
from harness.schema.machine import Machine
from harness.schema.plan import Image, Mount
from harness.schema.recipe import Recipe

OOM_SCORE = 500
"""When memory runs out the kernel ends the engine, which took it, rather than the harness, which can tell of it."""
HOME_IN_CONTAINER = "/root"
ROOT = (None, "root", "0", "root:root", "0:0")
CACHES = (".cache/vllm", ".cache/flashinfer", ".triton")
"""Compile caches under the home folder: with them a second start takes minutes less (11 to 17 minutes were seen without, on
GB10)."""

OPENING = ("privileged", "cap_add", "devices", "security_opt", "volumes")
"""Keys of `executor_config` that open this machine to what runs in the container: acted on only where the user agrees."""
NETWORK_CARDS = "/dev/infiniband"
"""The devices that need no leave: RDMA between machines goes through them, and they open nothing else."""
SOCKETS = ("/run", "/var/run", "/proc")
"""Where Docker's own socket lies, or containerd's, or another way to it (`/proc/1/root`): whoever has it has the whole machine."""
IPC = ("host", "private", "shareable", "none")

_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]*")
_ENTRYPOINT_IS_THE_SERVER = re.compile(r"(^|/)vllm/vllm-openai[:@]|(^|/)vllm/vllm-openai$")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a container follows from, besides its recipe and the machine."""

    allow: frozenset[str] = frozenset()
    """Of `OPENING`, what the user agrees to."""
    images: Mapping[str, Image] = {}
    """By name, those that Docker has here. Such a one is run by its id: what was looked at is what runs."""


PLAIN = Terms()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of a recipe's `executor_config`, what the harness acts on."""

    user: str | None = None
    shm_size: str | None = None
    entrypoint: str | None = None
    ipc: str | None = None
    gpus: str = "all"
    memory_limit: str | None = None
    ulimit: tuple[str, ...] = ()
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


def settings(recipe: Recipe, allow: frozenset[str]) -> tuple[Settings, dict[str, str]]:
    """The recipe's Docker settings, and by key what is to be said of those that are not acted on.

    Raises `RecipeError` for a value that means nothing here, `UsageError` for leave that nobody asks for.
    """
    given = {key: value for key, value in (recipe.other.get("executor_config") or {}).items() if value is not None}
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    known = {key: _value(recipe, key, value, kinds[key]) for key, value in given.items() if key in kinds}
    for key in sorted(allow):
        _check_leave(key, known)
    left = {key: f"executor_config.{key} is not applied." for key in given if key not in known}
    for key in OPENING:
        if known.get(key) and key not in allow:
            free = tuple(device for device in known[key] if _is_network_card(device)) if key == "devices" else kinds[key]()
            if free != known[key]:
                left[key] = f"executor_config.{key} is not applied: it opens this machine to the container (--allow {key})."
            known[key] = free
    return Settings(**known), left


def _value(recipe: Recipe, key: str, value: object, kind: object) -> Any:
    """As the field of that name holds it: one text may stand for a list of one."""
    where = Document(recipe.text, recipe.path)
    if kind is bool:
        if not isinstance(value, bool):
            raise where.error(("executor_config", key), f"executor_config.{key}: expected true or false", f"write {key}: true")
        return value
    several = value if isinstance(value, list) else [value]
    if any(isinstance(each, dict | list) for each in several) or (isinstance(value, list) and kind != tuple[str, ...]):
        raise where.error(("executor_config", key), f"executor_config.{key}: expected text", f"write it like {key}: text")
    if key == "ipc" and value not in IPC:
        raise where.error(
            ("executor_config", key), f"executor_config.ipc '{value}' is not known", f"choose one of {', '.join(IPC)}"
        )
    return tuple(str(each) for each in several) if kind == tuple[str, ...] else str(value)


def _check_leave(key: str, known: Mapping[str, object]) -> None:
    if key not in OPENING:
        near = did_you_mean(key, OPENING)
        raise UsageError(f"--allow {key}: no such leave", f"did you mean '{near}'?" if near else f"known: {', '.join(OPENING)}")
    if not known.get(key):
        raise UsageError(f"--allow {key}: the recipe does not ask for it", "leave it out")


def _is_network_card(device: str) -> bool:
    return PurePosixPath(device.partition(":")[0]).is_relative_to(NETWORK_CARDS) and ".." not in device


def mounts(machine: Machine, recipe: Recipe, settings: Settings) -> tuple[Mount, ...]:
    """Model cache, compile caches, the model's own folder when it is a path, and the recipe's volumes. Raises `RecipeError`."""
    home = machine.home.rstrip("/")
    hugging_face = machine.hf_home or f"{home}/.cache/huggingface"
    found = [Mount(hugging_face, f"{HOME_IN_CONTAINER}/.cache/huggingface")]
    if machine.hf_hub not in ("", f"{hugging_face}/hub"):
        found.append(Mount(machine.hf_hub, f"{HOME_IN_CONTAINER}/.cache/huggingface/hub"))
    found += [Mount(f"{home}/{cache}", f"{HOME_IN_CONTAINER}/{cache}") for cache in CACHES]
    where = Document(recipe.text, recipe.path)
    if recipe.model.startswith(("./", "../", "~")):
        raise where.error(("model",), f"{recipe.model} means another folder in a container", "write the whole path")
    if recipe.model.startswith("/"):
        if ":" in recipe.model:
            raise where.error(("model",), "Docker cannot mount a path with ':' in it", "give the model's folder another name")
        if _leads_to_socket(recipe.model):
            message = f"{recipe.model} as a model hands Docker's socket to the container, and with it the whole machine"
            raise where.error(("model",), message, "name the model's own folder")
        found.append(Mount(recipe.model, recipe.model, read_only=True))
    return (*found, *(_volume(recipe, text) for text in settings.volumes))


def _volume(recipe: Recipe, text: str) -> Mount:
    """From `/here`, `/here:/there` or `/here:/there:ro`."""
    where = Document(recipe.text, recipe.path)
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or ".." in source or options not in ("", "rw", "ro"):
        hint = "write it like /here:/there or /here:/there:ro"
        raise where.error(
            ("executor_config", "volumes"), f"executor_config.volumes: '{text}' is not a folder of this machine", hint
        )
    if _leads_to_socket(source):
        message = f"executor_config.volumes: '{text}' hands Docker's socket to the container, and with it the whole machine"
        raise where.error(
            ("executor_config", "volumes"), message, "start it yourself, and measure it with --url http://127.0.0.1:PORT"
        )
    return Mount(source, target or source, read_only=options == "ro")


def _leads_to_socket(source: str) -> bool:
    """Whether a folder holds such a place or lies in one."""
    path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
    return any(path.is_relative_to(place) or PurePosixPath(place).is_relative_to(path) for place in SOCKETS)


def argv(
    recipe: Recipe,
    command: Sequence[str],
    *,
    name: str,
    mounts: Sequence[Mount],
    gpus: bool,
    settings: Settings,
    images: Mapping[str, Image],
    devices: Sequence[str] = (),
) -> tuple[str, ...]:
    """The exact command. Host network, so a server bound to 127.0.0.1 in the container is the machine's. No --rm: how it ended is asked
    before it is removed.

    Docker ignores --shm-size beside --ipc host, whose /dev/shm is the machine's: a recipe that asks for a size gets its own
    ipc instead. Raises `RecipeError` for an image that Docker would read as something else.
    """
    image = recipe.container or ""
    if not _IMAGE.fullmatch(image):
        where = Document(recipe.text, recipe.path)
        raise where.error(("container",), f"'{image}' is not an image's name", "write it like ghcr.io/owner/image:tag")
    words = ["docker", "run", "--pull", "never", "--name", name]
    words += ["--gpus", settings.gpus] if gpus else []
    words += ["--shm-size", settings.shm_size] if settings.shm_size else []
    words += ["--ipc", settings.ipc or "host"] if settings.ipc or not settings.shm_size else []
    words += ["--network", "host", "--ulimit", "memlock=-1", "--oom-score-adj", str(OOM_SCORE)]
    words += _asked_for(settings)
    for device in devices:
        words += ["--device", device]
    if settings.entrypoint is not None:
        words += ["--entrypoint", settings.entrypoint]
    elif _ENTRYPOINT_IS_THE_SERVER.search(image):
        words += ["--entrypoint", ""]  # it is `vllm serve` there, and would come before the recipe's own `vllm serve`
    words += ["--label", f"{LABEL}.recipe={recipe.name}", "--label", f"{LABEL}.sha256={recipe.sha256}"]
    for mount in mounts:
        words += ["-v", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    for key, value in recipe.env.items():
        words += ["-e", key if secret.REFERENCE.fullmatch(value) else f"{key}={value}"]
    return (*words, images[image].id if image in images else image, *command)


def _asked_for(settings: Settings) -> Iterator[str]:
    """What only some recipes ask for. Of two limits of one name the last counts."""
    yield from ("--user", settings.user) if settings.user else ()
    yield from ("--memory", settings.memory_limit) if settings.memory_limit else ()
    yield from ("--privileged",) if settings.privileged else ()
    lists = {"--ulimit": settings.ulimit, "--cap-add": settings.cap_add, "--security-opt": settings.security_opt}
    for flag, values in {**lists, "--device": settings.devices}.items():
        for value in values:
            yield from (flag, value)


def container_name(recipe: Recipe, port: int) -> str:
    return f"{LABEL}-{re.sub(r'[^a-zA-Z0-9_.-]', '-', recipe.name)}-{port}"
