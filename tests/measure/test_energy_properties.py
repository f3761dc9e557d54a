"""What must hold for any readings, and the numbers made from joules."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import energy
from harness.measure.energy import ScopeEnergy
from harness.measure.stats import Estimate
from harness.measure.windows import Window
from harness.schema.sensors import GPU, POWER_SCOPES, Sample
from tests.measure.power_curves import ORIGIN_NS, Sensor, constant, sawtooth, steps, window

WATTS = st.lists(st.floats(0.5, 500), min_size=16, max_size=16).map(lambda levels: levels * 20)
CUTS = st.lists(st.floats(1, 30), min_size=3, max_size=3).map(sorted).filter(lambda cuts: min(np.diff(cuts)) > 1.5)


def readings(watts: list[float], *, counter: bool, seed: int = 0) -> list[Sample]:
    """Of any power, ten a second with jitter; as a counter, what it adds up to."""
    random = Random(seed)
    values = list(np.cumsum(watts)) if counter else watts
    name, unit = ("gpu0.energy", "J") if counter else ("gpu0.power", "W")
    instants = [ORIGIN_NS + k * 100_000_000 + random.randrange(50_000_000) for k in range(len(watts))]
    return [Sample(t_ns, "nvml", GPU, name, float(value), unit) for t_ns, value in zip(instants, values, strict=True)]


def joules(samples: list[Sample], *windows: Window) -> float:
    found = energy.energy(samples, windows)[GPU].joules
    assert found is not None
    return found


@given(WATTS, CUTS, st.booleans())
def test_neighbouring_windows_add_up(watts: list[float], cuts: list[float], counter: bool) -> None:
    samples, (begin, cut, end) = readings(watts, counter=counter), cuts
    first, second, whole = window(begin, cut), window(cut, end), window(begin, end)
    assert joules(samples, first) + joules(samples, second) == pytest.approx(joules(samples, whole))
    assert joules(samples, first, second) == pytest.approx(joules(samples, whole))


@given(WATTS, CUTS, st.booleans(), st.floats(0.01, 100))
def test_twice_the_watts_twice_the_joules(watts: list[float], cuts: list[float], counter: bool, factor: float) -> None:
    samples, whole = readings(watts, counter=counter), window(cuts[0], cuts[2])
    scaled = [msgspec.structs.replace(sample, value=sample.value * factor) for sample in samples]
    assert joules(scaled, whole) == pytest.approx(factor * joules(samples, whole))


@given(WATTS, CUTS, st.integers())
def test_the_order_of_samples_says_nothing(watts: list[float], cuts: list[float], seed: int) -> None:
    samples = readings(watts, counter=False) + readings(watts, counter=True, seed=1)
    samples += [msgspec.structs.replace(sample, value=sample.value + 1) for sample in samples[::7]]  # two at one instant
    shuffled = Random(seed).sample(samples, len(samples))
    windows = [window(cuts[0], cuts[1]), window(cuts[1], cuts[2])]
    assert energy.energy(shuffled, windows) == energy.energy(samples, windows)
    assert energy.energy(samples, windows[::-1])[GPU].joules == pytest.approx(joules(samples, *windows))


@given(WATTS, CUTS)
def test_between_the_least_and_the_most(watts: list[float], cuts: list[float]) -> None:
    found = energy.energy(readings(watts, counter=False), [window(cuts[0], cuts[2])])[GPU]
    assert found.mean_w is not None
    assert min(watts) * 0.999 <= found.mean_w <= max(watts) * 1.001


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(-5, 900), st.sampled_from(["power", "energy"])), max_size=60))
def test_any_readings_give_joules_or_a_reason(raw: list[tuple[int, int, str]]) -> None:
    samples = [Sample(ORIGIN_NS + ms * 1_000_000, "nvml", GPU, f"gpu0.{name}", float(value), "") for ms, value, name in raw]
    for windows in ([window(5, 30)], [window(1, 2), window(2, 4), window(35, 39)], []):
        assert set(energy.energy(samples, windows)) == set(POWER_SCOPES)
        for found in energy.energy(samples, windows).values():
            assert (found.joules is None) == (found.mean_w is None) == (found.method is None) == (found.code is not None)
            assert (found.code is None) == (found.reason is None)


def test_idle_watts() -> None:
    samples = Sensor(steps(11, 80, 30.0), ripple=0).power()
    samples += Sensor(constant(37), "hwmon", "system", "sys_total", ripple=0).power()
    assert energy.idle_w(samples, window(2, 28)) == {GPU: pytest.approx(11), "system": pytest.approx(37)}
    assert energy.idle_w(samples, window(2, 2.5)) == {}


def test_net_of_idle() -> None:
    found = energy.energy(Sensor(sawtooth(40, 60, 2.0)).power(), [window(10, 20), window(30, 40)])[GPU]
    assert energy.net_j(found, 11) == pytest.approx(20 * (50 - 11), rel=0.01)
    assert energy.net_j(found, 70) == pytest.approx(20 * (50 - 70), rel=0.02)
    assert energy.net_j(found, None) is None
    assert energy.net_j(ScopeEnergy(window_s=20.0, code="gap", reason="…"), 11) is None


def test_joules_per_token_is_a_ratio_of_sums() -> None:
    """Not the mean of 1.0 and 4.0; and a run whose joules or tokens are not known is in neither sum."""
    found = energy.joules_per([100.0, 100.0, None, 50.0], [100, 25, 40, None])
    assert found.value == pytest.approx(200 / 125)
    assert found.n == 2
    assert energy.joules_per([None], [100]) == Estimate(reason="no run has a value")
    assert energy.joules_per([90.0], [30]).value == pytest.approx(3.0)


def test_wh_per_million_tokens() -> None:
    """3.6 J per token is 1 kWh per million."""
    found = energy.wh_per_million(Estimate(value=3.6, low=1.8, high=7.2, n=5))
    assert (found.value, found.low, found.high) == pytest.approx((1000, 500, 2000))
    assert found.n == 5
    assert energy.wh_per_million(Estimate(reason="no run has a value")) == Estimate(reason="no run has a value")
