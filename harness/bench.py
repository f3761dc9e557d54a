"""The one conductor: from an order to a stored result. It joins the rooms and does nothing that belongs in one of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec

from harness import __version__, clock
from harness.engines import ENGINES
from harness.errors import EngineError, HarnessError, InvalidResult, MachineError, RecipeError
from harness.hosts.local import LocalHost
from harness.launch import preflight, server
from harness.launch.server import Server
from harness.load import drive
from harness.measure import goodput, metrics, speculation, stopping, trials
from harness.measure.runs import Run as MeasuredRun
from harness.probe import hash_files
from harness.recipe import load
from harness.recipe.resolve import GridOverrides, resolve
from harness.report import text
from harness.schema.calibration import Calibration
from harness.schema.job import Job, Progress
from harness.schema.machine import Machine
from harness.schema.plan import Plan
from harness.schema.recipe import Recipe
from harness.schema.result import CellResult, Result
from harness.schema.run import Anchor, ClientReport, EngineFacts, FileHash, Trial
from harness.schema.workload import Cell, Skipped
from harness.sense.cpu import Cpu
from harness.sense.memory import Memory
from harness.sense.sampler import Sampler
from harness.session import open_session
from harness.store import calibrations
from harness.store.folder import ResultFolder
from harness.units import seconds

HASH_LIMIT_BYTES = 20 * 2**30  # larger models are named by their Hugging Face blobs: hashing 70 GB costs minutes


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants measured, and where: everything a plan follows from."""

    recipe: Recipe
    machine: Machine
    overrides: Mapping[str, str]
    profile: str | None
    grid: GridOverrides
    seed: int
    driver_cpus: tuple[int, ...] | None
    """Cores for the load driver; None: as the plan sees fit."""
    driver_host: str | None = None
    """Where the load driver runs, by ssh; None: here."""
    driver_python: str = "python3"
    url: str | None
    served_model: str | None
    """With `url`: which of the models it serves."""
    api_key: str | None
    environment: Mapping[str, str]
    """Of the caller: what engines inherit is chosen from it."""

    def plan(self, **more: str) -> Plan:
        return resolve(
            self.recipe,
            self.machine,
            overrides={**self.overrides, **more},
            profile=self.profile,
            grid=self.grid,
            seed=self.seed,
            url=self.url,
            driver_cpus=self.driver_cpus,
            driver_host=self.driver_host,
            driver_python=self.driver_python,
        )


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """A live reading, for display only."""

    trial: int
    trials: int
    cell: str
    done: int
    total: int
    tok_s: float | None
    """Tokens of the requests that are done, per second so far; None before the first is."""
    left_s: float


class Observer(Protocol):
    def say(self, text: str) -> None: ...
    def now(self, now: Now) -> None: ...


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
    run = Run(order, plan, folder, observer, calibrations.newest(root, order.machine))
    try:
        with ExitStack() as stack:
            running = stack.enter_context(_server(order, plan, folder.logs / "engine.log", observer)) if plan.launch else None
            try:
                run.open(running)
                run.measure(stack.enter_context(Sampler((Memory(), Cpu()))))
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


class Run:
    """The trials of one run, as far as they have come, and the result that follows from them."""

    def __init__(
        self, order: Order, plan: Plan, folder: ResultFolder, observer: Observer, calibration: Calibration | None
    ) -> None:
        self.order, self.plan, self.folder, self.observer, self.calibration = order, plan, folder, observer, calibration
        self.anchor = Anchor(wall=_wall(), mono_ns=clock.now())
        self.trials: list[Trial] = []
        self.runs: dict[str, list[MeasuredRun]] = {}
        """By cell."""
        self.cells: dict[str, CellResult] = {}
        self.spent_s: dict[str, float] = {}
        self.facts = EngineFacts(name=plan.engine)
        self.files: tuple[FileHash, ...] = ()
        self.skipped: list[Skipped] = []

    def open(self, running: Server | None) -> None:
        """Asks the server what it is, and learns how to count its tokens."""
        self.session = open_session(self.plan, running, self.order.api_key, self.folder.id, self.order.served_model)
        self.plan, self.facts = self.session.plan, self.session.facts
        self.folder.save_plan(self.plan)
        path = self.order.machine.models.get(self.plan.model) if running else None
        self.files = hash_files(Path(path), HASH_LIMIT_BYTES) if path else ()
        self.observer.say(f"Measuring {self.plan.served_model} on {self.facts.name} {self.facts.version or ''}".rstrip())

    def measure(self, sampler: Sampler) -> None:
        """Blocks of trials, each visiting every unfinished cell in a new seeded order, until the stopping rule has ended each cell."""
        work = self.plan.workload
        if work.profile.until_slo:
            self._ramp(sampler)
            return
        unfinished = list(work.cells)
        for block in count():
            order = list(unfinished)
            if work.profile.schedule is None:
                random.Random(f"order/{work.seed}/{block}").shuffle(order)
            for cell in order:
                if self._trial(cell, block, sampler):
                    unfinished.remove(cell)
            if not unfinished:
                return

    def _ramp(self, sampler: Sampler) -> None:
        """Rate by rate, each with all its trials: whether a rate is measured depends on the one before."""
        broken: dict[object, Cell] = {}
        for cell in sorted(self.plan.workload.cells, key=lambda cell: cell.rate or 0.0):
            if (below := broken.get(cell.ramp)) is not None:
                self.skipped.append(Skipped(cell, f"the SLO was already broken at {below.load}"))
                continue
            for block in count():
                if self._trial(cell, block, sampler):
                    break
            if not goodput.holds(self.cells[cell.id]):
                broken[cell.ramp] = cell

    def _trial(self, cell: Cell, block: int, sampler: Sampler) -> str | None:
        """One trial, stored before anything else happens. Gives the reason when the cell is done."""
        index = len(self.trials)
        job = self.session.job(cell, index, first=cell.id not in self.runs)
        raw = self.folder.trial_path(index)
        before = self.session.counters()
        start = clock.now()
        report = self._drive(job, raw, lambda progress: self._show(cell, progress, start))
        end = clock.now()
        records = drive.read_records(raw)
        after = self.session.settled_counters(before, sum(record.error is None for record in records))
        records = self.session.count(records, index)
        trial = Trial(
            index=index,
            cell=cell.id,
            block=block,
            t_start_ns=start,
            t_end_ns=end,
            client=report,
            counters_before=before,
            counters_after=after,
        )
        run = trials.run_of(cell, trial, records)
        self.folder.add_trial(trial, records, sampler.take())
        self.trials.append(trial)  # only now: a result names no trial that is not stored
        runs = self.runs.setdefault(cell.id, [])
        runs.append(run)
        self.spent_s[cell.id] = self.spent_s.get(cell.id, 0.0) + seconds(end - start)
        reason = stopping.stop(self.plan.workload.profile, cell, runs, self.spent_s[cell.id])
        self.cells[cell.id] = metrics.of_runs(cell, runs, stopped_by=reason or "interrupted")
        self.folder.save(self.result("running"))
        self.session.check_alive()
        return reason

    def _drive(self, job: Job, raw: Path, on_progress: Callable[[Progress], None]) -> ClientReport:
        if self.plan.driver_host is None:
            return drive.drive(job, raw, on_progress, environment=self.order.environment, api_key=self.order.api_key)
        return drive.drive_from(
            self.plan.driver_host,
            self.plan.driver_python,
            job,
            raw,
            on_progress,
            environment=self.order.environment,
            api_key=self.order.api_key,
        )

    def _show(self, cell: Cell, progress: Progress, start: int) -> None:
        work = self.plan.workload
        self.observer.now(
            Now(
                trial=len(self.trials),
                trials=len(work.cells) * work.profile.runs,
                cell=cell.id,
                done=progress.done,
                total=progress.total,
                tok_s=progress.done * cell.tg / clock.since(start) if progress.done and cell.one_length else None,
                left_s=self._left_s(),
            )
        )

    def _left_s(self) -> float:
        """The plan's estimate at first; then each cell's mean trial times the trials it has at least to come."""
        if not self.trials:
            return self.plan.estimate.seconds
        mean = sum(self.spent_s.values()) / len(self.trials)
        left = 0.0
        for cell in self.plan.workload.cells:
            done = len(self.runs.get(cell.id, ()))
            each = self.spent_s[cell.id] / done if done else mean
            left += each * max(0, self.plan.workload.profile.runs - done)
        return left

    def result(self, state: str) -> Result:
        """Everything known so far."""
        launch = self.plan.launch
        fake = speculation.synthetic_acceptance(launch.argv, launch.env) if launch else None
        cells = tuple(self.cells[cell.id] for cell in self.plan.workload.cells if cell.id in self.cells)
        return Result(
            id=self.folder.id,
            state=state,
            harness_version=__version__,
            recipe_name=self.plan.recipe_name,
            recipe_sha256=self.plan.recipe_sha256,
            model=self.plan.model,
            model_files=self.files,
            anchor=self.anchor,
            finished=None if state == "running" else _wall(),
            machine=self.order.machine,
            engine=self.facts,
            calibration=self.calibration,
            trials=tuple(self.trials),
            cells=cells,
            skipped=(*self.plan.workload.skipped, *self.skipped),
            findings=(*((fake,) if fake else ()), *goodput.findings(cells)),
            notes=self.plan.notes,
        )


def _wall() -> str:
    return clock.utc_now().isoformat(timespec="milliseconds")
