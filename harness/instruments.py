"""The machine beside the load: its sensors, what it draws when idle, its canaries, and what they say of its health."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

from harness import clock
from harness.hosts.local import LocalHost
from harness.measure import health, power
from harness.schema.health import Canary, Health, Reason
from harness.schema.machine import Machine
from harness.schema.run import Trial
from harness.schema.sensors import EDGE_NS, POWER_SCOPES, Absent, Idle, Sample
from harness.sense import canary, kernel_log
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S

LOOK_S = 0.3
"""Every source has been read once by then."""
KERNEL_CODES = {
    "no_memory": "gpu_out_of_memory",
    "xid": "gpu_error",
    "gpu_driver": "gpu_error",
    "oom_kill": "killed",
    "thermal_shutdown": "thermal_shutdown",
}
KERNEL_LINE = 200
CANARY_EVERY_NS = 60 * NS_PER_S


class Instruments:
    """Of one run. `sampler` runs already."""

    def __init__(self, sampler: Sampler, machine: Machine, *, here: bool) -> None:
        """`here`: the server runs on this machine."""
        self.sampler, self.machine, self.here = sampler, machine, here
        self.idle: list[Idle] = []
        self.canaries: list[Canary] = []
        self._before: set[int] = set()
        self._drawn: list[dict[str, float]] = []
        self._reasons: list[Reason] = []
        self.around: list[Sample] = []
        """The newest samples, in the order of time."""
        self._unseen: tuple[str, ...] | None = None if here else ("the machine that the server runs on",)

    def watts(self) -> dict[str, float]:
        """Now, by scope: of several sources that read it on one host the first one's, and over hosts the sum, where all have it."""
        found: dict[str, dict[str, dict[str, float]]] = {scope: {} for scope in POWER_SCOPES}
        hosts = set()
        for sample in self.sampler.latest().values():
            host = sample.source.partition("@")[2]
            hosts.add(host)
            if sample.scope in POWER_SCOPES and sample.name.endswith(".power"):
                of_source = found[sample.scope].setdefault(host, {})
                of_source[sample.source] = of_source.get(sample.source, 0.0) + sample.value
        return {
            scope: sum(next(iter(of_host.values())) for of_host in found[scope].values())
            for scope in POWER_SCOPES
            if found[scope] and hosts == found[scope].keys()
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
        self._drawn.append(power.idle_w(span, self.around))
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
        """What was read since the last time. `around` then has that, and a little of before."""
        new = self.sampler.take()
        since = new[0].t_ns - EDGE_NS if new else 0
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
        if self._unseen is None:
            self._unseen = health.unseen(self.machine, self.around)
        seen = _processes(self.around)
        foreign = seen & self._before if ours is None else seen - ours
        self._reasons += health.of_trial(trial, self.around, self.machine, {pid: _name(pid) for pid in foreign})

    def sing(self, ask: Callable[[], float | None], *, memory: bool) -> None:
        """A canary: `ask` sends its request and gives its milliseconds per token. With `memory` its speed is measured too."""
        request_ms, rate = ask(), canary.memory_bandwidth() if memory else None
        self.canaries.append(Canary(t_ns=clock.now(), request_ms=request_ms, memory_bytes_s=rate))

    @property
    def canary_due(self) -> bool:
        return bool(self.canaries) and clock.now() > self.canaries[-1].t_ns + CANARY_EVERY_NS

    def health(self, earlier: Sequence[Canary], kernel: Mapping[str, str]) -> Health:
        """The verdict so far. `kernel`: lines of the kernel's log by reason code."""
        said = [Reason(code=code, text=text) for code, text in kernel.items()]
        reasons = [*self._reasons, *health.of_canaries(self.canaries, earlier), *said]
        return health.verdict(reasons, self._unseen or (), self.canaries, len(earlier))


def _processes(samples: Iterable[Sample]) -> set[int]:
    """On the GPUs."""
    names = {sample.name.partition(".process_")[2] for sample in samples}
    return {int(name) for name in names if name}


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # it has ended, or is in another container
        return "a process"
