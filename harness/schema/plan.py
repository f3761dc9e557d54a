"""What will be done, complete before anything is done. Printed by `harness plan`, stored as `plan.json`."""

from __future__ import annotations

import re

import msgspec

from harness.schema.memory import Fit
from harness.schema.node import Node
from harness.schema.workload import Workload

PLAN_VERSION = 1


class Mount(msgspec.Struct, frozen=True):
    source: str
    target: str
    read_only: bool = False


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A container image as Docker has it on a machine."""

    name: str
    """As the recipe says it."""
    id: str
    """`sha256:…`. What is run: a name may mean another image tomorrow."""
    digests: tuple[str, ...] = ()
    """`name@sha256:…`, under which registries have it; empty for an image that was built or loaded here."""
    created: str | None = None
    """RFC 3339."""
    architecture: str | None = None
    """In Docker's words: `arm64`, `amd64`."""
    labels: dict[str, str] = {}
    """Of the image's own, those that name a version or a revision."""


_SYNTHETIC = (
    r"\brejection[_-]sample[_-]method\b\W{1,8}synthetic\b",  # vLLM, in --speculative-config
    r"\bsynthetic[_-]acceptance[_-](?:rates?|length)\b",
)
_SIMULATED = r"\b(?:SGLANG_)?SIMULATE_ACC_LEN\b\W{1,8}?(?P<length>-?\d+(?:\.\d+)?)"
"""SGLang's variable; 0 and below mean off."""


def faked_acceptance(text: str) -> str | None:
    """The switch in a command line or environment that fakes the acceptance of drafts. It is searched as text, so that one inside JSON,
    `docker run -e` or `bash -c` is found too."""
    for pattern in _SYNTHETIC:
        if match := re.search(pattern, text, re.IGNORECASE):
            return match[0]
    simulated = (match for match in re.finditer(_SIMULATED, text) if float(match["length"]) > 0)
    return next((match[0] for match in simulated), None)


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is started. `argv` is exact: the engine's own command for `process`, the whole `docker run …` for `docker`."""

    host: str | None = None
    """Where it runs, by ssh; None: here."""
    executor: str
    """`process` or `docker`."""
    argv: tuple[str, ...]
    env: dict[str, str]
    """Variables set for the engine, besides those every child inherits. A value that is nothing but `$NAME` or `${NAME}`
    stands for the caller's variable of that name, looked up only when the server is started, so that no secret is in a plan."""
    cwd: str | None = None
    image: str | None = None
    image_found: Image | None = None
    """What `image` is on this machine; `argv` runs it by its id. None: not looked up, or not here."""
    mounts: tuple[Mount, ...] = ()
    container_name: str | None = None
    """A start adds to it, and to `argv`, what tells its container from all others, and a label that says who started it."""
    ready_timeout_s: float = 1800.0
    """First starts compile: 11 to 17 minutes have been seen on GB10."""
    stop_grace_s: float = 20.0


class TimeEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """How long the run will take, and what that rests on."""

    seconds: float
    basis: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A pure function of recipe, machine and overrides."""

    schema_version: int = PLAN_VERSION
    recipe_name: str
    recipe_path: str
    recipe_sha256: str
    engine: str
    """A key of `harness.engines.ENGINES`."""
    model: str
    model_revision: str | None
    served_model: str
    """The name that requests carry."""
    host: str
    port: int
    url: str
    """Where the server answers: `http://127.0.0.1:8000`."""
    launch: Launch | None
    """None: the server at `url` already runs and is not ours."""
    workers: tuple[Launch, ...] = ()
    """The other ranks of a server on several machines, in the order of their nodes. They are started before it."""
    nodes: tuple[Node, ...] = ()
    """The machines, the head first, as they were found; empty: this machine alone."""
    requires: tuple[str, ...]
    """What the machine lacks nothing of: `gpu`, `docker`, `engine:vllm`, `port:8000`."""
    context_limit: int | None
    """The longest request the server will be started for, in tokens; None: not known before it runs."""
    workload: Workload
    driver_cpus: tuple[int, ...] = ()
    """Cores that the load driver is pinned to; empty: any."""
    driver_host: str | None = None
    """Where the load driver runs, by ssh; None: here."""
    driver_python: str = "python3"
    """With `driver_host`: a Python there that has the harness."""
    overrides: dict[str, str]
    notes: tuple[str, ...]
    """What the plan changed in the recipe, and why, in sentences."""
    estimate: TimeEstimate
    fit: Fit | None = None
    """Whether the server fits this machine's memory; None: nothing is started, or it was not looked at."""
