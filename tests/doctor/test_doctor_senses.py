"""Readings of known course → checks. The sources are played; all that makes checks of them is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.doctor import senses
from harness.schema.doctor import Check
from harness.schema.machine import Gpu
from harness.schema.sensors import Absent
from harness.sense.base import Reading
from tests.doctor.patients import by_name, machine, patient

PERIOD_S, QUIET_S = 0.02, 0.15
DECODE = {
    "gpu0.power": 30.0,
    "gpu0.clock": 2400.0,
    "gpu0.utilization": 0.95,
    "gpu0.temperature": 62.0,
    "gpu0.clock_max": 3003.0,
}
SCOPES = {"gpu0.power": "gpu", "dc_input.power": "system", "soc_pkg.power": "soc", "package.energy": "soc"}


class Played:
    alone = False
    closed = False

    def __init__(self, readings: Mapping[str, float], *absent: Absent, name: str = "nvml") -> None:
        self.name, self.period_s, self.absent, self._readings = name, PERIOD_S, absent, readings

    def read(self) -> Iterator[Reading]:
        for name, value in self._readings.items():
            yield SCOPES.get(name, "host"), name, value, "W" if name.endswith("power") else ""

    def close(self) -> None:
        self.closed = True


def look(tmp_path: Path, *sources: Played) -> dict[str, Check]:
    return by_name(senses.look(patient(tmp_path), sources, QUIET_S))


def test_a_sound_gpu_and_a_meter(tmp_path: Path) -> None:
    rails = Played({"dc_input.power": 55.0, "soc_pkg.power": 44.0}, name="hwmon")
    gpu = Played(DECODE)
    found = look(tmp_path, gpu, rails)
    assert {name: check.status for name, check in found.items()} == dict.fromkeys(("power", "sensors", "clocks"), "pass")
    assert found["power"].text == "gpu by nvml (30.0 W); soc by hwmon (44.0 W); system by hwmon (55.0 W)"
    assert "2400 to 2400 MHz under load, with 30 W" in found["clocks"].text
    assert gpu.closed
    assert rails.closed


@pytest.mark.parametrize(
    ("readings", "status", "word"),
    [
        ({"gpu0.clock": 611.0, "gpu0.power": 14.0}, "fail", "stuck_low_power"),
        ({"gpu0.clock": 1200.0, "gpu0.power": 60.0}, "warn", "low_clock"),
        ({"gpu0.clock": 1500.0, "gpu0.power": 14.0}, "pass", "1500"),
        ({"gpu0.clock_max": 2200.0}, "warn", "locked_clocks"),
        ({"gpu0.temperature": 93.0}, "warn", "hot"),
        ({"gpu0.reasons": 128.0}, "fail", "weak_power_supply"),
        ({"gpu0.reasons": 64.0}, "warn", "thermal_slowdown"),
        ({"gpu0.utilization": 0.3, "gpu0.processes": 1.0}, "skip", "1 compute processes already"),
    ],
)
def test_what_the_clock_says(tmp_path: Path, readings: dict[str, float], status: str, word: str) -> None:
    found = look(tmp_path, Played(DECODE | readings))["clocks"]
    assert (found.status, word in found.text) == (status, True)
    assert bool(found.advice) == (status != "pass")


def test_a_weak_supply_is_the_machines_and_told_once(tmp_path: Path) -> None:
    two = DECODE | {name.replace("gpu0", "gpu1"): value for name, value in DECODE.items()}
    both = [*machine().gpus, Gpu(index=1, name="NVIDIA GB10")]
    sources = Played(two), Played({"spbm.prochot": 1.0}, name="hwmon")
    checks = [check for check in senses.look(patient(tmp_path, of=machine(both)), sources, QUIET_S) if check.name == "clocks"]
    assert [(check.status, check.text.partition(" ")[0]) for check in checks] == [
        ("pass", "gpu0"),
        ("pass", "gpu1"),
        ("fail", "PROCHOT"),
    ]


def test_watts_of_the_gpu_alone_are_not_enough(tmp_path: Path) -> None:
    found = look(tmp_path, Played(DECODE))["power"]
    assert (found.status, "docs/power.md" in found.advice, "spbm" in found.advice) == ("warn", True, True)
    nothing = look(tmp_path, Played(DECODE | {"gpu0.clock": 1.0}, name="x"), Played({}))["power"]
    assert nothing.status == "warn"
    counter = look(tmp_path, Played(DECODE), Played({"package.energy": 5.0}, name="rapl"))["power"]
    assert (counter.status, "soc by rapl (its counter)" in counter.text) == ("pass", True)


def test_what_is_not_read_has_its_reason(tmp_path: Path) -> None:
    refused = Absent(source="rapl", scope="soc", code="no_permission", text="package is for root alone")
    missing = Absent(source="nvml", scope="gpu", code="not_supported", text="gpu0.energy cannot be read")
    checks = list(senses.look(patient(tmp_path), [Played(DECODE, refused, missing)], QUIET_S))
    assert [(check.status, check.text) for check in checks if check.name == "not read"] == [
        ("warn", "rapl: package is for root alone (no_permission)"),
        ("skip", "nvml: gpu0.energy cannot be read (not_supported)"),
    ]


def test_a_gpu_that_shows_no_clock_cannot_be_judged(tmp_path: Path) -> None:
    found = look(tmp_path, Played({"gpu0.utilization": 0.9}))
    assert (found["sensors"].status, found["clocks"].status) == ("warn", "skip")
    assert "the GPU's clock" in found["sensors"].text


def test_no_watts_at_all(tmp_path: Path) -> None:
    found = by_name(senses.look(patient(tmp_path, of=machine(())), [Played({"memory.available": 1.0}, name="memory")], QUIET_S))
    assert {name: check.status for name, check in found.items()} == {"power": "warn", "sensors": "pass", "clocks": "skip"}
    assert "spbm" not in found["power"].advice, "its rails are a GB10's"
