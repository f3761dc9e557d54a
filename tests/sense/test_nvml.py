from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from harness import clock
from harness.schema.machine import Machine
from harness.schema.sensors import Absent
from harness.units import NS_PER_S
from tests.fake_nvml import (
    DRIVER_NOT_LOADED,
    GONE,
    GPU_IS_LOST,
    IDLE,
    NO_PERMISSION,
    STUCK_LOW_POWER,
    THERMAL_SLOWDOWN,
    UNKNOWN,
    FakeNvml,
    counter_backwards,
    failing_mid_run,
    gb10_all_refused,
    healthy_gb10,
    two_gpus,
)
from tests.fake_nvml.reading import opened

PROBE = """
import msgspec
from pathlib import Path
from harness.hosts.local import LocalHost
from harness.probe import probe
print(msgspec.json.encode(probe(LocalHost(), engines_home=Path("/nonexistent"), env={"PATH": "/nonexistent"})).decode())
"""
FAST = {"power": "W", "energy": "J", "temperature": "°C", "clock": "MHz", "utilization": "share", "reasons": "mask"}
REASONS = ("sw_power_cap", "sync_boost", "sw_thermal", "hw_thermal", "hw_power_brake")
SLOW = {"clock_max": "MHz"} | {f"reason_{reason}": "s" for reason in REASONS} | {"processes": "count"}


def test_a_healthy_gb10(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, healthy_gb10()).env) as sources:
        answer = sources.read()
    units = {name.removeprefix("gpu0."): unit for _, name, _, unit in answer.readings}
    assert units == FAST | SLOW
    of_the_gpu = {"gpu0.power", "gpu0.energy", "gpu0.utilization"}  # by the last one GPUs without watts are missed
    assert {name for scope, name, _, _ in answer.readings if scope == "gpu"} == of_the_gpu
    assert {scope for scope, _, _, _ in answer.readings} == {"gpu", "host"}
    values = {name.removeprefix("gpu0."): value for name, value in answer.values.items()}
    assert 8000 <= values.pop("energy") <= 8000 + 30 * 60  # 100 s of 30 W, and what it had before
    assert values == {
        "power": 30,
        "temperature": 62,
        "clock": 2400,
        "utilization": 0.95,
        "reasons": 0,
        "clock_max": 3003,
        "processes": 0,
    } | {f"reason_{reason}": 0 for reason in REASONS}
    assert answer.absent == []
    assert answer.periods == [("nvml", 0.1, False), ("nvml", 1.0, False)]


def test_every_optional_call_refused(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, gb10_all_refused()).env) as sources:
        answers = [sources.read(), sources.read()]
    for answer in answers:
        assert answer.readings == []
        assert answer.codes == {f"gpu0.{name}": "not_supported" for name in FAST | SLOW}
        assert len(answer.absent) == len(FAST | SLOW)
    assert {absent.scope for absent in answers[0].absent if ".power " in absent.text or ".energy " in absent.text} == {"gpu"}
    assert answers[0].absent[0].text == "gpu0.power cannot be read: Not Supported"
    assert answers[0].absent[0].source == "nvml"


def test_one_call_refused_leaves_the_others(tmp_path: Path) -> None:
    gpu = healthy_gb10().refuse(-100, NO_PERMISSION, "ComputeRunningProcesses_v3").at(-100, {"fail:sw_thermal": 3})
    fake = FakeNvml(tmp_path, gpu)
    with opened(fake.env) as sources:
        answer = sources.read()
        assert answer.codes == {"gpu0.processes": "no_permission", "gpu0.reason_sw_thermal": "not_supported"}
        assert {f"gpu0.{name}" for name in FAST | SLOW} - set(answer.values) == set(answer.codes)
        fake.play(healthy_gb10())
        assert set(sources.read().values) == set(answer.values)  # what was refused is not asked again


def test_calls_that_start_failing(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, healthy_gb10())
    with opened(fake.env) as sources:
        healthy = sources.read()
        fake.play(failing_mid_run(0, "PowerUsage", "FieldValues"))
        failing = [sources.read(), sources.read()]
        fake.play(healthy_gb10())
        again = sources.read()
        fake.play(failing_mid_run(0, "PowerUsage"))
        relapse = sources.read()
    lost = {"gpu0.power"} | {f"gpu0.reason_{reason}" for reason in REASONS}
    for answer in failing:
        assert set(healthy.values) - set(answer.values) == lost
        assert answer.codes == dict.fromkeys(lost, "lost")
        assert len(answer.absent) == len(lost)
    assert set(again.values) == set(healthy.values)
    assert again.absent == relapse.absent == failing[0].absent


def test_a_gpu_that_is_lost(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, *two_gpus())
    with opened(fake.env) as sources:
        both = sources.read()
        fake.play(failing_mid_run(0), two_gpus()[1])
        one = sources.read()
        after_close = sources.read(close=2)
    assert {name for name in both.values if name.startswith("gpu1")} == set(one.values)
    assert one.codes == {f"gpu0.{name}": "lost" for name in FAST | SLOW}
    assert "GPU is lost" in one.absent[0].text
    assert after_close.readings == []


def test_each_source_is_closed_on_its_own(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, healthy_gb10()).env) as sources:
        answer = sources.read(close=1)
    assert set(answer.values) == {f"gpu0.{name}" for name in FAST | SLOW}


def test_one_that_is_lost_already_may_come_back(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, failing_mid_run(-100, "PowerUsage"))
    with opened(fake.env) as sources:
        before = sources.read()
        fake.play(healthy_gb10())
        after = sources.read()
    assert before.codes == {"gpu0.power": "lost"}
    assert len(before.absent) == 1
    assert after.absent == before.absent
    assert "gpu0.power" not in before.values
    assert after.values["gpu0.power"] == 30


def test_a_gpu_that_does_not_open(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, failing_mid_run(-100, error=GPU_IS_LOST), two_gpus()[1]).env) as sources:
        answer = sources.read()
    assert {name.partition(".")[0] for name in answer.values} == {"gpu1"}
    assert answer.codes == {"gpu0": "lost"}


def test_a_counter_that_goes_backwards_is_passed_on(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, healthy_gb10())
    with opened(fake.env) as sources:
        before = sources.read()
        fake.play(counter_backwards(0, lost_j=3000))
        after = sources.read()
    passed_j = 30 * (after.end_ns - before.start_ns) / NS_PER_S
    fallen = before.values["gpu0.energy"] - after.values["gpu0.energy"]
    assert 3000 - passed_j - 0.01 <= fallen < 3000
    assert after.absent == []


def test_the_energy_counter_is_the_power_that_was_drawn(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, healthy_gb10()).env) as sources:
        first = sources.read()
        clock.sleep(0.2)
        second = sources.read()
    drawn = second.values["gpu0.energy"] - first.values["gpu0.energy"]
    shortest, longest = second.start_ns - first.end_ns, second.end_ns - first.start_ns
    assert 30 * shortest / NS_PER_S - 0.002 <= drawn <= 30 * longest / NS_PER_S + 0.002


def test_the_script_runs_in_time(tmp_path: Path) -> None:
    gpu = healthy_gb10().at(50, IDLE).at(60, STUCK_LOW_POWER)
    seen = []
    for second in (20, 55, 65):
        with opened(FakeNvml(tmp_path, gpu, origin_ns=clock.now() - second * NS_PER_S).env) as sources:
            seen.append(sources.read().values)
    assert [values["gpu0.power"] for values in seen] == [30, 4, 14]
    assert [values["gpu0.clock"] for values in seen] == [2400, 208, 611]
    assert [values["gpu0.reasons"] for values in seen] == [0, 1, 0]
    energy = seen[2]["gpu0.energy"]
    assert energy >= 5000 + 30 * 150 + 4 * 10 + 14 * 5
    assert energy == pytest.approx(5000 + 30 * 150 + 4 * 10 + 14 * 5, abs=14 * 5)


def test_reason_counters_are_seconds(tmp_path: Path) -> None:
    gpu = healthy_gb10().at(-50, THERMAL_SLOWDOWN).at(-40, {"sw_thermal": 0, "hw_thermal": 0.25, "hw_power_brake": 0.05})
    gpu = gpu.at(-30, {"hw_thermal": 0, "hw_power_brake": 0, "sync_boost": 1, "sw_power_cap": 0.7})
    gpu = gpu.at(-29, {"sync_boost": 0, "sw_power_cap": 0})
    with opened(FakeNvml(tmp_path, gpu).env) as sources:
        values = sources.read().values
    counted = {reason: values[f"gpu0.reason_{reason}"] for reason in REASONS}
    expected = {"sw_power_cap": 0.7, "sync_boost": 1.0, "sw_thermal": 4.0, "hw_thermal": 2.5, "hw_power_brake": 0.5}
    assert counted == pytest.approx(expected, abs=1e-6)


def test_an_older_driver_has_other_numbers_for_its_counters(tmp_path: Path) -> None:
    gpu = healthy_gb10().at(-50, {"sw_thermal": 1}).at(-49, {"sw_thermal": 0})
    for driver in ("570.172.08", "580.65.06", "something else"):
        with opened(FakeNvml(tmp_path, gpu, driver=driver).env) as sources:
            answer = sources.read()
        assert answer.codes == dict.fromkeys(("gpu0.reason_hw_thermal", "gpu0.reason_hw_power_brake"), "not_supported")
        assert not set(answer.codes) & set(answer.values)
        assert answer.values["gpu0.reason_sw_thermal"] == pytest.approx(1)


def test_processes(tmp_path: Path) -> None:
    gpu = (
        healthy_gb10().at(-9, {"process:4711": 2.0**30, "process:815": UNKNOWN, "process:99": 1e6}).at(-8, {"process:99": GONE})
    )
    fake = FakeNvml(tmp_path, gpu)
    with opened(fake.env) as sources:
        two = sources.read()
        fake.play(gpu.at(0, {"process:4711": GONE}))
        one = sources.read()
    of = ("gpu0.process", "gpu0.memory")
    assert sorted(reading for reading in two.readings if reading[1].startswith(of)) == [
        ("host", "gpu0.memory_4711", 2.0**30, "bytes"),
        ("host", "gpu0.process_4711", 1.0, "count"),
        ("host", "gpu0.process_815", 1.0, "count"),
        ("host", "gpu0.processes", 2.0, "count"),
    ]
    assert {name: value for name, value in one.values.items() if name.startswith(of)} == {
        "gpu0.process_815": 1,
        "gpu0.processes": 1,
    }
    assert one.absent == []


def test_two_gpus(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path, *two_gpus()).env) as sources:
        answer = sources.read()
    assert set(answer.values) == {f"gpu{index}.{name}" for index in (0, 1) for name in FAST | SLOW}
    assert (answer.values["gpu0.power"], answer.values["gpu1.power"]) == (30, 4)
    assert (answer.values["gpu0.clock"], answer.values["gpu1.clock"]) == (2400, 208)


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has NVIDIA's driver")
def test_no_library() -> None:
    env = {name: "" for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    with opened(env) as sources:
        assert sources.count == 1
        answer = sources.read()
    assert answer.readings == []
    text = "GPUs cannot be read: NVML Shared Library Not Found"
    assert answer.absent == [Absent(source="nvml", scope="gpu", code="no_library", text=text)]


def test_a_library_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not one")
    with opened({"LD_LIBRARY_PATH": str(tmp_path)}) as sources:
        assert [absent.code for absent in sources.read(close=1).absent] == ["no_library"]


@pytest.mark.parametrize(
    ("error", "code"), [(DRIVER_NOT_LOADED, "no_driver"), (18, "no_driver"), (4, "no_permission"), (999, "no_driver")]
)
def test_a_driver_that_does_not_start(tmp_path: Path, error: int, code: str) -> None:
    with opened(FakeNvml(tmp_path, healthy_gb10(), refuse={"nvmlInitWithFlags": error}).env) as sources:
        answer = sources.read(close=1)
    assert (answer.readings, [absent.code for absent in answer.absent]) == ([], [code])


def test_no_gpu(tmp_path: Path) -> None:
    with opened(FakeNvml(tmp_path).env) as sources:
        answer = sources.read()
    assert (answer.readings, [absent.code for absent in answer.absent]) == ([], ["no_device"])


def look(env: Mapping[str, str]) -> Machine:
    done = subprocess.run([sys.executable, "-c", PROBE], env=os.environ | env, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Machine)


def test_the_probe_finds_the_gpu(tmp_path: Path) -> None:
    machine = look(FakeNvml(tmp_path, *two_gpus()).env)
    assert (machine.gpu_driver, machine.cuda_driver) == ("580.95.05", "13.0")
    assert [(gpu.index, gpu.name, gpu.compute_capability) for gpu in machine.gpus] == [
        (i, "NVIDIA GB10", "12.1") for i in (0, 1)
    ]
    assert machine.gpus[0].uuid == "GPU-11111111-2222-3333-4444-555555555555"
    assert machine.gpus[0].memory_bytes is None
    [refusing] = look(FakeNvml(tmp_path, gb10_all_refused()).env).gpus
    assert (refusing.name, refusing.uuid, refusing.compute_capability) == ("NVIDIA GB10", None, None)
    [discrete] = look(FakeNvml(tmp_path, healthy_gb10().at(-1, {"memory": 24 * 2.0**30})).env).gpus
    assert discrete.memory_bytes == 24 * 2**30
