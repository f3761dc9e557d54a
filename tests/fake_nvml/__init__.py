"""GPUs that are not there: a `libnvidia-ml.so.1`, compiled from `nvml.c` against NVIDIA's own header, that plays a script.

    nvml = FakeNvml(tmp_path, healthy_gb10())                   # compiles the library (once), or skips the test
    subprocess.run([…], env=os.environ | nvml.env)              # the child's pynvml finds it
    nvml.play(healthy_gb10().at(0, STUCK_LOW_POWER))            # from now on, in children that run already too

What a GPU says is a course in time: `gpu.at(second, {key: value})` holds from that second of the script on. Second 0 is when the
`FakeNvml` was made, unless `origin_ns` says otherwise; it may lie in the past, and so may events (before 0). A key that a GPU never got is
Not Supported. Keys:

    power W, clock MHz, clock_max MHz, temperature °C, utilization share, reasons mask
    energy              J added to the energy counter, which is the integral of power besides; below 0 it goes backwards
    sw_power_cap, sync_boost, sw_thermal, hw_thermal, hw_power_brake
                        how fast the counter of this reason grows: seconds per second
    processes           any value: the list of processes can be had; `process:PID` is one with its bytes, UNKNOWN or GONE
    memory bytes, capability 121 (is 12.1)
    fail:CALL           the number of the error that this function of NVML gives (0: works again); fail:* for every call of the GPU
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from harness import clock

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, GPU_IS_LOST, UNKNOWN_ERROR = 3, 4, 9, 15, 999
UNKNOWN, GONE = -1.0, -2.0
"""Values of a process."""

IDLE = {"power": 4, "clock": 208, "utilization": 0, "temperature": 38, "reasons": 1}
DECODE = {"power": 30, "clock": 2400, "utilization": 0.95, "temperature": 62, "reasons": 0}
STUCK_LOW_POWER = {"power": 14, "clock": 611, "utilization": 0.95, "temperature": 45, "reasons": 0}
THERMAL_SLOWDOWN = {"power": 60, "clock": 1700, "utilization": 0.95, "temperature": 88, "reasons": 0, "sw_thermal": 0.4}
"""On a real one the flag stayed off while the counter grew (ollama#13552)."""
LOCKED_CLOCKS = {"clock": 2200, "clock_max": 2200}
POWER_BRAKE = {"power": 26, "clock": 1200, "reasons": 0x80, "hw_power_brake": 0.3}
OPTIONAL = (
    "PowerUsage",
    "TotalEnergyConsumption",
    "Temperature",
    "ClockInfo",
    "MaxClockInfo",
    "UtilizationRates",
    "CurrentClocksEventReasons",
    "FieldValues",
    "ComputeRunningProcesses_v3",
    "MemoryInfo",
    "CudaComputeCapability",
    "UUID",
)


class FakeGpu(msgspec.Struct, frozen=True):
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    name: str = "NVIDIA GB10"
    events: tuple[tuple[float, str, float], ...] = ()

    def at(self, second: float, values: Mapping[str, float]) -> FakeGpu:
        """The same GPU, with these values from this second on."""
        added = tuple((second, key, float(value)) for key, value in values.items())
        return msgspec.structs.replace(self, events=tuple(sorted(self.events + added, key=lambda event: event[0])))

    def refuse(self, second: float, error: int, *calls: str) -> FakeGpu:
        """Calls by name without `nvmlDeviceGet`; none named: every call of this GPU."""
        return self.at(second, {f"fail:nvmlDeviceGet{call}": error for call in calls} or {"fail:*": error})


def healthy_gb10(uuid: str = "GPU-11111111-2222-3333-4444-555555555555") -> FakeGpu:
    """A GB10 that has decoded for 100 s and goes on: memory information is Not Supported, as on all of them."""
    counters = {"sw_power_cap": 0.0, "sync_boost": 0.0, "sw_thermal": 0.0, "hw_thermal": 0.0, "hw_power_brake": 0.0}
    has = {"energy": 5000.0, "clock_max": 3003.0, "processes": 0.0, "capability": 121.0}
    return FakeGpu(uuid=uuid).at(-100, DECODE | counters | has)


def gb10_all_refused() -> FakeGpu:
    """It has a name, and that is all."""
    return healthy_gb10().refuse(-100, NOT_SUPPORTED, *OPTIONAL)


def failing_mid_run(second: float, *calls: str, error: int = GPU_IS_LOST) -> FakeGpu:
    """Healthy until then; these calls fail from there on, or all of them."""
    return healthy_gb10().refuse(second, error, *calls)


def counter_backwards(second: float, lost_j: float = 3000) -> FakeGpu:
    """Its energy counter jumps back, as after the driver was loaded anew."""
    return healthy_gb10().at(second, {"energy": -lost_j})


def two_gpus() -> tuple[FakeGpu, FakeGpu]:
    """The second one idles."""
    return healthy_gb10(), healthy_gb10("GPU-66666666-7777-8888-9999-000000000000").at(0, IDLE)


class FakeNvml:
    def __init__(
        self,
        folder: Path,
        *gpus: FakeGpu,
        driver: str = "580.95.05",
        cuda: int = 13000,
        refuse: Mapping[str, int] | None = None,
        origin_ns: int | None = None,
    ) -> None:
        """`refuse`: errors by function, of those that are about no GPU, such as `nvmlInitWithFlags`."""
        self.library = _compiled()
        self.script = folder / "nvml.txt"
        self._origin_ns = clock.now() if origin_ns is None else origin_ns
        self._head = [f"origin {self._origin_ns}", f"driver {driver}", f"cuda {cuda}"]
        self._head += [f"event -1 -1e9 fail:{call} {error}" for call, error in (refuse or {}).items()]
        self.play(*gpus)

    @property
    def env(self) -> dict[str, str]:
        """For a child process, besides its other variables."""
        folders = [str(self.library.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {"LD_LIBRARY_PATH": os.pathsep.join(folders), "FAKE_NVML_SCRIPT": str(self.script)}

    @property
    def second(self) -> float:
        """Of the script, now."""
        return clock.since(self._origin_ns)

    def play(self, *gpus: FakeGpu) -> None:
        """In place of what was played before. Time goes on."""
        lines = self._head + [f"gpu {gpu.uuid} {gpu.name}" for gpu in gpus]
        lines += [f"event {index} {t!r} {key} {value!r}" for index, gpu in enumerate(gpus) for t, key, value in gpu.events]
        new = self.script.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.script)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when Python ends."""
    return tempfile.TemporaryDirectory(prefix="fake-nvml-")


@cache
def _compiled() -> Path:
    """Skips the test where there is no compiler, or not NVIDIA's header."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc to compile the fake libnvidia-ml.so.1 with")
    header = _header()
    if header is None:
        pytest.skip("NVIDIA's nvml.h is missing: pip install nvidia-nvml-dev")
    library = Path(_folder().name) / "libnvidia-ml.so.1"
    flags = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-isystem", str(header.parent)]
    source = str(Path(__file__).parent / "nvml.c")
    done = subprocess.run([compiler, *flags, source, "-o", str(library), "-lm", "-pthread"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


def _header() -> Path | None:
    try:
        files = metadata.files("nvidia-nvml-dev") or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "nvml.h"), None)
