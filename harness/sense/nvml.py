"""GPUs, as NVIDIA's driver tells of them (NVML, through `pynvml`). Its watts are those of the GPU: what else they cover is not documented.

Every reading is optional. A GB10 answers "Not Supported" to several questions, and which ones depends on its driver: each is asked once
when the sources are opened. Units are those of NVIDIA's `nvml.h`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from harness.schema.sensors import GPU, HOST, Absent
from harness.sense.base import OFTEN_S, SELDOM_S, Reading
from harness.units import NS_PER_S

REASONS = {
    "sw_power_cap": (74, 74),
    "sync_boost": (76, 76),
    "sw_thermal": (75, 269),
    "hw_thermal": (None, 270),
    "hw_power_brake": (None, 271),
}
"""Why clocks were lowered: the field with its counter in ns, before and since `RENUMBERED`. `nvml.h` of CUDA 12.9 and 13.0.0 has the last
three as 251 to 253, which mean other things before and after; 75 is the thermal counter that never moved."""
RENUMBERED = (580, 82)
"""The driver whose `pynvml` is the first with the numbers of today. The oldest one seen on a GB10 is 580.95."""


class Question(msgspec.Struct, frozen=True):
    scope: str
    name: str
    ask: Callable[[], Sequence[Reading]]
    """Raises NVMLError."""


def sources() -> tuple[Nvml, ...]:
    """The course of power and clocks, read often, and the rest; where NVML does not open, one that reads nothing and says why."""
    import pynvml

    try:
        pynvml.nvmlInit()
        pynvml.nvmlInit()  # once for each source: NVML counts, and each shuts down its own
    except pynvml.NVMLError as error:
        return (Nvml(SELDOM_S, (), (_absent(GPU, "GPUs", error, otherwise="no_driver"),)),)
    gpus, absent = _gpus()
    seldom = (question for gpu, handle in gpus.items() for question in _seldom(gpu, handle))
    often = (question for gpu, handle in gpus.items() for question in _often(gpu, handle))
    return Nvml(OFTEN_S, often, absent), Nvml(SELDOM_S, seldom)


class Nvml:
    name, alone = "nvml", False

    def __init__(self, period_s: float, questions: Iterable[Question], absent: Iterable[Absent] = ()) -> None:
        """Asks each question: one that is refused for good is not asked again."""
        from pynvml import NVMLError

        self.period_s = period_s
        self._absent = list(absent)
        self._lost: set[str] = set()
        self._questions: list[Question] = []
        for question in questions:
            try:
                question.ask()
            except NVMLError as error:
                refusal = _absent(question.scope, question.name, error)
                self._absent.append(refusal)
                if refusal.code != "lost":
                    continue
                self._lost.add(question.name)
            self._questions.append(question)

    def read(self) -> Iterator[Reading]:
        from pynvml import NVMLError

        for question in self._questions:
            try:
                readings = question.ask()
            except NVMLError as error:
                if question.name not in self._lost:
                    self._lost.add(question.name)
                    text = f"{question.name} was read at first, and then no longer: {error}"
                    self._absent.append(Absent(source=self.name, scope=question.scope, code="lost", text=text))
            else:
                yield from readings

    @property
    def absent(self) -> tuple[Absent, ...]:
        return tuple(self._absent)

    def close(self) -> None:
        import pynvml

        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            pass  # it never opened


def _gpus() -> tuple[dict[str, Any], list[Absent]]:
    """Handles by name, `gpu0` and so on by NVML's index, and those that NVML knows and does not open."""
    import pynvml

    gpus: dict[str, Any] = {}
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return gpus, [_absent(GPU, "GPUs", error)]
    if count == 0:
        return gpus, [Absent(source=Nvml.name, scope=GPU, code="no_device", text="the driver knows no GPU")]
    absent = []
    for index in range(count):
        try:
            gpus[f"gpu{index}"] = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:
            absent.append(_absent(GPU, f"gpu{index}", error))
    return gpus, absent


def _often(gpu: str, handle: Any) -> Iterator[Question]:
    import pynvml as nvml

    yield _one(GPU, f"{gpu}.power", "W", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
    yield _one(GPU, f"{gpu}.energy", "J", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
    yield _one(HOST, f"{gpu}.temperature", "°C", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    yield _one(HOST, f"{gpu}.clock", "MHz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
    yield _one(GPU, f"{gpu}.utilization", "share", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    yield _one(HOST, f"{gpu}.reasons", "mask", lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))


def _seldom(gpu: str, handle: Any) -> Iterator[Question]:
    import pynvml as nvml

    yield _one(HOST, f"{gpu}.clock_max", "MHz", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))
    for reason, field in _reason_fields().items():
        yield _one(HOST, f"{gpu}.reason_{reason}", "s", partial(_counter_s, handle, field))
    yield Question(HOST, f"{gpu}.processes", lambda: _processes(gpu, handle))


def _one(scope: str, name: str, unit: str, ask: Callable[[], float]) -> Question:
    return Question(scope, name, lambda: [(scope, name, float(ask()), unit)])


def _reason_fields() -> dict[str, int | None]:
    """By reason; None where this driver has no field for it that is known for sure."""
    import pynvml

    try:
        major, minor = pynvml.nvmlSystemGetDriverVersion().split(".")[:2]
        today = (int(major), int(minor)) >= RENUMBERED
    except (pynvml.NVMLError, ValueError):
        today = False
    return {reason: fields[today] for reason, fields in REASONS.items()}


def _counter_s(handle: Any, field: int | None) -> float:
    import pynvml

    if field is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    answer = pynvml.nvmlDeviceGetFieldValues(handle, [field])[0]
    if answer.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(answer.nvmlReturn)
    nanoseconds: int = answer.value.ullVal  # zeroed before, so right for every unsigned type
    return nanoseconds / NS_PER_S


def _processes(gpu: str, handle: Any) -> list[Reading]:
    """How many compute processes there are, a 1 for each, and the memory of those where the driver knows it."""
    import pynvml

    found = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    readings: list[Reading] = [(HOST, f"{gpu}.processes", float(len(found)), "count")]
    for process in found:
        readings.append((HOST, f"{gpu}.process_{process.pid}", 1.0, "count"))
        if process.usedGpuMemory is not None:
            readings.append((HOST, f"{gpu}.memory_{process.pid}", float(process.usedGpuMemory), "bytes"))
    return readings


def _absent(scope: str, what: str, error: Any, otherwise: str = "lost") -> Absent:
    """An error that may pass is `lost` unless told `otherwise`."""
    import pynvml

    codes = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no_library",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "no_driver",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "no_driver",
        pynvml.NVML_ERROR_GPU_NOT_FOUND: "no_device",
        pynvml.NVML_ERROR_NOT_SUPPORTED: "not_supported",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not_supported",
        pynvml.NVML_ERROR_NO_PERMISSION: "no_permission",
    }
    code = codes.get(error.value, otherwise)
    return Absent(source=Nvml.name, scope=scope, code=code, text=f"{what} cannot be read: {error}")
