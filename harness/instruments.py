"""The machine beside the load: its sensors, what it draws when idle, its canaries, and what they say of its health."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

from harness import clock
from harness.hosts.local import LocalHost
from harness.measure import health, power, trials
from harness.measure.power_series import Channel, first_read
from harness.schema.health import Canary, Health, Reason
from harness.schema.machine import Machine
from harness.schema.run import Trial
from harness.schema.sensors import EDGE_NS, METER, POWER_SCOPES, WALL, Absent, Idle, Sample
from harness.sense import canary, gpu_load, kernel_log
from harness.sense.egress import Watch
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S

LOOK_S = 0.3
"""Every source has been read once by then."""
FRESH_S = 5.0
"""Of a reading that is shown live: sources are read once a second at the least."""
KERNEL_CODES = {
    "no_memory": "gpu_out_of_memory",
    "xid": "gpu_error",
    "gpu_driver": "gpu_error",
    "oom_kill": "killed",
    "thermal_shutdown": "thermal_shutdown",
}
KERNEL_LINE = 200
CANARY_EVERY_NS = 60 * NS_PER_S
GPU_S, GPU_PATIENCE_S = 1.0, 5.0
"""Of load for each GPU, and how long one that does not answer is waited for."""
ANSWERS = 3
"""To a canary's request, at the most."""


class Instruments:
    """Of one run. `sampler` runs already."""

    def __init__(
        self, sampler: Sampler, machine: Machine, *, here: bool, others: Sequence[str] = (), egress: Watch | None = None
    ) -> None:
        """`here`: the server, or a part of it, runs on this machine. `others`: machines that the rest runs on. Their readings are judged,
        but what should be read there, and their kernels' logs, are not looked at. `egress`: one of the sampler's sources, if it has it."""
        self.sampler, self.machine, self.here, self.egress = sampler, machine, here, egress
        self.idle: list[Idle] = []
        self.canaries: list[Canary] = []
        self._before: set[int] = set()
        self._drawn: list[dict[str, float]] = []
        self._reasons: list[Reason] = []
        self.around: list[Sample] = []
        """The newest samples, in the order of time."""
        self.first_read: dict[Channel, int] = {}
        """When each channel was first read [t_ns]: one that is lost later on is missed."""
        self._unseen: tuple[str, ...] | None = None if here else ("the machine that the server runs on",)
        if others:
            self._unseen = tuple(f"the whole of {host}" for host in others)

    def watts(self) -> dict[str, float]:
        """Now, by scope: of several sources that read it on one host the first one's, and over hosts the sum, where all have it. What was
        lost meanwhile is not shown."""
        found: dict[str, dict[str, dict[str, float]]] = {scope: {} for scope in POWER_SCOPES}
        hosts = set()
        for sample in self.sampler.latest().values():
            if sample.source != METER:
                hosts.add(sample.host)
            if sample.scope in POWER_SCOPES and sample.name.endswith(".power") and clock.since(sample.t_ns) < FRESH_S:
                of_source = found[sample.scope].setdefault(sample.host, {})
                of_source[sample.source] = of_source.get(sample.source, 0.0) + sample.value
        return {
            scope: sum(next(iter(of_host.values())) for of_host in found[scope].values())
            for scope in POWER_SCOPES
            if found[scope] and (scope == WALL or hosts == found[scope].keys())
        }

    def look_before(self) -> None:
        """Before our server starts: what computes on the GPU now is somebody else's."""
        clock.sleep(LOOK_S)
        self._before = _processes(self.sampler.latest().values())

    def rest(self, when: str, seconds: float) -> list[Sample]:
        """Reads the idle machine, where anything reads its power, and gives all samples up to now."""
        if not any(sample.scope in POWER_SCOPES for sample in self.sampler.latest().values()):
            return self.take()
        start = clock.now()
        clock.sleep(seconds)
        span = Idle(when=when, t_start_ns=start, t_end_ns=clock.now())
        self.sampler.wait_past(span.t_end_ns)
        samples = self.take()
        self.idle.append(span)
        self._drawn.append(power.idle_w(span, self.around, self.first_read))
        return samples

    @property
    def idle_w(self) -> dict[str, float]:
        """What the idle machine draws, by scope; nothing where no idle span knows it."""
        return power.mean_w(self._drawn)

    @property
    def temperature_c(self) -> float | None:
        """Of the hottest GPU, else of the chip; None: nothing reads it."""
        heat = {sample.name: sample.value for sample in self.sampler.latest().values() if sample.name.endswith(".temperature")}
        gpus = [value for name, value in heat.items() if name.startswith("gpu")]
        return max(gpus, default=heat.get("soc.temperature"))

    def take(self) -> list[Sample]:
        """What was read since the last time. `around` then has that, and of before all that `trials.around` can ask for: the next trial may
        begin a little earlier than the first of the new readings."""
        new = self.sampler.take()
        self.first_read = first_read(new) | self.first_read
        since = new[0].t_ns - 2 * EDGE_NS if new else 0
        self.around = sorted([s for s in self.around if s.t_ns >= since] + new, key=lambda sample: sample.t_ns)
        return new

    def kernel_log(self, since: str) -> tuple[dict[str, str], list[Absent]]:
        """The first line of each kind of trouble since an instant (RFC 3339), by reason code; and that the log may not be read."""
        lines, absent = kernel_log.trouble(LocalHost(), since)
        said: dict[str, str] = {}
        for line in lines:
            said.setdefault(KERNEL_CODES[kernel_log.kind(line) or ""], f"the kernel's log: {line[:KERNEL_LINE]}")
        return said, [absent] if absent else []

    def note(self, code: str, text: str) -> None:
        """A reason that no reading shows."""
        self._reasons.append(Reason(code=code, text=text))

    def judge(self, trial: Trial, ours: set[int] | None) -> None:
        """What the readings of this trial say against the machine. `ours`: the server's processes; None: not known."""
        if self.here:  # each time, by what is still read at the end: a sensor may be lost on the way
            still = [sample for sample in self.around if sample.t_ns > trial.t_end_ns - NS_PER_S]
            lacking = health.unseen(self.machine, still)
            self._unseen = tuple(dict.fromkeys((*(self._unseen or ()), *lacking)))
        foreign = _foreign(_processes(self.around), ours, self._before)
        near = trials.around(self.around, trial)
        self._reasons += health.of_trial(trial, near, self.machine, {pid: _name(pid) for pid in foreign})

    def sing(self, ask: Callable[[], float | None], *, resting: bool) -> None:
        """A canary: `ask` sends its request and gives its milliseconds per token. With `resting` nothing else runs on this machine, and the
        speed of its memory and of its GPUs is measured too."""
        request_ms, rate, flop_s = self._quickest(ask), None, None
        if resting:
            rate, flop_s = canary.memory_bandwidth(), self._slowest_gpu()
        self.canaries.append(Canary(t_ns=clock.now(), request_ms=request_ms, memory_bytes_s=rate, gpu_flop_s=flop_s))

    def _slowest_gpu(self) -> float | None:
        """Its FLOP/s. The server's own GPUs may have no memory left for this: then nothing is known."""
        rates = [gpu_load.busy(GPU_S, gpu.uuid, GPU_PATIENCE_S) for gpu in self.machine.gpus]
        known = [rate for rate in rates if not isinstance(rate, Absent)]
        return min(known, default=None) if len(known) == len(rates) else None

    def _quickest(self, ask: Callable[[], float | None]) -> float | None:
        """Of up to three answers, no more than it takes to be as quick as the canaries before: one that was held up by something else, or
        that a server compiled something for, is no state of the machine, which lasts."""
        known = [each.request_ms for each in self.canaries if each.request_ms is not None]
        times: list[float] = []
        while len(times) < ANSWERS and not (known and times and min(times) <= health.SLOWER * min(known)):
            took = ask()
            if took is None:  # asking a server again that hangs would take minutes
                break
            times.append(took)
        return min(times, default=None)

    @property
    def canary_due(self) -> bool:
        return bool(self.canaries) and clock.now() > self.canaries[-1].t_ns + CANARY_EVERY_NS

    def health(self, earlier: Sequence[Canary], kernel: Mapping[str, str], unread: Sequence[Absent] = ()) -> Health:
        """The verdict so far. `kernel`: lines of the kernel's log by reason code. `unread`: that it may not be read, which matters where
        there is a GPU."""
        said = [Reason(code=code, text=text) for code, text in kernel.items()]
        reasons = [*self._reasons, *health.of_canaries(self.canaries, earlier), *said]
        unseen = ("the machine under load",) if self._unseen is None else self._unseen
        unseen += ("the kernel's log",) if unread and self.machine.gpus else ()
        return health.verdict(reasons, unseen, self.canaries, len(earlier))


def _processes(samples: Iterable[Sample]) -> set[int]:
    """On this machine's GPUs."""
    names = {sample.name.partition(".process_")[2] for sample in samples if not sample.host}
    return {int(name) for name in names if name}


def _foreign(seen: set[int], ours: set[int] | None, before: set[int]) -> set[int]:
    """Of the processes on the GPUs, those that are none of the server's. Where ours cannot be told from others', only who was there
    before it: in a container the driver gives the numbers that the host knows them by, which mean nothing inside."""
    if ours is None or not (seen & ours or all(map(psutil.pid_exists, seen))):
        return seen & before
    return seen - ours


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # it has ended, or is in another container
        return "a process"
