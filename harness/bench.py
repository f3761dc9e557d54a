"""The one conductor: from an order to a stored result. It joins the rooms and does nothing that belongs in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from harness.engines import ENGINES
from harness.errors import EngineError, HarnessError, InvalidResult, MachineError, RecipeError
from harness.hosts.local import LocalHost
from harness.instruments import Instruments
from harness.launch import preflight, server
from harness.launch.server import Server
from harness.measuring import Run
from harness.order import Observer, Order
from harness.recipe import load
from harness.report import text
from harness.schema.plan import Plan
from harness.schema.recipe import Recipe
from harness.schema.result import Result
from harness.sense.cpu import Cpu
from harness.sense.memory import Memory
from harness.sense.sampler import Sampler
from harness.store.folder import ResultFolder


def bench(order: Order, root: Path, observer: Observer) -> tuple[Path, Result]:
    """Launch, measure, store. Whatever ends it early, what was measured by then is in the folder.

    Raises `MachineError`, `EngineError`, `StoreError`; cells that are not valid are in the result, see `exit_code`.
    """
    plan = _ready_plan(order, observer)
    folder = ResultFolder.create(root, plan.recipe_name, order.recipe.text, plan)
    observer.say(f"Results: {folder.path}")
    work = plan.workload
    observer.say(
        f"Profile {work.profile_name}: {len(work.cells)} cells, at least {work.profile.runs} runs of each, "
        f"about {text.duration(plan.estimate.seconds)} in all"
    )
    instruments = Instruments(Sampler((Memory(), Cpu())), order.machine)
    run = Run(order, plan, folder, observer, instruments, root)
    try:
        with ExitStack() as stack:
            stack.enter_context(instruments.sampler)
            running = stack.enter_context(_server(order, plan, folder.logs / "engine.log", observer)) if plan.launch else None
            try:
                run.open(running)
                run.measure()
            except EngineError:
                if running:
                    running.check()  # that it has died, and why, says more than that it does not answer
                raise
            folder.finish(run.result("complete"))
    except (KeyboardInterrupt, SystemExit):
        if not folder.finished:
            folder.finish(run.result("interrupted"))
            observer.say(f"Interrupted: {len(run.trials)} finished trials are kept in {folder.path}")
        raise
    except HarnessError:
        if not folder.finished:
            folder.finish(run.result("failed"))
        raise
    return folder.path, run.result("complete")


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
    said = {"recipe_version": "2", "name": name, "model": "unknown", "runtime": "openai"}
    return load.loads("".join(f'{key}: "{value}"\n' for key, value in said.items()), url)


def _ready_plan(order: Order, observer: Observer) -> Plan:
    """The plan with everything it needs at hand: requirements met, port free. Raises `MachineError`."""
    plan = order.plan()
    if plan.launch is None:
        return plan
    preflight.check(plan.requires, order.machine, plan.recipe_name)
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


def _server(order: Order, plan: Plan, log: Path, observer: Observer) -> AbstractContextManager[Server]:
    assert plan.launch is not None
    observer.say(f"Starting {plan.engine} with {plan.model} (log: {log})")
    return server.serve(
        plan.launch,
        ENGINES[plan.engine],
        url=plan.url,
        served_model=plan.served_model,
        host=LocalHost(),
        log_path=log,
        on_step=lambda step, seconds: observer.say(f"  {step.replace('_', ' ')} after {seconds:.1f} s"),
        environment=order.environment,
    )
