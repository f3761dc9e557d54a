"""The kernel's power sensors, above all the rails of a GB10."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from harness import clock
from harness.measure.energy import COUNTER, INTEGRAL, energy
from harness.measure.windows import Window
from harness.schema.sensors import Sample
from harness.sense.hwmon import Hwmon
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S
from tests.sysfs_tree import IDLE_W, LIMITS_W, REGISTER_MJ, chip, decoding, gb10, put, spbm

ACPI = "sys/bus/platform/devices/NVDA8800:00"


def values(source: Hwmon) -> dict[str, float]:
    return {name: value for _, name, value, _ in source.read()}


def scopes(source: Hwmon) -> dict[str, str]:
    return {name: scope for scope, name, _, _ in source.read() if scope not in ("rail", "host")}


def codes(source: Hwmon) -> list[tuple[str, str]]:
    return [(absent.scope, absent.code) for absent in source.absent]


# --- the rails of a GB10


def test_every_channel_by_its_label(tmp_path: Path) -> None:
    spbm(tmp_path, gpu=30.25, dc_input=81)
    source = Hwmon(tmp_path)
    readings = list(source.read())
    found = {name: (scope, value, unit) for scope, name, value, unit in readings}
    assert len(found) == len(readings)
    assert found["gpu.power"] == ("gpu", 30.25, "W")
    assert found["dc_input.power"] == ("system", 81.0, "W")
    assert found["soc_pkg.power"] == ("soc", 17.0, "W")
    assert found["syspl1.power"] == ("rail", 26.0, "W")
    assert found["syspl1.limit"] == ("rail", 231.0, "W")
    assert found["gpu.energy"] == ("gpu", 123_456.789, "J")
    assert found["spbm.prochot"] == ("host", 0.0, "flag")
    assert found["spbm.pl_level"] == ("host", 0.0, "level")
    assert found["spbm.temperature"] == ("host", 31.0, "°C")
    assert {name for name in found if name.endswith(".power")} == {f"{label}.power" for label in IDLE_W}
    assert {name for name in found if name.endswith(".limit")} == {f"{label}.limit" for label in LIMITS_W}
    assert {name for name in found if name.endswith(".energy")} == {
        f"{part}.energy" for part in ("soc_pkg", "cpu_p", "cpu_e", "gpu")
    }
    assert (source.name, source.period_s, source.alone, source.absent) == ("hwmon", 0.1, False, ())


def test_one_part_of_a_scope(tmp_path: Path) -> None:
    """Parts are summed: a second one would count twice."""
    spbm(tmp_path)
    assert scopes(Hwmon(tmp_path)) == {
        "dc_input.power": "system",
        "soc_pkg.power": "soc",
        "soc_pkg.energy": "soc",
        "gpu.power": "gpu",
        "gpu.energy": "gpu",
    }


def test_joules_come_out_right(tmp_path: Path) -> None:
    """30 s at 10 readings a second, over the wrap of the registers."""
    rails = spbm(tmp_path, counter_mj=REGISTER_MJ - 500_000)
    rails.show(**decoding(40))
    source = Hwmon(tmp_path)
    samples = []
    for beat in range(320):
        rails.count("gpu", REGISTER_MJ - 500_000 + 40 * 100 * beat)
        rails.count("pkg", REGISTER_MJ - 500_000 + 54 * 100 * beat)
        samples += [Sample(beat * NS_PER_S // 10, "hwmon", *reading) for reading in source.read()]
    found = energy(samples, [Window(NS_PER_S, 31 * NS_PER_S)])
    assert {scope: (one.joules and round(one.joules, 3), one.method) for scope, one in found.items()} == {
        "gpu": (1200, COUNTER),
        "soc": (1620, COUNTER),
        "system": (1950, INTEGRAL),
        "wall": (None, None),
    }


@pytest.mark.parametrize("how", ["missing", "silent", "zero"])
def test_without_a_dc_input(tmp_path: Path, how: str) -> None:
    rails = spbm(tmp_path, without=("dc_input.power",) if how == "missing" else ())
    file = tmp_path / "sys/class/hwmon/hwmon5/power7_input"
    if how == "silent":
        rails.vanish("dc_input.power")
        file.mkdir()  # there, and not to be read
    if how == "zero":
        put(file, "0\n")
    source = Hwmon(tmp_path)
    found = scopes(source)
    assert found["sys_total.power"] == "system"
    assert "dc_input.power" not in found
    if how == "silent":
        file.rmdir()
    put(file, "81000000\n")
    assert scopes(source) == found, "when it comes back it is not added"


@pytest.mark.parametrize("place", ["sys/class/hwmon/hwmon5", "sys/class/hwmon/hwmon5/device", ACPI])
def test_prochot_wherever_it_is(tmp_path: Path, place: str) -> None:
    rails = spbm(tmp_path, status_at=place)
    source = Hwmon(tmp_path)
    rails.status(prochot=1, pl_level=2)
    found = values(source)
    assert (found["spbm.prochot"], found["spbm.pl_level"]) == (1, 2)


def test_prochot_nowhere(tmp_path: Path) -> None:
    spbm(tmp_path, status_at="elsewhere")
    source = Hwmon(tmp_path)
    assert "spbm.prochot" not in values(source)
    assert codes(source) == [("host", "not_supported")] * 2
    assert source.absent[0].text == "spbm.prochot cannot be read: No such file or directory"


# --- registers


def joules(source: Hwmon, part: str = "gpu") -> float:
    return values(source)[f"{part}.energy"]


def test_a_register_that_wraps_goes_on(tmp_path: Path) -> None:
    rails = spbm(tmp_path, counter_mj=REGISTER_MJ - 10_000)
    source = Hwmon(tmp_path)
    whole = REGISTER_MJ / 1e3
    assert joules(source) == pytest.approx(whole - 10)
    rails.count("gpu", 5_000)
    assert joules(source) == pytest.approx(whole + 5)
    assert joules(source, "soc_pkg") == pytest.approx(whole - 10), "each has its own"
    for register_mj in (2**31, REGISTER_MJ - 1, 0):
        rails.count("gpu", register_mj)
        last = joules(source)
    assert last == pytest.approx(2 * whole), "and once more"


@pytest.mark.parametrize(("before_mj", "after_mj"), [(2_000_000_000, 10), (REGISTER_MJ - 10_000, 3_000_000), (50_000, 49_999)])
def test_a_register_that_was_set_back_falls(tmp_path: Path, before_mj: int, after_mj: int) -> None:
    """No chip draws enough for a wrap in that time."""
    rails = spbm(tmp_path, counter_mj=before_mj)
    source = Hwmon(tmp_path)
    assert joules(source) == pytest.approx(before_mj / 1e3)
    rails.count("gpu", after_mj)
    assert joules(source) == pytest.approx(after_mj / 1e3)
    rails.count("gpu", after_mj + 1000)
    assert joules(source) == pytest.approx(after_mj / 1e3 + 1)


def test_played_in_real_time(tmp_path: Path) -> None:
    rails = spbm(tmp_path, counter_mj=REGISTER_MJ - 15_000, gpu=20)
    source = Hwmon(tmp_path)
    start_j = joules(source)
    with Sampler((source,)) as sampler, rails.played(lambda second: decoding(20 if second < 0.7 else 90)):
        clock.sleep(1.5)
        watts = [sample.value for sample in sampler.take() if sample.name == "gpu.power"]
    assert {*watts} == {20, 90}
    source = Hwmon(tmp_path)
    assert 20 * 0.7 < rails.joules["gpu"] < 90 * 3
    assert joules(source) + REGISTER_MJ / 1e3 - start_j == pytest.approx(rails.joules["gpu"], abs=0.01)


def test_the_counter_of_a_sampled_run_only_grows(tmp_path: Path) -> None:
    rails = spbm(tmp_path, counter_mj=REGISTER_MJ - 15_000, gpu=60)
    with Sampler((Hwmon(tmp_path),)) as sampler, rails.played(lambda _: decoding(60)):
        clock.sleep(1.2)
        counted = [sample for sample in sampler.take() if sample.name == "gpu.energy"]
    assert all(one.value <= other.value for one, other in pairwise(counted))
    grown, passed = counted[-1].value - counted[0].value, (counted[-1].t_ns - counted[0].t_ns) / NS_PER_S
    assert counted[-1].value > REGISTER_MJ / 1e3, "over the wrap"
    assert grown / passed == pytest.approx(60, rel=0.4)


# --- what is not there, or not always


def test_a_channel_that_vanishes_is_lost_once(tmp_path: Path) -> None:
    rails = spbm(tmp_path, gpu=30)
    source = Hwmon(tmp_path)
    assert "gpu.power" in values(source)
    rails.vanish("gpu.power")
    for _ in range(3):
        found = values(source)
        assert "gpu.power" not in found
        assert "soc_pkg.power" in found
    assert [(absent.scope, absent.code, absent.source) for absent in source.absent] == [("gpu", "lost", "hwmon")]
    assert source.absent[0].text.startswith("gpu.power was read at first, and then no longer: ")


def test_a_file_of_the_kernel_that_vanishes_is_opened_anew(tmp_path: Path) -> None:
    """As a driver's when it is loaded again: reading what was open fails, and there is another one by its name."""
    spbm(tmp_path)
    link = tmp_path / "sys/class/hwmon/hwmon5/power8_input"
    link.unlink()

    def live() -> subprocess.Popen[bytes]:
        child = subprocess.Popen(["sleep", "60"])
        link.unlink(missing_ok=True)
        link.symlink_to(f"/proc/{child.pid}/oom_score")  # a number, gone with its process
        return child

    child = live()
    try:
        source = Hwmon(tmp_path)
        first = values(source)["gpu.power"]
        child.kill()
        child.wait()
        assert "gpu.power" not in values(source)
        assert codes(source) == [("gpu", "lost")]
        child = live()
        assert values(source)["gpu.power"] == first
        assert codes(source) == [("gpu", "lost")]
    finally:
        child.kill()
        child.wait()


def test_nonsense_is_no_reading(tmp_path: Path) -> None:
    spbm(tmp_path)
    put(tmp_path / "sys/class/hwmon/hwmon5/power8_input", "garbage\n")
    source = Hwmon(tmp_path)
    assert "gpu.power" not in values(source)
    assert codes(source) == [("gpu", "unreadable")]
    put(tmp_path / "sys/class/hwmon/hwmon5/power8_input", "7000000\n")
    assert values(source)["gpu.power"] == 7


def test_no_sensor_at_all(tmp_path: Path) -> None:
    source = Hwmon(tmp_path)
    assert list(source.read()) == []
    assert codes(source) == [("system", "no_device")]


def test_a_gb10_without_its_driver(tmp_path: Path) -> None:
    (tmp_path / ACPI).mkdir(parents=True)
    chip(tmp_path, 0, "nvme", temp1_input=40_000)
    source = Hwmon(tmp_path)
    assert list(source.read()) == []
    assert codes(source) == [("system", "no_driver")]
    assert "spbm" in source.absent[0].text


def test_other_chips_are_rails(tmp_path: Path) -> None:
    chip(tmp_path, 0, "power_meter", power1_average=200_000_000, power1_average_interval=1000)
    chip(tmp_path, 1, "amdgpu", power1_label="PPT", power1_input=90_000_000, power1_average=80_000_000)
    chip(tmp_path, 2, "amdgpu", power1_label="PPT", power1_average=10_000_000)
    chip(tmp_path, 3, "amd_energy", energy1_label="Esocket 0", energy1_input=2**52)
    chip(tmp_path, 4, "acpitz", temp1_input=40_000)
    assert list(Hwmon(tmp_path).read()) == [
        ("rail", "power_meter_power1.power", 200, "W"),
        ("rail", "amdgpu_hwmon1_PPT.power", 90, "W"),
        ("rail", "amdgpu_hwmon2_PPT.power", 10, "W"),
        ("rail", "amd_energy_Esocket_0.energy", 2**52 / 1e6, "J"),
    ]


def test_another_drivers_counter_is_left_as_it_is(tmp_path: Path) -> None:
    file = chip(tmp_path, 3, "amd_energy", energy1_input=REGISTER_MJ * 1000 - 1) / "energy1_input"
    source = Hwmon(tmp_path)
    put(file, "5000000\n")
    assert values(source) == {"amd_energy_energy1.energy": 5}


# --- files


def descriptors(below: Path) -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found += [int(name)] if os.readlink(f"/proc/self/fd/{name}").startswith(str(below)) else []
        except OSError:  # the one of listdir itself
            pass
    return found


def test_nothing_is_opened_for_writing_and_all_is_closed(tmp_path: Path) -> None:
    gb10(tmp_path)
    source = Hwmon(tmp_path)
    list(source.read())
    held = descriptors(tmp_path)
    assert len(held) == len(list(source.read()))
    for descriptor in held:
        (flags,) = (
            line for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines() if line.startswith("flags:")
        )
        assert int(flags.split()[1], 8) & os.O_ACCMODE == os.O_RDONLY
    source.close()
    assert descriptors(tmp_path) == []
    source.close()
