"""Sensors that follow power curves of known energy: how many joules are found, and when none are."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from harness.measure import energy
from harness.measure.windows import Window
from harness.schema.sensors import GPU, HOST, RAIL, WALL, Sample
from tests.measure.power_curves import (
    CURVES,
    ORIGIN_NS,
    Curve,
    Sensor,
    constant,
    joules,
    of,
    sawtooth,
    steps,
    turns,
    window,
    without,
)

BOUNDS = [(0.0, 20.0), (3.33, 23.4), (7.71, 61.2), (0.05, 119.9)]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("read", [Sensor.power, Sensor.counter, Sensor.both])
@pytest.mark.parametrize(("name", "averages"), [(name, averages) for name in CURVES for averages in {True, name == "bursts"}])
def test_within_one_percent(
    name: str, averages: bool, read: Callable[[Sensor], list[Sample]], bounds: tuple[float, float]
) -> None:
    """100 ms updates, held; read at 10 Hz with jitter. Sensors of the instant as well, but for bursts: they catch those by chance."""
    curve = CURVES[name]
    found = of(read(Sensor(curve, averages=averages, jitter=0.02)), window(*bounds))
    assert joules(found) == pytest.approx(curve.between(bounds), rel=0.01)
    assert found.mean_w == pytest.approx(curve.between(bounds) / (bounds[1] - bounds[0]), rel=0.01)
    assert found.window_s == pytest.approx(bounds[1] - bounds[0])
    assert (found.source, found.method) == ("nvml", "integral" if read is Sensor.power else "counter")
    assert found.passed_over is None


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("read", [Sensor.power, Sensor.counter])
@pytest.mark.parametrize("name", [name for name in CURVES if name != "bursts"])
def test_within_one_percent_though_readings_are_lost(
    name: str, read: Callable[[Sensor], list[Sample]], bounds: tuple[float, float]
) -> None:
    """Every tenth, never for a second."""
    found = of(read(Sensor(CURVES[name], averages=True, jitter=0.02, dropped=0.1)), window(*bounds))
    assert joules(found) == pytest.approx(CURVES[name].between(bounds), rel=0.01)


def test_a_sensor_that_reads_zero_has_measured_nothing() -> None:
    silent = [msgspec.structs.replace(sample, value=0.0) for sample in Sensor(constant(30.0)).power()]
    found = of(silent, window(0.0, 20.0))
    assert (found.joules, found.code) == (None, "zero_power")


@pytest.mark.parametrize("update", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("length", [4.0, 11.3, 30.0])
def test_the_boundary_error_holds(update: float, length: float) -> None:
    """However long the sensor holds its value, and wherever the window begins on a curve that starts and stops."""
    curve = steps(10, 90, 17.0)
    samples = Sensor(curve, update=update).power()
    for begin in range(0, 60, 3):
        found = of(samples, window(begin, begin + length))
        assert found.update_s is None or found.boundary_error == pytest.approx(2 * found.update_s / length)
        truth = curve.between((begin, begin + length))
        assert abs(joules(found) - truth) <= 2 * update * 90  # two updates at full power


def test_the_update_period_is_measured() -> None:
    for update in (0.1, 0.25, 1.0):
        found = of(Sensor(CURVES["sawtooth"], update=update, every=0.05, jitter=0.01).power(), window(0, 60))
        assert found.update_s == pytest.approx(update, rel=0.1)
        assert found.boundary_error == pytest.approx(2 * update / 60, rel=0.1)


def test_a_value_that_never_changes_has_no_update_period() -> None:
    found = of(Sensor(constant(50), ripple=0).power(), window(0, 30))
    assert joules(found) == pytest.approx(1500)
    assert (found.update_s, found.boundary_error) == (None, None)


def test_short_windows_say_so() -> None:
    found = of(Sensor(CURVES["sawtooth"]).both(), window(10, 14))
    assert joules(found) == pytest.approx(CURVES["sawtooth"].between((10, 14)), rel=0.05)
    assert found.boundary_error == pytest.approx(0.05)


def test_edges_are_interpolated() -> None:
    """A ramp, which the trapezoid rule follows exactly, read at whole seconds, in a window between readings."""
    ramp = sawtooth(0, 1000, 1000.0)
    found = of(Sensor(ramp, every=1.0, update=0.001, ripple=0, since=1, until=40).power(), window(10.25, 30.5))
    assert joules(found) == pytest.approx(ramp.between((10.25, 30.5)), rel=2e-4)
    counted = of(Sensor(constant(40), every=1.0, update=0.001, since=1, until=40).counter(), window(10.25, 30.5))
    assert joules(counted) == pytest.approx(40 * 20.25, rel=2e-4)


def test_a_counter_that_is_held_is_followed_from_change_to_change() -> None:
    """Brought up to date each second, read ten times a second: by readings alone it could be off by a step, which is 5 % here."""
    curve = constant(80)
    for begin in (3.0, 3.3, 3.6, 3.9):
        found = of(Sensor(curve, update=1.0).counter(), window(begin, begin + 20.1))
        assert joules(found) == pytest.approx(80 * 20.1, rel=0.01)


@pytest.mark.parametrize("lost", [(14.0, 15.3), (9.2, 10.4), (29.7, 30.9), (9.99, 11.2)])
@pytest.mark.parametrize("read", [Sensor.power, Sensor.counter])
def test_a_gap_in_or_around_the_window(read: Callable[[Sensor], list[Sample]], lost: tuple[float, float]) -> None:
    found = of(without(read(Sensor(CURVES["steps"])), *lost), window(10, 30))
    assert (found.joules, found.mean_w, found.code) == (None, None, "gap")
    assert found.reason is not None
    assert found.reason.startswith("nvml gpu0.")


@pytest.mark.parametrize("lost", [(14.0, 14.9), (7.0, 8.5), (31.0, 33.0)])
def test_no_gap(lost: tuple[float, float]) -> None:
    """Under a second, or not around the window."""
    found = of(without(Sensor(CURVES["steps"]).power(), *lost), window(10, 30))
    assert joules(found) == pytest.approx(CURVES["steps"].between((10, 30)), rel=0.05)


@pytest.mark.parametrize("bounds", [(-6.0, 20.0), (100.0, 126.0), (200.0, 230.0)])
def test_a_window_beyond_the_readings(bounds: tuple[float, float]) -> None:
    assert of(Sensor(CURVES["steps"]).power(), window(*bounds)).code == "gap"


def test_readings_at_the_very_edges_are_enough() -> None:
    samples = Sensor(CURVES["steps"], since=10, until=30.05).power()
    assert of(samples, window(10, 30)).code is None
    assert of(samples, window(9.99, 30)).code == "gap"
    assert of(samples, window(10, 30.01)).code == "gap"


def test_a_plug_is_read_each_second() -> None:
    samples = Sensor(CURVES["slow sawtooth"], "plug", WALL, "plug", update=1.0, every=1.0, jitter=0.02).power()
    found = of(samples, window(4.5, 100.5), scope=WALL)
    assert joules(found) == pytest.approx(CURVES["slow sawtooth"].between((4.5, 100.5)), rel=0.01)
    assert of(without(samples, 50.5, 52.5), window(4.5, 100.5), scope=WALL).code == "gap"


def test_few_samples() -> None:
    samples = Sensor(CURVES["steps"]).power()
    assert of(samples, window(10.05, 10.95)).code == "few_samples"
    assert of(samples, window(10.05, 11.06)).code is None
    assert of(samples, window(10.05, 10.65), window(11.05, 11.65)).code is None  # together twelve


def test_values_that_are_no_numbers_are_no_readings() -> None:
    samples = Sensor(CURVES["steps"]).power()
    broken = [msgspec.structs.replace(s, value=float("nan")) if window(14, 16).holds(s.t_ns) else s for s in samples]
    assert of(broken, window(10, 30)).code == "gap"


def test_nothing_was_read() -> None:
    for scope, found in energy.energy([], [window(0, 30)]).items():
        assert (found.joules, found.code, found.reason) == (None, "not_measured", "not measured"), scope
    others = [Sample(ORIGIN_NS + k * 10**8, "memory", HOST, "memory.available", 1e9, "bytes") for k in range(400)]
    rails = Sensor(constant(9), "hwmon", RAIL, "cpu_p").power()
    assert {found.code for found in energy.energy(others + rails, [window(0, 30)]).values()} == {"not_measured"}


def test_no_window() -> None:
    for windows in ([], [window(3, 3)]):
        found = energy.energy(Sensor(constant(50)).power(), windows)[GPU]
        assert (found.joules, found.code, found.window_s) == (None, "no_window", 0.0)


class TestCounters:
    def test_one_that_falls_is_passed_over(self) -> None:
        sensor = Sensor(CURVES["steps"])
        reset = window(20, 1000)
        fallen = [msgspec.structs.replace(s, value=s.value - 500) if reset.holds(s.t_ns) else s for s in sensor.counter()]
        found = of(fallen + sensor.power(), window(10, 40))
        assert joules(found) == pytest.approx(CURVES["steps"].between((10, 40)), rel=0.01)
        assert (found.method, found.passed_over) == ("integral", "counter_fell")
        assert of(fallen, window(10, 40)).code == "counter_fell"
        assert of(fallen, window(21, 41)).code is None  # it fell before the window

    @pytest.mark.parametrize("factor", [0.8, 0.94, 1.06, 2.5])
    def test_one_that_disagrees_is_passed_over(self, factor: float) -> None:
        """As where it covers more than its scope."""
        sensor = Sensor(CURVES["sawtooth"])
        found = of(sensor.power() + sensor.counter(factor=factor), window(10, 40))
        assert joules(found) == pytest.approx(CURVES["sawtooth"].between((10, 40)), rel=0.01)
        assert (found.method, found.passed_over) == ("integral", "disagreement")
        assert found.disagreement == pytest.approx(factor - 1, abs=0.01 * factor)

    @pytest.mark.parametrize("factor", [0.96, 1.0, 1.04])
    def test_one_that_agrees_is_used(self, factor: float) -> None:
        sensor = Sensor(CURVES["sawtooth"])
        found = of(sensor.power() + sensor.counter(factor=factor), window(10, 40))
        assert joules(found) == pytest.approx(factor * CURVES["sawtooth"].between((10, 40)), rel=0.01)
        assert found.method == "counter"
        assert found.disagreement == pytest.approx(factor - 1, abs=0.01 * factor)

    def test_windows_are_compared_together(self) -> None:
        sensor = Sensor(CURVES["sawtooth"])
        samples = sensor.power() + sensor.counter(factor=2)
        assert of(samples, window(10, 20), window(30, 41)).disagreement == pytest.approx(1.0, abs=0.05)

    @pytest.mark.parametrize("length", [1.5, 4.0, 19.0])
    def test_in_short_windows_too(self, length: float) -> None:
        """What their edges may be off by is allowed on top, of both."""
        sensor = Sensor(CURVES["sawtooth"])
        truth = CURVES["sawtooth"].between((10, 10 + length))
        wide = of(sensor.power() + sensor.counter(factor=2), window(10, 10 + length))
        assert joules(wide) == pytest.approx(truth, rel=0.1)
        assert (wide.method, wide.passed_over) == ("integral", "disagreement")
        edges = 2 * 2 * 0.1 / length
        near = of(sensor.power() + sensor.counter(factor=1.05 + 0.7 * edges), window(10, 10 + length))
        assert (near.method, near.passed_over) == ("counter", None)

    def test_power_with_a_gap_leaves_the_counter(self) -> None:
        sensor = Sensor(CURVES["steps"])
        found = of(without(sensor.power(), 20, 25) + sensor.counter(), window(10, 40))
        assert joules(found) == pytest.approx(CURVES["steps"].between((10, 40)), rel=0.01)
        assert found.method == "counter"
        both = of(without(sensor.both(), 20, 25), window(10, 40))
        assert (both.code, both.passed_over) == ("gap", "gap")

    def test_one_that_stands_still_has_no_energy_to_tell(self) -> None:
        sensor = Sensor(CURVES["steps"])
        still = sensor.counter(factor=0)
        assert of(still, window(10, 40)).code == "coarse_counter"
        found = of(still + sensor.power(), window(10, 40))
        assert (found.method, found.passed_over) == ("integral", "coarse_counter")

    def test_kwh_alone_tells_long_windows_only(self) -> None:
        """Thousandths of a kWh at some 100 W: a step each 36 s, which is 6 % of ten minutes."""
        curve = sawtooth(80, 120, 3.0)
        samples = Sensor(curve, "plug", WALL, "plug", update=1.0, every=1.0, until=3660).counter(quantum=3600)
        short = of(samples, window(10, 610), scope=WALL)
        assert (short.joules, short.code) == (None, "coarse_counter")
        long = of(samples, window(10, 3600), scope=WALL)
        assert joules(long) == pytest.approx(curve.between((10, 3600)), rel=0.01)
        assert long.update_s == pytest.approx(36, rel=0.05)

    @pytest.mark.parametrize("length", [60, 600, 1500])
    def test_kwh_beside_watts_gives_way(self, length: float) -> None:
        curve = sawtooth(80, 120, 7.0)
        plug = Sensor(curve, "plug", WALL, "plug", update=1.0, every=1.0, until=1600)
        found = of(plug.power() + plug.counter(quantum=3600), window(10, 10 + length), scope=WALL)
        assert joules(found) == pytest.approx(curve.between((10, 10 + length)), rel=0.01)
        assert (found.method, found.passed_over) == ("integral", "coarse_counter")

    def test_one_that_moves_with_each_reading_is_not_coarse(self) -> None:
        """A second of it has ten readings, each of them a tenth of the energy."""
        found = of(Sensor(constant(50), update=0.001).counter(), window(10, 11.05))
        assert joules(found) == pytest.approx(52.5, rel=0.02)


class TestPhases:
    """One stream: prefill at 90 W, then decode at 35 W."""

    @staticmethod
    def phases(prefill: float, decode: float, count: int) -> tuple[Curve, list[Window], list[Window]]:
        curve = turns(90, prefill, 35, decode, begin=5)
        begins = [5 + k * (prefill + decode) for k in range(count)]
        return (
            curve,
            [window(begin, begin + prefill) for begin in begins],
            [window(begin + prefill, begin + prefill + decode) for begin in begins],
        )

    def test_energies_of_many_windows(self) -> None:
        curve, prefill, decode = self.phases(2.0, 6.0, 14)
        found = energy.split(Sensor(curve).both(), prefill, decode)[GPU]
        assert joules(found.prefill) == pytest.approx(14 * 2 * 90, rel=0.03)
        assert joules(found.decode) == pytest.approx(14 * 6 * 35, rel=0.03)
        assert found.prefill.boundary_error == pytest.approx(0.1, rel=0.05)  # 2 · 0.1 s of every 2 s
        whole = of(Sensor(curve).both(), *prefill, *decode)
        assert joules(found.prefill) + joules(found.decode) == pytest.approx(joules(whole), rel=1e-3)

    def test_windows_too_short_for_the_sensor(self) -> None:
        curve, prefill, decode = self.phases(0.7, 6.3, 14)
        found = energy.split(Sensor(curve).power(), prefill, decode)[GPU]
        assert (found.prefill.joules, found.prefill.code) == (None, "window_short")
        assert joules(found.decode) == pytest.approx(14 * 6.3 * 35, rel=0.03)
        assert energy.energy(Sensor(curve).power(), prefill)[GPU].code is None  # the rule is for phases alone

    def test_a_slow_counter_gives_way_to_power(self) -> None:
        curve, prefill, decode = self.phases(2.0, 6.0, 14)
        found = energy.split(Sensor(curve).power() + Sensor(curve, update=1.0).counter(), prefill, decode)[GPU]
        assert (found.prefill.method, found.prefill.passed_over) == ("integral", "window_short")
        assert joules(found.prefill) == pytest.approx(14 * 2 * 90, rel=0.03)

    def test_a_sensor_of_unknown_period(self) -> None:
        found = energy.split(Sensor(constant(50), ripple=0).power(), [window(5, 15)], [window(15, 25)])[GPU]
        assert (found.prefill.code, found.decode.code) == ("window_short", "window_short")
