"""`result.json`: figures with their intervals and reasons, verdicts with their evidence, and everything needed to judge them."""

from __future__ import annotations

import msgspec

from harness.schema.bill import Spent
from harness.schema.calibration import Calibration
from harness.schema.egress import Egress
from harness.schema.health import Health
from harness.schema.machine import Machine
from harness.schema.plan import Image
from harness.schema.run import Anchor, EngineFacts, FileHash, Trial
from harness.schema.sensors import Idle, SensorReport
from harness.schema.weights import Weights
from harness.schema.workload import Cell, Skipped

RESULT_VERSION = 1
"""1 (0.1.0): first format."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number. `value` None always comes with a `reason`; `low`/`high` are the 95 % interval."""

    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Of what `basis` counts: requests or runs."""
    basis: str = "requests"
    reason: str | None = None
    """Why there is no value, or no interval: `needs 53 more requests`."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something a reader must know before using the numbers."""

    code: str
    severity: str
    """`invalid` (the cell does not count), `unsteady` (kept, not publishable), `warning` or `note`."""
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said to one of the questions before a run."""

    question: str
    text: str
    """Reasoning and answer."""
    tokens: int | None
    """By its usage."""
    right: bool | None
    """The expected word is in it; None: there is no expected one. Small models know little, so it decides nothing."""


class Sanity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what answers talks as a language model does, asked before any speed was measured."""

    answers: tuple[Answer, ...]
    moved: dict[str, float]
    """How far the engine's counters moved meanwhile, by our names."""
    findings: tuple[Finding, ...]
    """None: it is sane."""
    waived: bool = False
    """The recipe says that the model can only talk nonsense: it was measured all the same."""


class PowerReading(msgspec.Struct, frozen=True, kw_only=True):
    """Where the joules of a scope come from."""

    source: str
    """`nvml`, `hwmon`, `rapl`, `plug`."""
    method: str
    """`counter` (an energy register) or `integral` (of power readings)."""
    window_s: float
    """Of all trials together."""
    update_s: float | None
    """How often the sensor is brought up to date, as measured."""
    boundary_error: float | None
    """The share by which the windows' edges may be off: twice the update period for each."""
    passed_over: str | None = None
    """Why a counter that there is was not used."""


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    cell: Cell
    verdict: str
    """`valid`, `unsteady` or `invalid`: the worst of its findings."""
    findings: tuple[Finding, ...]
    trials: int
    stopped_by: str
    """What ended the repeats: `target`, `runs`, `max_runs`, `budget`, `cap` (of dollars) or `interrupted`."""
    sent: int
    valid: int
    excluded: dict[str, int]
    """Requests that do not count, by reason; sent = valid + all of these."""
    figures: dict[str, Figure]
    """By the names of `harness.measure.metrics.METRICS`."""
    power: dict[str, PowerReading] = {}
    """By scope, of those that were measured."""


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a result before it was shared."""

    version: int
    """Of the table that says what is kept (`docs/redaction.md`)."""
    left_out: tuple[str, ...]
    """What can no longer be held against anything, in sentences."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int = RESULT_VERSION
    id: str
    state: str
    """`running`, `complete`, `interrupted` or `failed`."""
    harness_version: str
    recipe_name: str
    recipe_sha256: str
    model: str
    quantization: str = ""
    """As the recipe's metadata calls it; empty: it does not say."""
    nodes: int = 1
    """Machines that the server ran on."""
    server: str = ""
    """Address of one that runs on somebody else's machine (`https://api.example.com`); empty otherwise."""
    model_files: tuple[FileHash, ...] = ()
    anchor: Anchor
    finished: str | None = None
    machine: Machine
    engine: EngineFacts
    image: Image | None = None
    """What the server ran in; None: no container that we started."""
    calibration: Calibration | None = None
    """The newest of the load client on such a machine; None: it was not calibrated there."""
    sanity: Sanity | None = None
    """None: the server was not asked, since it did not start, or by a harness that did not ask."""
    sensors: SensorReport | None = None
    """What was read beside the load, and what could not be."""
    idle: tuple[Idle, ...] = ()
    """When nothing was asked of the server: `samples.parquet` has what the machine drew then. None without a power sensor."""
    health: Health | None = None
    egress: Egress | None = None
    """Where our processes were connected to; None: by a harness that did not look."""
    weights: Weights | None = None
    """What decoding reads of the model; None: `weights_reason`."""
    weights_reason: str = ""
    trials: tuple[Trial, ...] = ()
    cells: tuple[CellResult, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    findings: tuple[Finding, ...] = ()
    """About the run as a whole."""
    spent: Spent | None = None
    """None: nothing is charged, or nobody said so."""
    notes: tuple[str, ...] = ()
    redacted: Redaction | None = None
    """None: it is as it was measured."""


class Reading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `Figure` as short as can be: a summary is read ten thousand times. The collector need not look at a million of these."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A cell in a summary, with those of its figures that a summary has."""

    depth: int = 0
    pp: int
    tg: int
    concurrency: int | None = None
    rate: float | None = None
    turns: int = 1
    shape: str
    """In words: `pp2048 tg128 c4`."""
    verdict: str
    why: str = ""
    """What was found, where it is not `valid`."""
    figures: dict[str, Reading]

    @property
    def prompt_tokens(self) -> int:
        return self.depth + self.pp


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What lists, the board, costs and sovereignty need of a result."""

    id: str
    path: str
    started: str
    recipe: str
    model: str
    quantization: str = ""
    engine: str = ""
    engine_version: str | None = None
    nodes: int = 1
    server: str = ""
    hardware: str = ""
    """The GPU's name, or the CPU's where there is none; empty for a server elsewhere."""
    launched: bool = False
    """The harness started the server."""
    left: bool | None = None
    """Whether anything left the machine (`harness.measure.egress`); None: not known."""
    left_how: str = ""
    """What that is known by, or why it is not."""
    state: str
    verdict: str
    """The worst of its cells', or `-` without any."""
    decode_tok_s: float | None
    """Of the first cell with one stream."""
    points: tuple[Point, ...] = ()
