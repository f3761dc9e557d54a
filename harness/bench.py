"""The one conductor: from an order to a stored result. It joins the rooms and does nothing that belongs in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from harness import offline, site, spending
from harness.engines import ENGINES
from harness.errors import EngineError, HarnessError, InvalidResult, MachineError, MemoryGuard, RecipeError
from harness.hosts.base import Host
from harness.hosts.cluster import open_places
from harness.hosts.local import LocalHost, is_this_machine
from harness.instruments import Instruments
from harness.launch import container, flags, machines, oom, preflight, ranks, server
from harness.launch.memory import RETURN_LIMIT_S, drop_caches, memory_back
from harness.launch.server import Server
from harness.launch.watchdog import default_floor
from harness.measuring import Run
from harness.order import Observer, Order
from harness.recipe import lint, load
from harness.recipe.overrides import apply
from harness.report import text
from harness.schema.machine import Machine
from harness.schema.memory import MISFIT
from harness.schema.plan import Plan
from harness.schema.recipe import UNKNOWN_MODEL, Recipe
from harness.schema.result import Result
from harness.sense import memory
from harness.sense.egress import Watch
from harness.sense.sampler import Sampler
from harness.sense.sources import open_named, open_nodes, open_sources
from harness.store.folder import ResultFolder


def bench(order: Order, root: Path, observer: Observer) -> tuple[Path, Result]:
    """Launch, measure, store. Whatever ends it early, what was measured by then is in the folder.

    Raises `MachineError`, `EngineError`, `StoreError`; cells that are not valid are in the result, see `exit_code`.
    """
    plan = _ready_plan(order, observer)
    spending.require(order.url, order.rates, order.cap_usd, plan.workload)
    here = any(node.here for node in plan.nodes) if plan.nodes else plan.launch is not None or is_this_machine(plan.host)
    named = (*open_named(order.named, order.environment), *open_nodes(plan.nodes, order.named, order.environment))
    sources = (*named, *open_sources(order.system_root)) if here else named
    folder = ResultFolder.create(root, plan.recipe_name, order.recipe.text, plan)
    observer.say(f"Results: {folder.path}")
    work = plan.workload
    observer.say(
        f"Profile {work.profile_name}: {len(work.cells)} cells, at least {work.profile.runs} runs of each, "
        f"about {text.duration(plan.estimate.seconds)} in all"
    )
    egress = Watch()
    others = [node.host for node in plan.nodes if not node.here]
    instruments = Instruments(Sampler((*sources, egress)), order.machine, here=here, others=others, egress=egress)
    run = Run(order, plan, folder, observer, instruments, root)
    try:
        with ExitStack() as stack:
            stack.enter_context(instruments.sampler)
            if plan.launch and order.machine.gpus:
                instruments.look_before()
            running = stack.enter_context(_server(order, plan, folder.logs / "engine.log", observer)) if plan.launch else None
            try:
                run.open(running)
                run.measure()
            except (EngineError, MachineError):
                if running:
                    running.explain()  # that it has died, and why, says more than that it does not answer
                raise
            if running:
                running.explain()
            result = run.result("complete")
            folder.finish(result)
    except (KeyboardInterrupt, SystemExit):
        if not folder.finished:
            folder.finish(run.result("interrupted"))
            observer.say(f"Interrupted: {len(run.trials)} finished trials are kept in {folder.path}")
        raise
    except HarnessError as error:
        if isinstance(error, MemoryGuard):
            instruments.note("memory_floor", error.message)
        if not folder.finished:
            folder.finish(run.result("failed"))
        raise
    finally:
        if folder.finished:
            site.keep_page(folder.path, observer.say)
    return folder.path, result


def exit_code(result: Result) -> int:
    """0 only if every cell is valid."""
    sound = result.cells and all(cell.verdict == "valid" for cell in result.cells)
    return 0 if sound else InvalidResult.exit_code


@contextmanager
def serving(order: Order, log: Path, observer: Observer) -> Iterator[tuple[Plan, Server]]:
    """Only the server, for as long as the context lasts."""
    plan = _ready_plan(order, observer)
    with _server(order, plan, log, observer) as running:
        yield plan, running


def recipe_for_url(url: str) -> Recipe:
    """A recipe for a server about which nothing is known but its address."""
    name = url.split("://")[-1].strip("/").replace("/", "-").replace(":", "-")
    said = {"recipe_version": "2", "name": name, "model": UNKNOWN_MODEL, "runtime": "openai"}
    return load.loads("".join(f'{key}: "{value}"\n' for key, value in said.items()), url)


def with_image(order: Order) -> Order:
    """The order with what its container image is on the machine that the server, or its head, runs on, where Docker has it."""
    if order.machine.docker is None and not order.nodes:
        return order
    launch = order.plan().launch
    if launch is None or launch.image is None:
        return order
    if launch.host is None:
        found = container.image(LocalHost(), launch.image)
    else:
        with open_places([launch.host], order.environment) as (place,):
            found = container.image(place.host, launch.image)
    terms = msgspec.structs.replace(order.terms, images={launch.image: found} if found else {})
    return msgspec.structs.replace(order, terms=terms)


def _ready_plan(order: Order, observer: Observer) -> Plan:
    """The plan with everything it needs at hand: requirements met, image here, port free. Raises `MachineError`, `RecipeError`."""
    order = with_image(order)
    plan = order.plan()
    if plan.launch is None:
        return plan
    if plan.nodes:  # they are looked at when we are connected to them
        _look_at_memory(plan, observer)
        if any(node.here for node in plan.nodes):
            _reap(order, observer)
        return plan
    preflight.check(plan.requires, order.machine, plan.recipe_name)
    _look_at_memory(plan, observer)
    if order.offline:
        offline.check(plan, order.machine)
    _reap(order, observer)
    if plan.launch.image is not None:
        container.check_server(LocalHost())
        container.check(plan.launch.image_found, plan.launch.image, order.machine.arch)
    _check_flags(order, plan, LocalHost(), order.machine)
    if not server.port_free(plan.host, plan.port):
        taken = f"port {plan.port} is taken{server.owner_of(plan.port)}"
        if "port" in order.overrides:
            raise MachineError(taken, "end that program, or leave --set port=… out: then a free one is chosen")
        try:
            plan = order.plan(port=str(server.free_port(plan.host)))
        except RecipeError as error:
            raise MachineError(taken, f"end that program; another port cannot be taken: {error.message}") from None
        observer.say(f"{taken[0].upper()}{taken[1:]}, so the server gets {plan.port}")
    return plan


def _reap(order: Order, observer: Observer) -> None:
    """A container that was left behind may have the port, and the memory."""
    for left in container.reap(LocalHost()) if order.machine.docker is not None else ():
        observer.say(f"Removed the container {left.name} of {left.created}: the run that started it was killed")


def _look_at_memory(plan: Plan, observer: Observer) -> None:
    """Raises `MachineError` where the server cannot start; what is only estimated is said."""
    fit = plan.fit
    if fit is None or fit.verdict != MISFIT:
        return
    where = "the memory of each machine" if plan.nodes else "this machine's memory"
    if fit.certain:
        raise MachineError(f"{plan.model} does not fit {where}: {fit.text}", f"use {fit.setting}")
    observer.say(f"It may not fit {where}: {fit.text} With {fit.setting} it would.")


def _check_flags(order: Order, plan: Plan, host: Host, machine: Machine) -> None:
    """Where it is known what the engine takes: asking vLLM or SGLang takes as long as their own refusal. Raises `RecipeError`."""
    image = plan.launch.image if plan.launch else None
    asked = flags.ask(host, machine, plan.engine, image, kept=order.cache)
    if asked.flags and asked.own and (refused := lint.refused(apply(order.recipe, order.overrides).recipe, asked.flags)):
        raise refused


@contextmanager
def _ranks(order: Order, plan: Plan, log: Path, observer: Observer) -> Iterator[Server]:
    """On the machines of the plan, after a look at each."""
    hosts = [node.host for node in plan.nodes]
    with open_places(hosts, order.environment) as places:
        observer.say(f"Looking at {', '.join(hosts)}")
        floor = order.memory_floor_bytes
        model_path = order.machine.models.get(plan.model)
        machines.require(machines.look(plan, places, model_path, floor, offline=order.offline))
        head = places[0]
        asked = flags.elsewhere(order.machine, plan.engine) if head.far else order.machine
        _check_flags(order, plan, head.host, asked)
        oom.make_poor_victim()
        for place in places if order.drop_caches else ():
            drop_caches(place.host)
        observer.say(f"Starting {plan.engine} with {plan.model} on {', '.join(hosts)} (log: {log})")
        with ranks.serve(
            plan,
            ENGINES[plan.engine],
            places,
            log,
            on_step=lambda step, seconds: observer.say(f"  {step.replace('_', ' ')} after {seconds:.1f} s"),
            environment=order.environment,
            floors=[machines.floor(node, floor) for node in plan.nodes],
            available=partial(memory.free_bytes, order.system_root),
        ) as running:
            yield running


@contextmanager
def _server(order: Order, plan: Plan, log: Path, observer: Observer) -> Iterator[Server]:
    assert plan.launch is not None
    if plan.nodes:
        with _ranks(order, plan, log, observer) as running:
            yield running
        return
    host = LocalHost()
    oom.make_poor_victim()
    if order.drop_caches:
        drop_caches(host)
        observer.say("The page cache was emptied")
    observer.say(f"Starting {plan.engine} with {plan.model} (log: {log})")
    available = partial(memory.free_bytes, order.system_root)
    before = available()
    with server.serve(
        plan.launch,
        ENGINES[plan.engine],
        url=plan.url,
        served_model=plan.served_model,
        host=host,
        log_path=log,
        on_step=lambda step, seconds: observer.say(f"  {step.replace('_', ' ')} after {seconds:.1f} s"),
        environment=order.environment,
        floor=(floor, available) if (floor := _floor(order)) else None,
    ) as running:
        yield running
    if before is None or default_floor(order.machine) is None:
        return
    observer.say("Waiting for the memory to come back")
    back = memory_back(before, available)
    if back.took_s is None and back.missing_bytes is not None:
        observer.say(
            f"{back.missing_bytes / 2**30:.1f} GiB of memory did not come back within {RETURN_LIMIT_S:.0f} s: a failed CUDA process can "
            "hold it until a reboot"
        )


def _floor(order: Order) -> int:
    """Free bytes below which the server is stopped; 0: never."""
    asked = order.memory_floor_bytes
    return (default_floor(order.machine) or 0) if asked is None else asked
