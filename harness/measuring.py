"""The trials of one run, as far as they have come, and the result that follows from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec

from harness import __version__, clock, fits
from harness.engines import ENGINES
from harness.errors import EngineError
from harness.instruments import Instruments
from harness.launch.environment import local_proxy
from harness.launch.server import Server
from harness.load import drive
from harness.measure import goodput, health, metrics, speculation, stopping, trials
from harness.measure.given import Given
from harness.measure.packed import Packed
from harness.measure.stopping import Brief
from harness.order import Now, Observer, Order
from harness.probe import hash_files
from harness.report import text
from harness.schema.health import DEGRADED, Canary
from harness.schema.job import Job, Progress
from harness.schema.plan import Plan
from harness.schema.result import CellResult, Finding, Result, Sanity
from harness.schema.run import Anchor, ClientReport, EngineFacts, FileHash, Trial
from harness.schema.sensors import AFTER, BEFORE, Absent
from harness.schema.weights import Weights
from harness.schema.workload import Cell, Skipped
from harness.session import open_session
from harness.spending import Meter
from harness.store import calibrations, canaries
from harness.store.folder import ResultFolder
from harness.units import seconds
from harness.weights import metadata

HASH_LIMIT_BYTES = 20 * 2**30  # larger models are named by their Hugging Face blobs: hashing 70 GB costs minutes
AT_ONCE = 5000
"""Requests of a cell up to which its figures are worked out after each trial, for whoever looks at a run that was killed. Beyond, only when
the cell is done: it takes time and memory for all of them at once."""
SOAK_TRIAL = -1000
"""Prompts of load that is not measured are those of trials from here downwards."""
SANITY_HINT = (
    "its answers are in the result (harness results show latest); a wrong chat template, quantization or kernel does this. For a model "
    "that can only talk so: 'sanity: false' in the recipe's harness block"
)


class Run:
    """The trials of one run, as far as they have come, and the result that follows from them."""

    def __init__(
        self,
        order: Order,
        plan: Plan,
        folder: ResultFolder,
        observer: Observer,
        instruments: Instruments,
        root: Path,
    ) -> None:
        self.order, self.plan, self.folder, self.observer, self.instruments = order, plan, folder, observer, instruments
        self.root = root
        self.meter = Meter(order.rates, order.cap_usd)
        self.calibration = calibrations.newest(root, order.machine)
        self.earlier: list[Canary] = []
        """Of runs before this one, of the same recipe on this machine."""
        self.anchor = Anchor(wall=_wall(), mono_ns=clock.now())
        self.running: Server | None = None
        self.trials: list[Trial] = []
        self.runs: dict[str, list[Packed]] = {}
        """By cell."""
        self.briefs: dict[str, list[Brief]] = {}
        self.cells: dict[str, CellResult] = {}
        self.weights: tuple[Weights | None, str] = (None, "no server was asked")
        self.spent_s: dict[str, float] = {}
        self.facts = EngineFacts(name=plan.engine)
        self.files: tuple[FileHash, ...] = ()
        self.sanity: Sanity | None = None
        self.skipped: list[Skipped] = []
        self.findings: dict[str, Finding] = {}
        """About the run as a whole, by code."""

    def open(self, running: Server | None) -> None:
        """Asks the server what it is, and learns how to count its tokens."""
        self.running = running
        if self.instruments.egress and running and (pid := running.container_pid):
            self.instruments.egress.follow(pid)
        self.session = open_session(self.plan, running, self.order.api_key, self.folder.id, self.order.served_model)
        self.meter.beside = self.session.used
        self.plan, self.facts = self.session.plan, self.session.facts
        self.folder.save_plan(self.plan)
        path = self.order.machine.models.get(self.plan.model) if running and self.instruments.here else None
        self.files = hash_files(Path(path), HASH_LIMIT_BYTES) if path else ()
        self.weights = self.weigh()
        self.observer.say(f"Measuring {self.plan.served_model} on {self.facts.name} {self.facts.version or ''}".rstrip())
        self._question()

    def _question(self) -> None:
        """Whether it talks as a model does, before any speed is measured. Raises `EngineError`."""
        self.sanity = self.session.sanity(waived=not self.order.recipe.harness.sanity)
        if self.sanity.findings and not self.sanity.waived:
            raise EngineError(f"no speed is measured: {self.sanity.findings[0].text}", SANITY_HINT)

    def weigh(self) -> tuple[Weights | None, str]:
        """What the model's files say that decoding reads, or the recipe's metadata; None with a reason. A server that somebody else
        started may have its files elsewhere."""
        if not self.instruments.here:
            return None, "the server runs on another machine, whose memory is not known"
        recipe, launch = self.order.recipe, self.plan.launch
        if launch is None:
            return metadata.from_metadata(recipe.metadata, model=recipe.model)
        claim = ENGINES[self.plan.engine].memory(launch.argv, launch.env)
        return fits.weigh(fits.planned(self.plan, recipe), claim, launch.argv, self.order.machine)

    def measure(self) -> None:
        """Everything there is to measure, between two looks at the idle machine."""
        self.earlier = canaries.earlier(self.root, self.plan, self.result("running"))
        self._rest(BEFORE)
        self._soak()
        self._cells()
        self._rest(AFTER)
        result = self.result("complete")
        if result.health and result.health.verdict != DEGRADED:  # else the next run would be held against a sick machine
            canaries.add(self.root, self.plan, result, health.best(self.instruments.canaries))

    def _cells(self) -> None:
        """Blocks of trials, each visiting every unfinished cell in a new seeded order, until the stopping rule has ended each cell."""
        work = self.plan.workload
        if work.profile.until_slo:
            self._ramp()
            return
        unfinished = list(work.cells)
        for block in count():
            order = list(unfinished)
            if work.profile.schedule is None:
                random.Random(f"order/{work.seed}/{block}").shuffle(order)
            for cell in order:
                if self._trial(cell, block):
                    unfinished.remove(cell)
            if not unfinished:
                return
            if self.instruments.canary_due:
                self.instruments.sing(self.session.canary, resting=False)

    def _rest(self, when: str) -> None:
        """The idle machine, and a canary."""
        self.folder.add_idle(when, self.instruments.rest(when, self.plan.workload.profile.idle_seconds))
        self.instruments.sing(self.session.canary, resting=self.instruments.here)
        for cell in self.plan.workload.cells:
            if cell.id in self.cells:
                self._work_out(cell, self.cells[cell.id].stopped_by)

    def _soak(self) -> None:
        """Load that is not measured."""
        wanted, start = self.plan.workload.profile.soak_seconds, clock.now()
        if wanted:
            self.observer.say(f"Soaking the machine with load for {text.duration(wanted)}")
        for number in count():
            if clock.since(start) >= wanted:
                return
            raw = self.folder.path / "soak.raw"
            job = self.session.job(self.plan.workload.cells[0], SOAK_TRIAL - number, first=False)
            if not self._may(job):
                return
            self._drive(job, raw, lambda progress: None)
            self.meter.add(drive.read_records(raw), job)
            raw.unlink()
            self.session.check_alive()

    def _cool(self) -> None:
        """Waits for a trial's start temperature."""
        profile, start = self.plan.workload.profile, clock.now()
        heat = self.instruments.temperature_c
        if profile.cool_to_c is None:
            return
        if heat is None:
            self._find("no_temperature", f"no sensor reads a temperature: trials did not wait for {profile.cool_to_c:.0f} °C")
            return
        if heat <= profile.cool_to_c:
            return
        self.observer.say(f"Cooling down from {heat:.0f} to {profile.cool_to_c:.0f} °C")
        while heat > profile.cool_to_c and clock.since(start) < profile.cool_limit_s:
            clock.sleep(0.5)
            heat = self.instruments.temperature_c or heat
        if heat > profile.cool_to_c:
            limit = text.duration(profile.cool_limit_s)
            self._find(
                "not_cool", f"trials began hotter than {profile.cool_to_c:.0f} °C: after {limit} it was still {heat:.0f} °C"
            )

    def _find(self, code: str, text: str) -> None:
        self.findings.setdefault(code, Finding(code=code, severity="warning", text=text))

    def _work_out(self, cell: Cell, stopped_by: str) -> None:
        """The cell's figures, for which all its requests are unpacked."""
        runs = [packed.unpack() for packed in self.runs[cell.id]]
        given = Given.of(self.order.machine, self.weights, self.instruments.canaries, self.instruments.idle_w)
        self.cells[cell.id] = metrics.of_runs(cell, runs, stopped_by=stopped_by, given=given)

    def _ramp(self) -> None:
        """Rate by rate, each with all its trials: whether a rate is measured depends on the one before."""
        broken: dict[object, Cell] = {}
        for cell in sorted(self.plan.workload.cells, key=lambda cell: cell.rate or 0.0):
            if (below := broken.get(cell.ramp)) is not None:
                self.skipped.append(Skipped(cell, f"the SLO was already broken at {below.load}"))
                continue
            for block in count():
                if self._trial(cell, block):
                    break
            if not goodput.holds(self.cells[cell.id]):
                broken[cell.ramp] = cell

    def _trial(self, cell: Cell, block: int) -> str | None:
        """One trial, stored before anything else happens. Gives the reason when the cell is done."""
        self._cool()
        index = len(self.trials)
        job = self.session.job(cell, index, first=not self.runs.get(cell.id))
        if not self._may(job):
            if cell.id in self.runs:
                self._work_out(cell, stopping.CAP)
            return stopping.CAP
        raw = self.folder.trial_path(index)
        before = self.session.counters()
        start = clock.now()
        report = self._drive(job, raw, lambda progress: self._show(cell, progress, start))
        end = clock.now()
        records = drive.read_records(raw)
        self.meter.add(records, job)
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
        self.instruments.sampler.wait_past(end)
        samples = self.instruments.take()
        run = trials.run_of(cell, trial, records, self.instruments.around, self.instruments.first_read)
        packed, brief = Packed(run), stopping.brief(cell, run)
        runs, briefs = self.runs.setdefault(cell.id, []), self.briefs.setdefault(cell.id, [])
        self.folder.add_trial(trial, records, samples)
        # Only now, as a result names no trial that is not stored; and together, as none that it names is without figures.
        runs.append(packed)
        briefs.append(brief)
        self.trials.append(trial)
        self.instruments.judge(trial, self.running.processes() if self.running else None)
        self.spent_s[cell.id] = self.spent_s.get(cell.id, 0.0) + seconds(end - start)
        reason = stopping.stop(self.plan.workload.profile, briefs, self.spent_s[cell.id])
        if reason or sum(each.valid for each in briefs) <= AT_ONCE:
            self._work_out(cell, reason or stopping.INTERRUPTED)
        self.folder.save(self.result("running"))
        self.session.check_alive()
        return reason

    def _may(self, job: Job) -> bool:
        """Whether it is within the sum that was agreed to."""
        if self.meter.allows(job):
            return True
        self._find("cap", "cells were not measured to the end: the next trial could have passed the sum that was agreed to")
        return False

    def _drive(self, job: Job, raw: Path, on_progress: Callable[[Progress], None]) -> ClientReport:
        self.meter.begin(job)
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
        self.session.check_alive()  # an open loop would go on against a dead server to the end of its schedule
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
                watts=self.instruments.watts(),
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
        if state in ("interrupted", "failed"):
            for cell in self.plan.workload.cells:  # all: the idle machine may have been read since
                if runs := self.runs.get(cell.id):
                    known = self.cells.get(cell.id)
                    self._work_out(cell, known.stopped_by if known and known.trials == len(runs) else stopping.INTERRUPTED)
        sensors = self.instruments.sampler.report()
        kernel: dict[str, str] = {}
        unread: list[Absent] = []
        if state != "running" and self.instruments.here:
            kernel, unread = self.instruments.kernel_log(self.anchor.wall)
            sensors = msgspec.structs.replace(sensors, absent=(*sensors.absent, *unread))
        fake = speculation.synthetic_acceptance(launch.argv, launch.env) if launch else None
        cells = tuple(self.cells[cell.id] for cell in self.plan.workload.cells if cell.id in self.cells)
        return Result(
            id=self.folder.id,
            state=state,
            harness_version=__version__,
            recipe_name=self.plan.recipe_name,
            recipe_sha256=self.plan.recipe_sha256,
            model=self.plan.model,
            quantization=str(self.order.recipe.metadata.get("quantization") or ""),
            nodes=max(1, len(self.plan.nodes)),
            server="" if launch or self.instruments.here else self.plan.url,
            model_files=self.files,
            anchor=self.anchor,
            finished=None if state == "running" else _wall(),
            machine=self.order.machine,
            engine=self.facts,
            image=launch.image_found if launch else None,
            calibration=self.calibration,
            sanity=self.sanity,
            sensors=sensors,
            idle=tuple(self.instruments.idle),
            weights=self.weights[0],
            weights_reason=self.weights[1],
            health=self.instruments.health(self.earlier, kernel, unread),
            egress=self.instruments.egress.report(self._unwatched()) if self.instruments.egress else None,
            trials=tuple(self.trials),
            cells=cells,
            skipped=(*self.plan.workload.skipped, *self.skipped),
            findings=(*((fake,) if fake else ()), *self._elsewhere(), *self.findings.values(), *goodput.findings(cells)),
            spent=self.meter.spent(),
            notes=self.plan.notes,
        )

    def _unwatched(self) -> tuple[str, ...]:
        """What took part in the run and is no process of ours here."""
        far = {node.host for node in self.plan.nodes if not node.here} | {self.plan.driver_host} - {None}
        said = [f"what ran on {host}" for host in sorted(filter(None, far))]
        if self.plan.launch is None:
            said.append("the server, which the harness did not start")
        elif self.running and self.running.in_container and self.running.container_pid is None:
            said.append("the server's container, whose processes are not seen from here")
        if launch := self.plan.launch:
            inherited = self.order.environment if launch.executor != "docker" else {}
            if name := local_proxy({**inherited, **launch.env}):
                said.append(f"what the proxy on this machine that {name} names passes on")
        return tuple(said)

    def _elsewhere(self) -> list[Finding]:
        hosts = [node.host for node in self.plan.nodes]
        if not hosts:
            return []
        text = (
            f"the server ran on {', '.join(hosts)}: plan.json tells of these; the machine named here is where the harness ran"
        )
        if meters := len(self.order.named.plugs):
            text += (
                f"; the watts of the wall are those of {meters} meter{'' if meters == 1 else 's'} (--plug), whatever is behind"
            )
        return [Finding(code="machines", severity="note", text=text)]


def _wall() -> str:
    return clock.utc_now().isoformat(timespec="milliseconds")
