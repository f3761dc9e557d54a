"""Power curves whose energy is known in closed form, and the readings that a sensor would give of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measure import energy
from harness.measure.energy import ScopeEnergy
from harness.measure.windows import Window
from harness.schema.sensors import GPU, Sample

Floats = NDArray[np.float64]
ORIGIN_NS = 5_000_000_000_000
"""What second 0 of a curve is on the clock."""


class Curve(NamedTuple):
    """Both by seconds; joules since second 0."""

    watts: Callable[[Floats], Floats]
    joules: Callable[[Floats], Floats]

    def between(self, *bounds: tuple[float, float]) -> float:
        return float(sum(self.joules(np.array(end)) - self.joules(np.array(start)) for start, end in bounds))


def turns(first: float, first_s: float, second: float, second_s: float, begin: float = 0.0) -> Curve:
    """`first` watts for `first_s` seconds, then `second`, again and again."""

    def watts(t: Floats) -> Floats:
        return np.where(np.mod(t - begin, first_s + second_s) < first_s, first, second)

    def joules(t: Floats) -> Floats:
        cycles, rest = np.divmod(t - begin, first_s + second_s)
        of_cycle = first * np.minimum(rest, first_s) + second * np.maximum(rest - first_s, 0)
        summed: Floats = cycles * (first * first_s + second * second_s) + of_cycle
        return summed

    return Curve(watts, joules)


def steps(low: float, high: float, half: float) -> Curve:
    return turns(low, half, high, half)


def sawtooth(low: float, high: float, period: float) -> Curve:
    """Rises evenly, falls at once."""

    def watts(t: Floats) -> Floats:
        return low + (high - low) * np.mod(t, period) / period

    def joules(t: Floats) -> Floats:
        cycles, rest = np.divmod(t, period)
        summed: Floats = cycles * (low + high) / 2 * period + low * rest + (high - low) * rest**2 / (2 * period)
        return summed

    return Curve(watts, joules)


def constant(watts: float) -> Curve:
    return sawtooth(watts, watts, 1.0)


CURVES = {
    "steps": steps(12, 90, 3.7),
    "long steps": steps(92, 10, 31.0),
    "bursts": steps(20, 60, 0.47),
    "sawtooth": sawtooth(15, 95, 5.3),
    "slow sawtooth": sawtooth(40, 140, 47.0),
}


def window(start: float, end: float) -> Window:
    return Window(ORIGIN_NS + round(start * 1e9), ORIGIN_NS + round(end * 1e9))


class Sensor(NamedTuple):
    """Brought up to date every `update` seconds, holds its value in between, and is read every `every` seconds."""

    curve: Curve
    source: str = "nvml"
    scope: str = GPU
    part: str = "gpu0"
    update: float = 0.1
    every: float = 0.1
    jitter: float = 0.0
    """Up to so many seconds late."""
    dropped: float = 0.0
    """Share of readings that is missing."""
    averages: bool = False
    """Over the time since the update before, instead of what is there at the instant."""
    ripple: float = 0.1
    """Watts around the curve, anew with each update: else no update shows where the curve is flat."""
    since: float = -5.0
    until: float = 125.0
    seed: int = 0

    def power(self) -> list[Sample]:
        read, fresh = self._instants()
        updates, which = np.unique(fresh, return_inverse=True)
        ripple = (np.random.default_rng(self.seed).random(len(updates)) - 0.5) * 2 * self.ripple
        mean = (self.curve.joules(fresh) - self.curve.joules(fresh - self.update)) / self.update
        watts = mean if self.averages else self.curve.watts(fresh)
        return self._samples("power", read, watts + ripple[which], "W")

    def counter(self, *, quantum: float = 0.0, factor: float = 1.0) -> list[Sample]:
        """In steps of `quantum` joules, counting `factor` times what there is."""
        read, fresh = self._instants()
        joules = factor * (self.curve.joules(fresh) - self.curve.joules(np.array(self.since - 60))) + 777
        return self._samples("energy", read, np.floor(joules / quantum) * quantum if quantum else joules, "J")

    def both(self) -> list[Sample]:
        return self.power() + self.counter()

    def _instants(self) -> tuple[Floats, Floats]:
        """Of the readings, and of the update that each sees."""
        rng = np.random.default_rng(self.seed)
        read = np.arange(self.since, self.until, self.every)
        read = read + rng.random(len(read)) * self.jitter
        read = read[rng.random(len(read)) >= self.dropped]
        phase = 0.37 * self.update
        return read, np.floor((read - phase) / self.update) * self.update + phase

    def _samples(self, quantity: str, read: Floats, values: Floats, unit: str) -> list[Sample]:
        name = f"{self.part}.{quantity}"
        return [
            Sample(ORIGIN_NS + round(t * 1e9), self.source, self.scope, name, float(value), unit)
            for t, value in zip(read, values, strict=True)
        ]


def without(samples: list[Sample], start: float, end: float) -> list[Sample]:
    lost = window(start, end)
    return [sample for sample in samples if not lost.holds(sample.t_ns)]


def of(samples: list[Sample], *windows: Window, scope: str = GPU) -> ScopeEnergy:
    return energy.energy(samples, windows)[scope]


def joules(found: ScopeEnergy) -> float:
    assert found.joules is not None, found.reason
    assert found.code is None
    return found.joules
