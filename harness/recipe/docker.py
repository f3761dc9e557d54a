"""The one place that writes `docker run …`. Pure: it only joins words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from harness import secret
from harness.recipe.document import Document
from harness.schema.machine import Machine
from harness.schema.plan import Mount
from harness.schema.recipe import Recipe

LABEL = "spark-harness"
"""`spark-harness.recipe` and `spark-harness.sha256` on every container, so that ours are known as ours after a crash."""

OOM_SCORE = 500
"""When memory runs out the kernel ends the engine, which took it, rather than the harness, which can tell of it."""
HOME_IN_CONTAINER = "/root"
ROOT = (None, "root", "0", "root:root", "0:0")
CACHES = (".cache/vllm", ".cache/flashinfer", ".triton")
"""Compile caches under the home folder: with them a second start takes minutes less (11 to 17 minutes were seen without, on
GB10)."""

_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]*")
_ENTRYPOINT_IS_THE_SERVER = re.compile(r"(^|/)vllm/vllm-openai[:@]|(^|/)vllm/vllm-openai$")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of a recipe's `executor_config`, what the harness acts on."""

    user: str | None = None
    shm_size: str | None = None
    entrypoint: str | None = None


def settings(recipe: Recipe) -> tuple[Settings, tuple[str, ...]]:
    """The recipe's Docker settings, and the names of those that are not acted on."""
    given: dict[str, object] = recipe.other.get("executor_config") or {}
    known = Settings.__struct_fields__
    for key in known:
        if isinstance(given.get(key), dict | list):
            where = Document(recipe.text, recipe.path)
            raise where.error(("executor_config", key), f"executor_config.{key}: expected text", f"write it like {key}: text")
    ours = {key: None if value is None else str(value) for key, value in given.items() if key in known}
    return Settings(**ours), tuple(key for key in given if key not in known)


def mounts(machine: Machine, recipe: Recipe) -> tuple[Mount, ...]:
    """Model cache, compile caches, and the model's own folder when it is a path. Raises `RecipeError`."""
    home = machine.home.rstrip("/")
    found = [Mount(machine.hf_home or f"{home}/.cache/huggingface", f"{HOME_IN_CONTAINER}/.cache/huggingface")]
    found += [Mount(f"{home}/{cache}", f"{HOME_IN_CONTAINER}/{cache}") for cache in CACHES]
    if recipe.model.startswith(("./", "../", "~")):
        where = Document(recipe.text, recipe.path)
        raise where.error(("model",), f"{recipe.model} means another folder in a container", "write the whole path")
    if recipe.model.startswith("/"):
        if ":" in recipe.model:
            where = Document(recipe.text, recipe.path)
            raise where.error(("model",), "Docker cannot mount a path with ':' in it", "give the model's folder another name")
        found.append(Mount(recipe.model, recipe.model, read_only=True))
    return tuple(found)


def argv(
    recipe: Recipe,
    command: Sequence[str],
    *,
    name: str,
    mounts: Sequence[Mount],
    gpus: bool,
    settings: Settings,
    devices: Sequence[str] = (),
) -> tuple[str, ...]:
    """The exact command. Host network, so a server bound to 127.0.0.1 in the container is the machine's; never privileged.

    Docker ignores --shm-size beside --ipc host, whose /dev/shm is the machine's: a recipe that asks for a size gets its own
    ipc instead. Raises `RecipeError` for an image that Docker would read as something else.
    """
    image = recipe.container or ""
    if not _IMAGE.fullmatch(image):
        where = Document(recipe.text, recipe.path)
        raise where.error(("container",), f"'{image}' is not an image's name", "write it like ghcr.io/owner/image:tag")
    words = ["docker", "run", "--rm", "--name", name]
    words += ["--gpus", "all"] if gpus else []
    words += ["--shm-size", settings.shm_size] if settings.shm_size else ["--ipc", "host"]
    words += ["--network", "host", "--ulimit", "memlock=-1", "--oom-score-adj", str(OOM_SCORE)]
    for device in devices:
        words += ["--device", device]
    words += ["--user", settings.user] if settings.user else []
    if settings.entrypoint is not None:
        words += ["--entrypoint", settings.entrypoint]
    elif _ENTRYPOINT_IS_THE_SERVER.search(image):
        words += ["--entrypoint", ""]  # it is `vllm serve` there, and would come before the recipe's own `vllm serve`
    words += ["--label", f"{LABEL}.recipe={recipe.name}", "--label", f"{LABEL}.sha256={recipe.sha256}"]
    for mount in mounts:
        words += ["-v", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    for key, value in recipe.env.items():
        words += ["-e", key if secret.REFERENCE.fullmatch(value) else f"{key}={value}"]
    return (*words, image, *command)


def container_name(recipe: Recipe, port: int) -> str:
    """One server per port, so one container too; after a crash it is found under the same name."""
    return f"{LABEL}-{re.sub(r'[^a-zA-Z0-9_.-]', '-', recipe.name)}-{port}"
