"""Readings and canaries → reasons why a machine's figures are not those of a healthy one. Pure.

Limits and where they come from: `docs/gb10.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

import msgspec
import numpy as np

from harness.schema.health import DEGRADED, HEALTHY, UNKNOWN, Canary, Health, Reason
from harness.schema.machine import Machine
from harness.schema.run import Trial
from harness.schema.sensors import Sample
from harness.units import seconds

BUSY = 0.8
"""Utilization from which a GPU counts as loaded: its clock is judged then only."""
LOADED_READINGS = 3
LOW_CLOCK_MHZ = 1400.0
LOW_POWER_W = 25.0
LOW_LIMIT_W = 100.0
"""The chip's applied power limit is 140 W on a healthy GB10; 20 W were seen on one whose clocks were pinned low."""
FULL_CLOCK_MHZ = {"NVIDIA GB10": 2900.0}
"""A highest clock below this has been locked (3003 MHz as delivered)."""
HOT_C = 90.0
SLOWED_SHARE = 0.01
"""Of a trial's time, spent slowed down or stalled."""
APPLICATION_CLOCKS, POWER_BRAKE = 0x2, 0x80
THERMAL = {"sw": 0x20, "hw": 0x40}
"""In the mask, by the name in that of its counter."""
SWAPPED_BYTES = 64 * 2**20
SLOWER = 1.25
"""A canary that takes this much longer; the slow state that nvidia-smi does not show takes 1.5 times as long."""
SLOWER_MEMORY = 0.6
HISTORY = 3
"""Runs before that it takes to compare with them."""


class Readings:
    """The samples of one trial on one machine, by name. `samples` are in the order of time."""

    def __init__(self, samples: Iterable[Sample], start_ns: int, end_ns: int) -> None:
        self._of: dict[str, list[Sample]] = {}
        self._before: dict[str, Sample] = {}
        self._after: dict[str, Sample] = {}
        for sample in samples:
            if sample.t_ns < start_ns:
                self._before[sample.name] = sample
            elif sample.t_ns <= end_ns:
                self._of.setdefault(sample.name, []).append(sample)
            else:
                self._after.setdefault(sample.name, sample)

    def values(self, name: str) -> np.ndarray:
        return np.array([sample.value for sample in self._of.get(name, ())], dtype=float)

    def grew(self, name: str) -> tuple[float, float] | None:
        """How far a counter moved, and in how many seconds: from the last reading before the trial to the first one after it, since a
        short trial may have none within."""
        ends = [self._before.get(name), *self._of.get(name, ()), self._after.get(name)]
        known = [sample for sample in ends if sample is not None]
        if len(known) < 2:
            return None
        return known[-1].value - known[0].value, seconds(known[-1].t_ns - known[0].t_ns)

    def at_load(self, gpu: str, quantity: str) -> np.ndarray:
        """Its values where the GPU was busy: each reading has the utilization that was read with it."""
        busy = {s.t_ns for s in self._of.get(f"{gpu}.utilization", ()) if s.value >= BUSY}
        return np.array([s.value for s in self._of.get(f"{gpu}.{quantity}", ()) if s.t_ns in busy], dtype=float)

    def gpus(self) -> list[str]:
        return sorted({name.partition(".")[0] for name in self._of if name.startswith("gpu") and "." in name})

    def processes(self, gpu: str) -> set[int]:
        prefix = f"{gpu}.process_"
        there = self._of.keys() | (self._before.keys() & self._after.keys())
        return {int(name.removeprefix(prefix)) for name in there if name.startswith(prefix)}


def of_trial(trial: Trial, samples: Sequence[Sample], machine: Machine, foreign: Mapping[int, str]) -> list[Reason]:
    """What the readings of one trial say against the machine, and against each other host that was read. `foreign`: names of processes
    on this machine that are none of the server's, by number."""
    by_host: dict[str, list[Sample]] = {}
    for sample in samples:
        by_host.setdefault(sample.host, []).append(sample)
    found = []
    for host, own in by_host.items():
        readings = Readings(own, trial.t_start_ns, trial.t_end_ns)
        # Of another host neither its kind of GPU is known nor which processes are the server's.
        known, others = (machine, foreign) if not host else (msgspec.structs.replace(machine, gpus=()), {})
        for reason in _of_host(readings, known, others):
            text = f"{host}: {reason.text}" if host else reason.text
            found.append(msgspec.structs.replace(reason, text=text, trials=(trial.index,)))
    return found


def _of_host(readings: Readings, machine: Machine, foreign: Mapping[int, str]) -> Iterator[Reason]:
    yield from _of_memory(readings)
    yield from of_supply(readings)
    for gpu in readings.gpus():
        yield from of_clocks(readings, gpu, machine)
        yield from of_heat(readings, gpu)
        yield from _of_others(readings, gpu, foreign)


def best(canaries: Sequence[Canary]) -> Canary:
    """Of one run, for later ones to be compared with: its quickest request and its fastest memory and GPU, since theirs are compared by
    that."""
    times = [canary.request_ms for canary in canaries if canary.request_ms is not None]
    rates = [canary.memory_bytes_s for canary in canaries if canary.memory_bytes_s is not None]
    flops = [canary.gpu_flop_s for canary in canaries if canary.gpu_flop_s is not None]
    return Canary(
        t_ns=canaries[0].t_ns,
        request_ms=min(times, default=None),
        memory_bytes_s=max(rates, default=None),
        gpu_flop_s=max(flops, default=None),
    )


def of_canaries(canaries: Sequence[Canary], before: Sequence[Canary]) -> list[Reason]:
    """Against each other and against `before`: the `best` of earlier runs of the same thing on this machine."""
    found = []
    times = [canary.request_ms for canary in canaries if canary.request_ms is not None]
    if times and max(times) > SLOWER * min(times):
        text = f"the same short request took {min(times):.1f} to {max(times):.1f} ms a token in the course of the run"
        found.append(Reason(code="slow_state", text=text))
    earlier = [canary.request_ms for canary in before if canary.request_ms is not None]
    if times and len(earlier) >= HISTORY and min(times) > SLOWER * median(earlier):
        text = f"the same short request takes {min(times):.1f} ms a token; in {len(earlier)} runs before it took {median(earlier):.1f}"
        found.append(Reason(code="slow_state", text=text))
    rates = [canary.memory_bytes_s for canary in canaries if canary.memory_bytes_s is not None]
    known = [canary.memory_bytes_s for canary in before if canary.memory_bytes_s is not None]
    if rates and len(known) >= HISTORY and max(rates) < SLOWER_MEMORY * median(known):
        text = f"the CPU reads memory at {max(rates) / 1e9:.0f} GB/s; in {len(known)} runs before at {median(known) / 1e9:.0f}"
        found.append(Reason(code="slow_memory", text=text))
    return [*found, *_of_gpu_canaries(canaries, before)]


def _of_gpu_canaries(canaries: Sequence[Canary], before: Sequence[Canary]) -> Iterator[Reason]:
    flops = [canary.gpu_flop_s / 1e12 for canary in canaries if canary.gpu_flop_s is not None]
    earlier = [canary.gpu_flop_s / 1e12 for canary in before if canary.gpu_flop_s is not None]
    if flops and max(flops) > SLOWER * min(flops):
        yield Reason(
            code="slow_gpu", text=f"the GPU computed at {min(flops):.1f} to {max(flops):.1f} TFLOP/s in the course of the run"
        )
    elif flops and len(earlier) >= HISTORY and SLOWER * max(flops) < median(earlier):
        text = f"the GPU computes at {max(flops):.1f} TFLOP/s; in {len(earlier)} runs before at {median(earlier):.1f}"
        yield Reason(code="slow_gpu", text=text)


def verdict(reasons: Iterable[Reason], unseen: Sequence[str], canaries: Sequence[Canary], compared_with: int) -> Health:
    """The same reason in several trials is one, with the evidence of the first."""
    merged: dict[str, Reason] = {}
    trials: dict[str, set[int]] = {}
    for reason in reasons:
        merged.setdefault(reason.code, reason)
        trials.setdefault(reason.code, set()).update(reason.trials)
    said = DEGRADED if merged else UNKNOWN if unseen else HEALTHY
    return Health(
        verdict=said,
        reasons=tuple(msgspec.structs.replace(first, trials=tuple(sorted(trials[code]))) for code, first in merged.items()),
        unseen=tuple(unseen),
        canaries=tuple(canaries),
        compared_with=compared_with,
    )


def unseen(machine: Machine, samples: Iterable[Sample]) -> tuple[str, ...]:
    """What a machine with these GPUs shows when it is well, and these samples lack of one of them."""
    read = {sample.name for sample in samples if not sample.host}
    wanted = {
        "clock": "the GPU's clock",
        "utilization": "its utilization",
        "power": "its power",
        "temperature": "its temperature",
    }
    return tuple(
        text for quantity, text in wanted.items() if any(f"gpu{gpu.index}.{quantity}" not in read for gpu in machine.gpus)
    )


def of_clocks(readings: Readings, gpu: str, machine: Machine) -> Iterator[Reason]:
    clock, power = readings.at_load(gpu, "clock"), readings.at_load(gpu, "power")
    names = [known.name for known in machine.gpus if f"gpu{known.index}" == gpu]
    full = FULL_CLOCK_MHZ.get(names[0]) if names else None
    highest = readings.values(f"{gpu}.clock_max")
    mask = readings.values(f"{gpu}.reasons").astype(np.int64)
    locked = full is not None and len(highest) and highest.max() < full
    applied = len(mask) and np.all(mask & APPLICATION_CLOCKS)
    if locked or applied:
        to = f" at {highest.max():.0f} MHz" if len(highest) else ""
        yield Reason(code="locked_clocks", text=f"the clocks of {gpu} are locked{to} (nvidia-smi -rgc sets them free)")
        if applied or highest.max() < LOW_CLOCK_MHZ:
            return  # such a lock explains a low clock; a higher one does not, and a GPU that is stuck takes it all the same
    if len(clock) < LOADED_READINGS or clock.max() >= LOW_CLOCK_MHZ:
        return
    seen = f"{gpu} ran at {clock.min():.0f} to {clock.max():.0f} MHz under load"
    if len(power) and power.max() <= LOW_POWER_W:
        text = f"{seen}, with {power.max():.0f} W at the most: shut down, take the power supply from the wall for a minute"
        yield Reason(code="stuck_low_power", text=text)
    else:
        yield Reason(code="low_clock", text=seen)


def of_heat(readings: Readings, gpu: str) -> Iterator[Reason]:
    counted = {bit: grown for name, bit in THERMAL.items() if (grown := readings.grew(f"{gpu}.reason_{name}_thermal"))}
    slow_s, span_s = sum(each for each, _ in counted.values()), max((span for _, span in counted.values()), default=0.0)
    uncounted = sum(bit for bit in THERMAL.values() if bit not in counted)
    heat, mask = readings.values(f"{gpu}.temperature"), readings.values(f"{gpu}.reasons").astype(np.int64)
    hottest = f", up to {heat.max():.0f} °C" if len(heat) else ""
    if slow_s > SLOWED_SHARE * span_s:
        text = f"{gpu} slowed down for its heat during {slow_s:.1f} of {span_s:.1f} s{hottest}"
        yield Reason(code="thermal_slowdown", text=text)
    elif len(mask) and np.mean(mask & uncounted != 0) > SLOWED_SHARE:
        text = f"{gpu} said that it slowed down for its heat in {np.mean(mask & uncounted != 0):.0%} of the readings{hottest}"
        yield Reason(code="thermal_slowdown", text=text)
    elif len(heat) and heat.max() >= HOT_C:
        yield Reason(code="hot", text=f"{gpu} reached {heat.max():.0f} °C")


def of_supply(readings: Readings) -> Iterator[Reason]:
    prochot, limit = readings.values("spbm.prochot"), readings.values("pl1.limit")
    if len(limit) and limit.max() < LOW_LIMIT_W:
        text = f"the chip's power limit is {limit.max():.0f} W: shut down, take the power supply from the wall for a minute"
        yield Reason(code="stuck_low_power", text=text)
    rails = [readings.values(name) for name in ("dc_input.power", "syspl1.limit")]
    known = f"; the supply gave {rails[0].max():.0f} W, the limit is {rails[1].max():.0f} W" if all(map(len, rails)) else ""
    if len(prochot) and prochot.max() > 0:
        text = f"PROCHOT was on in {np.mean(prochot > 0):.0%} of the readings{known}: use the power supply that came with it"
        yield Reason(code="weak_power_supply", text=text)
        return
    for gpu in readings.gpus():
        braked, mask = readings.grew(f"{gpu}.reason_hw_power_brake"), readings.values(f"{gpu}.reasons").astype(np.int64)
        if (braked and braked[0] > 0) or (braked is None and np.any(mask & POWER_BRAKE)):
            yield Reason(code="weak_power_supply", text=f"the power brake of {gpu} was on{known}")
            return


def _of_memory(readings: Readings) -> Iterator[Reason]:
    stalled_s, span_s = readings.grew("psi.memory_full") or (0.0, 0.0)
    swapped = sum(grown[0] for way in ("in", "out") if (grown := readings.grew(f"swap.{way}")))
    least = readings.values("memory.available")
    free = f"; {least.min() / 2**30:.1f} GiB were available at the least" if len(least) else ""
    if stalled_s > SLOWED_SHARE * span_s:
        text = f"everything waited for memory during {stalled_s:.1f} of {span_s:.1f} s{free}"
        yield Reason(code="memory_pressure", text=text)
    elif swapped > SWAPPED_BYTES:
        yield Reason(code="memory_pressure", text=f"{swapped / 2**20:.0f} MiB were swapped{free}")


def _of_others(readings: Readings, gpu: str, foreign: Mapping[int, str]) -> Iterator[Reason]:
    others = [f"{foreign[pid]} ({pid})" for pid in sorted(readings.processes(gpu)) if pid in foreign]
    if others:
        yield Reason(code="foreign_process", text=f"others used {gpu} too: {', '.join(others)}")
