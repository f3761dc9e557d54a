"""Time, load, clocks and heat of the CPU."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.sense.cpu import Cpu
from tests.sysfs_tree import cores, cpu_time, put, zones


def values(source: Cpu) -> dict[str, float]:
    return {name: value for _, name, value, _ in source.read()}


def healthy(root: Path) -> Cpu:
    cpu_time(root, 1234, 5678, load=1.25)
    cores(root, 2800, 3900, 1000)
    zones(root, 38, 61.5, 40)
    return Cpu(root)


def test_all_readings(tmp_path: Path) -> None:
    source = healthy(tmp_path)
    assert list(source.read()) == [
        ("host", "cpu.busy", 1234, "s"),
        ("host", "cpu.idle", 5678, "s"),
        ("host", "cpu.load1", 1.25, "tasks"),
        ("host", "cpu.clock", pytest.approx(7700 / 3), "MHz"),
        ("host", "cpu.clock_min", 1000, "MHz"),
        ("host", "cpu.governor_performance", 1, "flag"),
        ("host", "soc.temperature", 61.5, "°C"),
    ]
    assert (source.name, source.period_s, source.alone, source.absent) == ("cpu", 1.0, False, ())


def test_each_read_is_a_new_one(tmp_path: Path) -> None:
    source = healthy(tmp_path)
    cpu_time(tmp_path, 1244, 5679, load=20)
    cores(tmp_path, 500, 600, 700, governor="performance")
    zones(tmp_path, 91, 61.5, 40)
    assert list(values(source).values()) == pytest.approx([1244, 5679, 20, 600, 500, 1, 91])


@pytest.mark.parametrize("slow", [0, 2])
def test_one_slow_governor_is_enough(tmp_path: Path, slow: int) -> None:
    source = healthy(tmp_path)
    put(tmp_path / f"sys/devices/system/cpu/cpu{slow}/cpufreq/scaling_governor", "schedutil\n")
    assert values(source)["cpu.governor_performance"] == 0


def test_a_machine_that_tells_little(tmp_path: Path) -> None:
    cpu_time(tmp_path, 1, 2)
    source = Cpu(tmp_path)
    assert list(values(source)) == ["cpu.busy", "cpu.idle", "cpu.load1"]
    assert [(absent.code, absent.text.split()[0]) for absent in source.absent] == [
        ("not_supported", name) for name in ("cpu.clock", "cpu.governor_performance", "soc.temperature")
    ]


def test_a_core_or_a_zone_that_does_not_answer(tmp_path: Path) -> None:
    """Reading it is an error, as of a core that is off."""
    source = healthy(tmp_path)
    source.close()
    for path in ("sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", "sys/class/thermal/thermal_zone1/temp"):
        (tmp_path / path).unlink()
        (tmp_path / path).mkdir()
    found = values(source)
    assert (found["cpu.clock"], found["cpu.clock_min"], found["soc.temperature"]) == (3350, 2800, 40)
    assert source.absent == ()
    assert (values(Cpu(tmp_path))["cpu.clock"], Cpu(tmp_path).absent) == (3350, ())


def test_zones_without_a_sensor(tmp_path: Path) -> None:
    healthy(tmp_path)
    zones(tmp_path, -273.2, 255, 44)
    assert values(Cpu(tmp_path))["soc.temperature"] == 44
    zones(tmp_path, -273.2, 255, 0)
    source = Cpu(tmp_path)
    assert "soc.temperature" not in values(source)
    assert [absent.code for absent in source.absent] == ["unreadable"]


def test_this_machine() -> None:
    source = Cpu()
    before, times = values(source), psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    assert before["cpu.busy"] == pytest.approx(busy, abs=2)
    assert before["cpu.idle"] == pytest.approx(times.idle + times.iowait, abs=2)
    assert before["cpu.load1"] == pytest.approx(psutil.getloadavg()[0], abs=1)
    start = clock.cpu()
    while clock.cpu() - start < 200_000_000:
        pass
    assert values(source)["cpu.busy"] - before["cpu.busy"] > 0.1
    source.close()
