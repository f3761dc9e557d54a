"""Several GPUs, sources and hosts: whose joules make up a scope's total."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.measure import energy
from harness.measure.power_series import first_read, series
from harness.schema.sensors import GPU, HOST, RAIL, SOC, SYSTEM, WALL, Sample
from tests.measure.power_curves import CURVES, ORIGIN_NS, Sensor, constant, joules, of, window, without


class TestParts:
    one, two = Sensor(CURVES["steps"]), Sensor(CURVES["sawtooth"], part="gpu1", seed=3)
    truth = CURVES["steps"].between((10, 40)) + CURVES["sawtooth"].between((10, 40))

    def test_series_are_of_power_scopes_and_hold_every_part(self) -> None:
        samples = self.one.both() + self.two.power() + Sensor(constant(9), "hwmon", RAIL, "cpu_p").power()
        found = series(samples)
        assert {channel: [*parts] for channel, parts in found.items()} == {
            ("nvml", GPU, "power"): ["gpu0", "gpu1"],
            ("nvml", GPU, "energy"): ["gpu0", "gpu1"],
        }
        assert [len(readings.t_ns) for readings in found["nvml", GPU, "energy"].values()] == [1300, 0]

    def test_the_slowest_sensor_sets_the_boundary_error(self) -> None:
        slow = self.two._replace(update=1.0)
        for samples in (self.one.power() + slow.power(), slow.power() + self.one.power()):
            assert of(samples, window(10, 40)).boundary_error == pytest.approx(2 / 30, rel=0.05)

    @pytest.mark.parametrize("read", [Sensor.power, Sensor.counter, Sensor.both])
    def test_two_gpus_are_added(self, read: Callable[[Sensor], list[Sample]]) -> None:
        assert joules(of(read(self.one) + read(self.two), window(10, 40))) == pytest.approx(self.truth, rel=0.01)

    def test_without_one_of_them_the_total_is_not_known(self) -> None:
        found = of(self.one.power() + without(self.two.power(), 20, 130), window(10, 40))
        assert (found.joules, found.code) == (None, "gap")
        assert "gpu1.power" in (found.reason or "")

    def test_a_counter_of_only_one_is_no_total(self) -> None:
        found = of(self.one.both() + self.two.power(), window(10, 40))
        assert joules(found) == pytest.approx(self.truth, rel=0.01)
        assert (found.method, found.passed_over) == ("integral", "not_measured")

    def test_a_gpu_that_refuses_its_watts_is_missed(self) -> None:
        seen = [Sample(s.t_ns, "nvml", GPU, "gpu1.utilization", 0.9, "share") for s in self.one.power()]
        found = of(self.one.power() + seen, window(10, 40))
        assert (found.joules, found.code, found.reason) == (None, "not_measured", "nvml gpu1.power: not read")

    def test_one_that_is_lost_is_missed_afterwards_too(self) -> None:
        """And what was never there is not."""
        gone = without(self.two.both(), 5, 130)
        later = window(10, 200)
        samples = [sample for sample in self.one.both() + gone if later.holds(sample.t_ns)]
        assert {sample.name.partition(".")[0] for sample in samples} == {"gpu0"}
        known = first_read(self.one.both() + gone)
        found = energy.energy(samples, [window(11, 40)], known)[GPU]
        assert (found.joules, found.code) == (None, "not_measured")
        assert "gpu1" in (found.reason or "")
        assert energy.split(samples, [window(11, 20)], [window(20, 40)], known)[GPU].decode.joules is None
        assert energy.idle_w(samples, window(11, 40), known) == {}
        alone = energy.energy(samples, [window(11, 40)], first_read(self.one.both()))[GPU]
        assert joules(alone) == pytest.approx(CURVES["steps"].between((11, 40)), rel=0.01)


class TestSources:
    nvml, hwmon = Sensor(constant(50), ripple=0), Sensor(constant(60), "hwmon", part="gpu", ripple=0)

    def test_the_preferred_one_whatever_the_order(self) -> None:
        others = [Sensor(constant(70 + 10 * place), name, ripple=0) for place, name in enumerate(("rapl", "plug", "another"))]
        ranked = [self.nvml, self.hwmon, *others]
        for place, best in enumerate(ranked):
            for order in (ranked[place:], [*ranked[:place:-1], best]):
                found = of([sample for sensor in order for sample in sensor.power()], window(10, 40))
                assert found.source == best.source
                assert found.mean_w == pytest.approx(50 + 10 * place)

    def test_the_next_where_the_preferred_one_has_a_gap(self) -> None:
        found = of(without(self.nvml.power(), 20, 25) + self.hwmon.power(), window(10, 40))
        assert found.source == "hwmon"
        assert joules(found) == pytest.approx(1800)
        neither = of(without(self.nvml.power() + self.hwmon.power(), 20, 25), window(10, 40))
        assert (neither.reason or "").startswith("nvml gpu0.power")

    def test_scopes_are_apart(self) -> None:
        system = Sensor(constant(130), "hwmon", SYSTEM, "sys_total", ripple=0)
        found = energy.energy(self.hwmon.power() + system.power(), [window(10, 40)])
        assert {scope: one.mean_w for scope, one in found.items()} == {
            GPU: pytest.approx(60),
            SOC: None,
            SYSTEM: pytest.approx(130),
            WALL: None,
        }


class TestHosts:
    here, there = Sensor(CURVES["steps"]), Sensor(CURVES["sawtooth"], source="nvml@b")

    def test_they_are_added(self) -> None:
        found = of(self.here.power() + self.there.counter(), window(10, 40))
        assert joules(found) == pytest.approx(TestParts.truth, rel=0.01)
        assert (found.source, found.method) == ("nvml", "counter+integral")
        assert found.mean_w == pytest.approx(TestParts.truth / 30, rel=0.01)
        assert found.boundary_error == pytest.approx(0.2 / 30, rel=0.05)

    @pytest.mark.parametrize("factors", [(0.96, 1.02), (1.02, 0.96)])
    def test_the_worst_disagreement_shows(self, factors: tuple[float, float]) -> None:
        here, there = (
            sensor.power() + sensor.counter(factor=f) for sensor, f in zip((self.here, self.there), factors, strict=True)
        )
        assert of(here + there, window(10, 40)).disagreement == pytest.approx(-0.04, abs=0.01)

    def test_only_where_each_has_the_scope(self) -> None:
        memory = [Sample(ORIGIN_NS, "memory@c", HOST, "memory.available", 1e9, "bytes")]
        found = of(self.here.power() + self.there.power() + memory, window(10, 40))
        assert (found.joules, found.code, found.reason) == (None, "not_measured", "not measured on c")
        assert of(memory, window(10, 40)).reason == "not measured"
        local = [Sample(ORIGIN_NS, "memory", HOST, "memory.available", 1e9, "bytes")]
        assert of(self.there.power() + local, window(10, 40)).reason == "not measured on this machine"

    def test_meters_at_the_wall_are_of_no_host(self) -> None:
        """They are read here, where nothing else may be, and what they say needs no other host's."""
        one = Sensor(constant(150), "plug", WALL, "plug", update=1.0, ripple=0.5)
        two = one._replace(part="plug1", curve=constant(120))
        far = self.there.power() + Sensor(CURVES["steps"], source="nvml@c").power()
        found = energy.energy(far + one.power() + two.power(), [window(10, 40)])
        assert joules(found[GPU]) == pytest.approx(TestParts.truth, rel=0.01)
        assert found[WALL].mean_w == pytest.approx(270, rel=0.01)
        lost = energy.energy(far, [window(10, 40)], first_read(far + one.power()))[WALL]
        assert (lost.joules, lost.reason) == (None, "not measured")

    def test_one_that_is_lost_is_missed_afterwards_too(self) -> None:
        known = first_read(self.here.power() + self.there.power())
        found = energy.energy(self.here.power(), [window(10, 40)], known)[GPU]
        assert (found.joules, found.reason) == (None, "not measured on b")

    def test_a_gap_on_one_is_a_gap_of_all(self) -> None:
        found = of(self.here.power() + without(self.there.power(), 20, 22), window(10, 40))
        assert (found.joules, found.code) == (None, "gap")
        assert (found.reason or "").startswith("nvml@b gpu0.power")

    def test_one_elsewhere_is_as_one_here(self) -> None:
        found = of(self.there.power(), window(10, 40))
        assert joules(found) == pytest.approx(CURVES["sawtooth"].between((10, 40)), rel=0.01)
        assert found.source == "nvml"
