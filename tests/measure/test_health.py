"""What readings say against a machine, and that a healthy one is left alone. Figures as public reports of the GB10 have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.instruments import KERNEL_CODES
from harness.measure import health
from harness.schema.health import Canary
from harness.schema.machine import Gpu, Machine
from harness.schema.sensors import Sample
from harness.units import NS_PER_S
from tests.measure.streams import trial

GB10 = Machine(
    hostname="spark",
    os="Ubuntu 24.04",
    kernel="6.17.0",
    arch="aarch64",
    cpu_model="Cortex-X925",
    cpu_count=20,
    memory_bytes=128 * 10**9,
    gpus=(Gpu(index=0, name="NVIDIA GB10"),),
)
SECONDS = 20
TRIAL = msgspec.structs.replace(trial(), t_start_ns=0, t_end_ns=SECONDS * NS_PER_S)

HEALTHY = {
    "gpu0.utilization": 0.96,
    "gpu0.clock": 2411.0,
    "gpu0.power": 34.0,
    "gpu0.temperature": 62.0,
    "gpu0.clock_max": 3003.0,
    "gpu0.reasons": 0.0,
    "gpu0.reason_sw_thermal": 0.9,
    "gpu0.reason_hw_thermal": 0.0,
    "gpu0.reason_hw_power_brake": 0.0,
    "gpu0.process_4711": 9e10,
    "spbm.prochot": 0.0,
    "dc_input.power": 95.0,
    "syspl1.limit": 231.0,
    "pl1.limit": 140.0,
    "psi.memory_full": 0.4,
    "swap.in": 1e9,
    "swap.out": 1e9,
    "memory.available": 2e10,
}
"""Counters stand where they stood."""

Change = float | Callable[[int], float]


def samples(changes: dict[str, Change | None]) -> list[Sample]:
    """Ten readings a second, between and beyond the trial's ends; a change may be a function of the second."""
    read = {**HEALTHY, **changes}
    return [
        Sample(tick * NS_PER_S // 10, "x", "x", name, value(tick // 10) if callable(value) else value, "x")
        for tick in range(-10, SECONDS * 10 + 10)
        for name, value in read.items()
        if value is not None
    ]


def codes(changes: dict[str, Change | None], foreign: dict[int, str] | None = None) -> list[str]:
    found = health.of_trial(TRIAL, samples(changes), GB10, foreign or {})
    assert all(reason.trials == (TRIAL.index,) for reason in found)
    return [reason.code for reason in found]


def elsewhere(changes: dict[str, Change | None]) -> list[Sample]:
    return [msgspec.structs.replace(sample, source="x@b") for sample in samples(changes)]


FAULTS: dict[str, tuple[dict[str, Change | None], str]] = {
    "stuck": ({"gpu0.clock": 611.0, "gpu0.power": 14.0}, "stuck_low_power"),
    "low limit": ({"pl1.limit": 20.0}, "stuck_low_power"),
    "low clock, but not stuck": ({"gpu0.clock": 1300.0, "gpu0.power": 60.0}, "low_clock"),
    "low clock, power not known": ({"gpu0.clock": 850.0, "gpu0.power": None}, "low_clock"),
    "heat": ({"gpu0.temperature": 88.0, "gpu0.reason_sw_thermal": lambda s: s * 0.5}, "thermal_slowdown"),
    "heat by the mask": (
        {"gpu0.reason_sw_thermal": None, "gpu0.reason_hw_thermal": None, "gpu0.reasons": float(0x40)},
        "thermal_slowdown",
    ),
    "heat by the mask, of which there is no counter": (
        {"gpu0.reason_hw_thermal": None, "gpu0.reasons": lambda s: float(0x40 * (s % 2))},
        "thermal_slowdown",
    ),
    "hot": ({"gpu0.temperature": 91.0}, "hot"),
    "locked": ({"gpu0.clock_max": 2100.0, "gpu0.clock": 2100.0}, "locked_clocks"),
    "application clocks": ({"gpu0.reasons": float(0x2)}, "locked_clocks"),
    "locked below what is healthy": ({"gpu0.clock_max": 800.0, "gpu0.clock": 800.0, "gpu0.power": 20.0}, "locked_clocks"),
    "prochot": ({"spbm.prochot": 1.0}, "weak_power_supply"),
    "brake": ({"gpu0.reason_hw_power_brake": lambda s: s * 0.1}, "weak_power_supply"),
    "stalls": ({"psi.memory_full": lambda s: s * 0.1}, "memory_pressure"),
    "swapping": ({"swap.out": lambda s: s * 1e7}, "memory_pressure"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_code_and_no_other(name: str) -> None:
    changes, code = FAULTS[name]
    assert codes(changes) == [code]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpu0.utilization": 0.0, "gpu0.clock": 208.0, "gpu0.power": 4.0},  # idle
        {"gpu0.utilization": lambda s: 0.9 if s == 3 else 0.1, "gpu0.clock": lambda s: 2400.0 if s == 3 else 208.0},
        {"gpu0.power": 16.0},  # decode that waits for memory
        {"gpu0.reasons": float(0x1 | 0x4)},  # idle, power cap
        {"gpu0.reasons": float(0x20 | 0x40)},  # heat, but for no time that the counters know of
        {"gpu0.reason_sw_thermal": lambda s: 0.9 + s * 0.005},
        dict.fromkeys(HEALTHY),
    ],
)
def test_a_healthy_machine_has_none(changes: dict[str, Change | None]) -> None:
    assert codes(changes) == []


def test_a_lock_does_not_hide_what_it_cannot_explain() -> None:
    """A GPU that is stuck takes `-lgc 0,2200` and stays at 611 MHz all the same (trap 124)."""
    stuck: dict[str, Change | None] = {"gpu0.clock_max": 2200.0, "gpu0.clock": 611.0, "gpu0.power": 14.0}
    assert codes(stuck) == ["locked_clocks", "stuck_low_power"]


def merged(one: list[Sample], other: list[Sample]) -> list[Sample]:
    return sorted(one + other, key=lambda sample: sample.t_ns)


def test_each_host_is_looked_at_by_itself() -> None:
    """Two machines whose counters stand at different values, as they do; and the numbers of one's processes mean nothing on the other."""
    there = elsewhere(
        {"psi.memory_full": 400.0, "swap.in": 9e9, "gpu0.reason_sw_thermal": 90.0, "gpu0.reason_hw_power_brake": 7.0}
    )
    both = merged(samples({"gpu0.process_4711": None}), there)
    assert health.of_trial(TRIAL, both, GB10, {4711: "python3"}) == []
    sick = merged(samples({}), elsewhere({"gpu0.clock": 611.0, "gpu0.power": 14.0}))
    (found,) = health.of_trial(TRIAL, sick, GB10, {})
    assert found.code == "stuck_low_power"
    assert found.text.startswith("b: gpu0 ran at 611")


def test_what_lies_outside_the_trial_does_not_count() -> None:
    assert codes({"gpu0.temperature": lambda s: 95.0 if s < 0 or s > SECONDS else 60.0}) == []


def test_processes_of_others() -> None:
    assert codes({}, {4711: "python3"}) == ["foreign_process"]
    assert codes({}, {4712: "python3"}) == []
    (found,) = health.of_trial(TRIAL, samples({}), GB10, {4711: "python3"})
    assert "python3 (4711)" in found.text


def canaries(*request_ms: float, memory: float | None = None, gpu: float | None = None) -> list[Canary]:
    return [
        Canary(t_ns=index, request_ms=value, memory_bytes_s=memory, gpu_flop_s=gpu) for index, value in enumerate(request_ms)
    ]


def test_a_slow_state_that_comes_or_goes_during_the_run() -> None:
    assert [reason.code for reason in health.of_canaries(canaries(27.0, 26.0, 41.0), ())] == ["slow_state"]
    assert health.of_canaries(canaries(27.0, 26.0, 29.0), ()) == []


def test_a_slow_state_that_was_there_before() -> None:
    earlier = canaries(63.0, 62.0, 64.0)
    (found,) = health.of_canaries(canaries(94.0, 93.0), earlier)
    assert (found.code, "93.0 ms" in found.text, "63.0" in found.text) == ("slow_state", True, True)
    assert health.of_canaries(canaries(94.0, 93.0), earlier[:2]) == [], "two runs are no history"
    assert health.of_canaries(canaries(66.0), earlier) == []


def test_a_run_is_remembered_by_its_best() -> None:
    """A first answer that is a fifth slower each time would let a state that takes half as long again pass."""
    cold = [health.best(canaries(75.6, 63.0, 64.0)) for _ in range(3)]
    assert [reason.code for reason in health.of_canaries(canaries(94.0, 95.0), cold)] == ["slow_state"]
    mixed = [Canary(t_ns=5, memory_bytes_s=1e11), Canary(t_ns=6, request_ms=3.0), Canary(t_ns=7, memory_bytes_s=2e11)]
    assert health.best(mixed) == Canary(t_ns=5, request_ms=3.0, memory_bytes_s=2e11)
    assert health.best([Canary(t_ns=5)]) == Canary(t_ns=5)


def test_slow_memory() -> None:
    earlier = canaries(1.0, 1.0, 1.0, memory=2e11)
    assert [reason.code for reason in health.of_canaries(canaries(1.0, memory=1e11), earlier)] == ["slow_memory"]
    assert health.of_canaries(canaries(1.0, memory=1.5e11), earlier) == []
    assert health.of_canaries([Canary(t_ns=0)], earlier) == []


def test_a_slow_gpu() -> None:
    """29.5 TFLOP/s at 2.4 GHz, 7.5 at 611 MHz; a chip that is warmer than before is not a slow one."""
    earlier = canaries(1.0, 1.0, 1.0, gpu=29.5e12)
    assert [reason.code for reason in health.of_canaries(canaries(1.0, 1.0, gpu=7.5e12), earlier)] == ["slow_gpu"]
    assert health.of_canaries(canaries(1.0, gpu=7.5e12), earlier[:2]) == [], "two runs are no history"
    assert health.of_canaries(canaries(1.0, gpu=27e12), earlier) == []
    (fell,) = health.of_canaries([*canaries(1.0, gpu=29.5e12), *canaries(1.0), *canaries(1.0, gpu=7.5e12)], earlier)
    assert (fell.code, "7.5 to 29.5 TFLOP/s" in fell.text) == ("slow_gpu", True)
    assert health.best([*canaries(1.0, gpu=7.5e12), *canaries(1.0, gpu=29.5e12)]).gpu_flop_s == 29.5e12


def test_the_verdict() -> None:
    assert health.verdict([], [], [], 0).verdict == "healthy"
    assert health.verdict([], ["the GPU's clock"], [], 0).verdict == "unknown"
    hot = health.of_trial(TRIAL, samples({"gpu0.temperature": 95.0}), GB10, {})
    again = [msgspec.structs.replace(reason, trials=(3,)) for reason in hot]
    found = health.verdict([*again, *hot], ["the GPU's clock"], [], 0)
    assert found.verdict == "degraded"
    assert [(reason.code, reason.trials) for reason in found.reasons] == [("hot", (0, 3))]


def test_what_a_gpu_machine_must_show() -> None:
    assert health.unseen(GB10, samples({})) == ()
    assert health.unseen(GB10, samples({"gpu0.clock": None})) == ("the GPU's clock",)
    assert len(health.unseen(GB10, [])) == 4
    assert len(health.unseen(GB10, elsewhere({}))) == 4, "what another host shows is not this one's"
    two = msgspec.structs.replace(GB10, gpus=(*GB10.gpus, Gpu(index=1, name="NVIDIA GB10")))
    assert len(health.unseen(two, samples({}))) == 4, "one of two"
    assert health.unseen(msgspec.structs.replace(GB10, gpus=()), []) == ()


def test_the_page_names_every_reason() -> None:
    root = Path(__file__).parents[2]
    sources = [(root / "harness" / name).read_text() for name in ("measure/health.py", "bench.py")]
    codes = {code for source in sources for code in re.findall(r'(?:code=|note\()"([a-z_]+)"', source)}
    codes |= set(KERNEL_CODES.values())
    assert {"stuck_low_power", "memory_floor", "gpu_out_of_memory"} <= codes
    listed = set(re.findall(r"^\| `([a-z_]+)`", (root / "docs" / "gb10.md").read_text(), re.MULTILINE))
    assert codes == listed
