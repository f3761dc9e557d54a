"""Recipe + machine + overrides → plan. Pure: no disk (but for our own profiles, read once), no network, no environment, no
clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from harness import secret
from harness.engines import ENGINES
from harness.errors import RecipeError, UsageError, did_you_mean
from harness.recipe import catalog, cells, command, docker, spread
from harness.recipe.cells import GridOverrides
from harness.recipe.dialects import CHANGES_THE_SERVER
from harness.recipe.document import Document
from harness.recipe.overrides import Applied, apply
from harness.schema.machine import Machine
from harness.schema.node import Node
from harness.schema.plan import Launch, Plan
from harness.schema.recipe import Recipe
from harness.schema.workload import Profile

__all__ = ["DEFAULT_PROFILE", "RUNTIMES", "GridOverrides", "resolve"]

RUNTIMES = {
    "vllm": "vllm",
    "vllm-distributed": "vllm",
    "vllm-ray": "vllm",
    "eugr-vllm": "vllm",
    "sglang": "sglang",
    "llama-cpp": "llamacpp",
    "openai": "openai",
}
"""Engine by a recipe's `runtime`. `openai` is any server that already runs."""

DEFAULT_PROFILE = "quick"


class _Server(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a plan that says what answers, and where."""

    served_model: str
    host: str
    port: int
    url: str
    launch: Launch | None = None
    workers: tuple[Launch, ...] = ()
    requires: tuple[str, ...] = ()
    context_limit: int | None = None
    notes: tuple[str, ...] = ()


def resolve(
    recipe: Recipe,
    machine: Machine,
    *,
    overrides: Mapping[str, str],
    profile: str | None,
    grid: GridOverrides,
    seed: int,
    url: str | None,
    driver_cpus: tuple[int, ...] | None = None,
    driver_host: str | None = None,
    driver_python: str = "python3",
    terms: docker.Terms = docker.PLAIN,
    nodes: Sequence[Node] = (),
) -> Plan:
    """Everything that will be done, complete. With `url` nothing is started, and nothing is required of the machine. `driver_cpus` None:
    the machine's efficiency cores, if it has such. `terms` are for a recipe that runs in a container. `nodes`: where the server runs, its
    head first; none: here.

    Raises `RecipeError` for a recipe, profile or grid that cannot be made into a plan, `UsageError` for values of the
    command line.
    """
    applied = apply(recipe, overrides)
    changed = applied.recipe
    engine = _engine(changed, url)
    profile_name, chosen = profile_of(changed, profile)
    server = (
        _running(changed, machine, engine, url) if url else _launched(applied, machine, engine, overrides.keys(), terms, nodes)
    )
    if terms.allow and (server.launch is None or server.launch.executor != "docker"):
        raise UsageError(f"--allow {', '.join(sorted(terms.allow))}: no container is started", "leave it out")
    work = cells.workload(
        profile_name,
        cells.override(chosen, grid),
        seed=seed,
        context_limit=server.context_limit,
        trace=grid.trace or (),
    )
    head = nodes[0].host if nodes and not nodes[0].here else None
    if driver_host is None and server.host in command.CLOSED:
        driver_host = head
    if driver_host not in (None, head) and server.host in command.CLOSED:
        raise UsageError(
            f"--load-host {driver_host}: the server listens on {server.host}, which that host cannot reach",
            "bind it to an address that it can: --set host=ADDRESS",
        )
    return Plan(
        recipe_name=changed.name,
        recipe_path=changed.path,
        recipe_sha256=changed.sha256,
        engine=engine,
        model=changed.model,
        model_revision=changed.model_revision,
        served_model=server.served_model,
        host=server.host,
        port=server.port,
        url=server.url,
        launch=server.launch,
        workers=server.workers,
        nodes=tuple(nodes),
        requires=server.requires,
        context_limit=server.context_limit,
        workload=work,
        driver_cpus=_driver_cpus(machine, driver_cpus, driver_host),
        driver_host=driver_host,
        driver_python=driver_python,
        overrides=dict(overrides),
        notes=server.notes,
        estimate=cells.estimate(changed, work, server.launch.executor if server.launch else None),
    )


def _driver_cpus(machine: Machine, asked: tuple[int, ...] | None, host: str | None) -> tuple[int, ...]:
    """The efficiency cores of this machine, where it has such and nothing else was asked."""
    if asked is not None:
        return asked
    return machine.efficiency_cpus if host is None else ()


def _launched(
    applied: Applied,
    machine: Machine,
    engine: str,
    overridden: Collection[str],
    terms: docker.Terms,
    nodes: Sequence[Node],
) -> _Server:
    recipe = applied.recipe
    if recipe.min_nodes > 1 and not nodes:
        said = f"the recipe needs {recipe.min_nodes} machines, and this plan is for one"
        raise _error(recipe, "min_nodes", said, f"name them: --hosts {','.join('abcdefgh'[: recipe.min_nodes])}")
    in_docker = recipe.container is not None and engine not in command.OUR_OWN
    line = command.build(recipe, machine, engine, docker=in_docker, overridden=overridden)
    ranks = spread.over(recipe, engine, line, nodes) if nodes else (spread.Rank(argv=line.argv),)
    gpu = ENGINES[engine].needs_gpu(line.words, recipe.env)
    needs = ["gpu"] if gpu else []
    needs += ["docker"] if in_docker else [f"engine:{engine}"] if line.own_program else []
    notes = line.notes
    if recipe.container is not None and not in_docker:
        notes += (f"The container is not used: {engine} runs on our own Python.",)
    launches = []
    for number, rank in enumerate(ranks):
        there = msgspec.structs.replace(recipe, env={**rank.env, **recipe.env})
        started = Launch(executor="process", argv=rank.argv, env=there.env, host=rank.host)
        launch = msgspec.structs.replace(started, **applied.launch)
        if in_docker:
            gpus = gpu or bool(rank.node.gpus if rank.node else machine.gpus)
            launch, ignored = _in_docker(there, rank.on(machine), launch, line.port, gpus, terms, rank, number)
            notes += () if number else ignored
        launches.append(launch)
    client = _client(line.host, nodes)
    return _Server(
        served_model=line.served_model,
        host=line.host,
        port=line.port,
        url=f"http://{f'[{client}]' if ':' in client else client}:{line.port}",
        launch=launches[0],
        workers=tuple(launches[1:]),
        requires=(*needs, f"port:{line.port}"),
        context_limit=ENGINES[engine].context_limit(line.words),
        notes=(*notes, *_kept(recipe), *spread.notes(line.host in command.CLOSED, nodes)),
    )


def _client(host: str, nodes: Sequence[Node]) -> str:
    """The address that is asked, of a server that listens on `host`. A far machine's loopback is brought here by ssh, as it is."""
    if host in command.EVERYWHERE:
        return nodes[0].reached_at if nodes else command.LOOPBACK
    return host


def _in_docker(
    recipe: Recipe,
    machine: Machine,
    launch: Launch,
    port: int,
    gpu: bool,
    terms: docker.Terms,
    rank: spread.Rank,
    number: int,
) -> tuple[Launch, tuple[str, ...]]:
    """The same launch as a container, and what of the recipe's Docker settings is left out."""
    settings, ignored = docker.settings(recipe, terms.allow)
    mounts, name = docker.mounts(machine, recipe, settings), docker.container_name(recipe, port)
    name += f"-rank{number}" if number else ""
    argv = docker.argv(
        recipe,
        launch.argv,
        name=name,
        mounts=mounts,
        gpus=gpu,
        settings=settings,
        images=terms.images,
        devices=rank.devices,
    )
    done = msgspec.structs.replace(
        launch,
        executor="docker",
        argv=argv,
        env={key: value for key, value in recipe.env.items() if secret.REFERENCE.fullmatch(value)},
        image=recipe.container,
        image_found=terms.images.get(recipe.container or ""),
        mounts=mounts,
        container_name=name,
    )
    notes = list(ignored.values())
    if settings.user not in docker.ROOT:
        home = docker.HOME_IN_CONTAINER
        notes.append(
            f"The caches are mounted under {home}, which user {settings.user} may not read: it may download and compile anew."
        )
    return done, tuple(notes)


def _running(recipe: Recipe, machine: Machine, engine: str, url: str) -> _Server:
    """A server that somebody else started."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad_url(url) from None
    if "@" in parts.netloc:
        raise UsageError("--url: it has a name or password in it, which the plan and the result would store", KEY_HINT)
    if not host or parts.scheme not in ("http", "https"):
        raise _bad_url(url)
    served = recipe.model
    if recipe.command:
        served = command.build(recipe, machine, engine, docker=True, overridden=()).served_model
    return _Server(
        served_model=served,
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        url=url.rstrip("/").removesuffix("/v1"),
        notes=("The server was not started by us: whether it runs as the recipe says is not known.",) if recipe.command else (),
    )


KEY_HINT = "leave it out, and name the variable that holds the key: --api-key-env NAME"


def _bad_url(url: str) -> UsageError:
    return UsageError(f"--url {url}: not the address of a server", "write it like --url http://127.0.0.1:8000")


def engine_of(recipe: Recipe) -> str | None:
    """What its command starts; None for what the harness cannot start."""
    return recipe.harness.engine or RUNTIMES.get(recipe.runtime)


def _engine(recipe: Recipe, url: str | None) -> str:
    """What the harness block says, else what the runtime is; a server that already runs may be anything."""
    asked = recipe.harness.engine
    if asked is not None:
        if asked not in ENGINES:
            near = did_you_mean(asked, list(ENGINES))
            hint = f"did you mean '{near}'?" if near else f"known: {', '.join(sorted(ENGINES))}"
            raise _error(recipe, "harness", f"harness.engine '{asked}' does not exist", hint, "engine")
        return asked
    engine = RUNTIMES.get(recipe.runtime)
    if url:
        return engine or "openai"
    if engine is None or engine == "openai":
        near = did_you_mean(recipe.runtime, list(RUNTIMES))
        hint = (
            f"did you mean '{near}'?"
            if near and engine is None
            else "start it yourself, and measure it with --url http://127.0.0.1:PORT"
        )
        raise _error(recipe, "runtime", f"the harness cannot start the runtime '{recipe.runtime}'", hint)
    return engine


def profile_of(recipe: Recipe, asked: str | None) -> tuple[str, Profile]:
    """By name; the recipe's own come before the built-in ones of the same name. Raises `RecipeError`."""
    name = asked or recipe.harness.profile or DEFAULT_PROFILE
    known = {**catalog.profiles(), **recipe.harness.profiles}
    if name in known:
        return name, known[name]
    near = did_you_mean(name, list(known))
    hint = f"did you mean '{near}'? Known: {', '.join(known)}" if near else f"known: {', '.join(known)}"
    if asked:
        raise RecipeError(f"no profile is called '{name}'", hint)
    raise _error(recipe, "harness", f"no profile is called '{name}'", hint, "profile")


def _kept(recipe: Recipe) -> tuple[str, ...]:
    """What the author had done to the server that we do not do."""
    left = [key for key in CHANGES_THE_SERVER if recipe.other.get(key)]
    return (f"Not applied: {', '.join(left)}; the author's server may differ from this one.",) if left else ()


def _error(recipe: Recipe, key: str, message: str, hint: str, inner: str | None = None) -> RecipeError:
    return Document(recipe.text, recipe.path).error((key, inner) if inner else (key,), message, hint)
