"""Files of /sys and /proc under a folder of one's own, for sources that take `root`.

    chip = spbm(tmp_path, gpu=30, dc_input=80)                    # the driver of a GB10's rails; watts by label, the others idle
    chip.show(gpu=90); chip.status(prochot=1); chip.vanish("gpu.power")
    with chip.played(lambda second: decoding(60 if second < 5 else 20)):
        …                                                         # the rails move in real time, the energy registers count
    chip.joules["gpu"]                                            # what was drawn while played

    gb10(tmp_path)                                                # all of it: rails, memory, stalls, load, clocks, zones

Sources keep files open, so what is there is written over in place and never replaced. A number fills the same 20 bytes every time, so a
reader that comes between two writes sees one of both. One that comes in the midst of a write may see half of it: 3 in 100,000 reads did
beside a process that did nothing but write; beside a player that writes each 10 ms that is one in a hundred million.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness import clock

IDLE_W = {
    "sys_total": 25.0,
    "soc_pkg": 17.0,
    "cpu_gpu": 6.0,
    "cpu_p": 0.5,
    "cpu_e": 0.01,
    "vcore": 4.0,
    "dc_input": 26.0,
    "gpu": 5.0,
    "prereg": 8.0,
    "dla": 0.1,
    "pl1": 18.0,
    "pl2": 18.0,
    "syspl1": 26.0,
    "syspl2": 27.0,
}
"""As in the driver's README."""
LIMITS_W = {"pl1": 140.0, "pl2": 142.0, "syspl1": 231.0, "syspl2": 244.0}
COUNTED = {"pkg": "soc_pkg", "cpu_e": "cpu_e", "cpu_p": "cpu_p", "gpu": "gpu"}
"""Energy registers and the rails that they count."""
REGISTER_MJ = 2**32
WIDTH = 19
Course = Callable[[float], Mapping[str, float]]
"""Watts by label at a second; rails that it leaves out stay as they are."""


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, text.encode(), 0)
        if os.fstat(descriptor).st_size != len(text.encode()):
            os.ftruncate(descriptor, len(text.encode()))
    finally:
        os.close(descriptor)


def put_number(path: Path, value: float) -> None:
    put(path, f"{round(value):>{WIDTH}d}\n")


class Spbm:
    def __init__(self, chip: Path, status: Path, watts: Mapping[str, float], counter_mj: int, without: Collection[str]) -> None:
        self.watts = {label: value for label, value in watts.items() if f"{label}.power" not in without}
        self.joules = dict.fromkeys(COUNTED, 0.0)
        """Counted while played, by register."""
        self._start_mj = counter_mj
        self._status = status
        self._files: dict[str, Path] = {}
        put(chip / "name", "spbm\n")
        for place, label in enumerate(watts, 1):
            if label in self.watts:
                put(chip / f"power{place}_label", f"{label}\n")
                self._files[f"{label}.power"] = chip / f"power{place}_input"
            if label in self.watts and label in LIMITS_W:
                self._files[f"{label}.limit"] = chip / f"power{place}_cap"
                put_number(chip / f"power{place}_cap", LIMITS_W[label] * 1e6)
        for place, label in enumerate(COUNTED, 1):
            if f"{label}.energy" not in without:
                put(chip / f"energy{place}_label", f"{label}\n")
                self._files[f"{label}.energy"] = chip / f"energy{place}_input"
                self.count(label, counter_mj)
        put(chip / "temp1_label", "tj_max\n")
        put_number(chip / "temp1_input", 31_000)
        self.status(prochot=0, pl_level=0)
        self.show()

    def show(self, **watts: float) -> None:
        self.watts |= watts
        for label, value in self.watts.items():
            if file := self._files.get(f"{label}.power"):
                put_number(file, round(value * 1e3) * 1000)

    def count(self, label: str, register_mj: int) -> None:
        if file := self._files.get(f"{label}.energy"):
            put_number(file, register_mj % REGISTER_MJ * 1000)

    def limit(self, **watts: float) -> None:
        for label, value in watts.items():
            put_number(self._files[f"{label}.limit"], value * 1e6)

    def status(self, **values: int) -> None:
        for name, value in values.items():
            put_number(self._status / name, value)

    def vanish(self, channel: str) -> None:
        """Such as `gpu.power` or `pkg.energy`. Nothing is left to read in it, for those too who have it open."""
        file = self._files.pop(channel)
        put(file, "")
        file.unlink()

    @contextmanager
    def played(self, course: Course, step_s: float = 0.01) -> Iterator[None]:
        """A thread brings everything up to date each step."""
        over = threading.Event()
        thread = threading.Thread(target=self._play, args=(course, step_s, over), name="spbm")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _play(self, course: Course, step_s: float, over: threading.Event) -> None:
        start = clock.now()
        self.show(**course(0.0))
        before_s, before = 0.0, dict(self.watts)
        while not over.wait(step_s):
            now_s = clock.since(start)
            self.watts |= course(now_s)
            for label, rail in COUNTED.items():
                mean_w = (before.get(rail, 0.0) + self.watts.get(rail, 0.0)) / 2
                self.joules[label] += mean_w * (now_s - before_s)
                self.count(label, self._start_mj + round(self.joules[label] * 1e3))
            self.show()
            before_s, before = now_s, dict(self.watts)


def spbm(
    root: Path,
    *,
    number: int = 5,
    counter_mj: int = 123_456_789,
    without: Collection[str] = (),
    status_at: str | None = None,
    **watts: float,
) -> Spbm:
    """`without`: channels that are not there, such as `dc_input.power`; `counter_mj`: where the energy registers stand, for one that
    wraps soon `REGISTER_MJ - 10_000`; `status_at`: the folder of prochot and pl_level, if not the chip's."""
    chip = root / f"sys/class/hwmon/hwmon{number}"
    return Spbm(chip, root / status_at if status_at else chip, IDLE_W | watts, counter_mj, without)


def decoding(gpu_w: float) -> dict[str, float]:
    """What the other rails draw beside a GPU with so many watts."""
    soc, system = gpu_w + 14, gpu_w + 24
    return {
        "gpu": gpu_w,
        "cpu_gpu": gpu_w + 6,
        "soc_pkg": soc,
        "sys_total": system,
        "dc_input": system + 1,
        "pl1": soc,
        "pl2": soc,
        "syspl1": system + 1,
        "syspl2": system + 1,
    }


def chip(root: Path, number: int, name: str, **files: str | int) -> Path:
    """Any other chip."""
    folder = root / f"sys/class/hwmon/hwmon{number}"
    put(folder / "name", f"{name}\n")
    for file, value in files.items():
        put(folder / file, f"{value}\n")
    return folder


def rapl(root: Path, zone: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> Path:
    """`zone` as in `intel-rapl:0:1`. Gives the file with the energy."""
    folder = root / "sys/class/powercap" / zone
    put(folder / "name", f"{name}\n")
    put_number(folder / "max_energy_range_uj", range_uj)
    put_number(folder / "energy_uj", energy_uj)
    return folder / "energy_uj"


def meminfo(root: Path, available_kib: int, *, total_kib: int = 127_600_748, **more: int) -> None:
    """`more` by the kernel's names, such as `SwapFree` in KiB or `HugePages_Total`."""
    fields = {
        "MemTotal": total_kib,
        "MemFree": available_kib // 2,
        "MemAvailable": available_kib,
        "SwapTotal": 0,
        "SwapFree": 0,
    }
    fields |= {"HugePages_Total": 0, "HugePages_Free": 0, "Hugepagesize": 2048} | more
    lines = (
        f"{name + ':':<16}{value:>12d}{'' if name.startswith('HugePages_') else ' kB'}\n" for name, value in fields.items()
    )
    put(root / "proc/meminfo", "".join(lines))


def vmstat(root: Path, swapped_in: int = 0, swapped_out: int = 0) -> None:
    """Pages. Longer than a page of memory, as the real one is."""
    others = [f"nr_counter_{number:03d} {number:>12d}" for number in range(200)]
    put(root / "proc/vmstat", "\n".join([*others, f"pswpin {swapped_in:>12d}", f"pswpout {swapped_out:>12d}"]) + "\n")


def pressure(root: Path, what: str, some_s: float = 0.0, full_s: float = 0.0, full_avg10: float = 0.0) -> None:
    """`what`: memory, cpu or io; avg10 in percent."""
    lines = (
        f"{who} avg10={avg10:05.2f} avg60=00.00 avg300=00.00 total={round(stalled_s * 1e6):012d}\n"
        for who, stalled_s, avg10 in (("some", some_s, full_avg10), ("full", full_s, full_avg10))
    )
    put(root / "proc/pressure" / what, "".join(lines))


def cpu_time(root: Path, busy_s: int, idle_s: int, load: float = 0.5) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    put(
        root / "proc/stat",
        f"cpu  {busy_s * ticks:>12d} 0 0 {idle_s * ticks:>12d} 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\nintr 0\n",
    )
    put(root / "proc/loadavg", f"{load:07.2f} 0.40 0.30 1/500 4711\n")


def cores(root: Path, *mhz: float, governor: str = "performance") -> None:
    for number, clock_mhz in enumerate(mhz):
        folder = root / f"sys/devices/system/cpu/cpu{number}/cpufreq"
        put_number(folder / "scaling_cur_freq", clock_mhz * 1e3)
        put(folder / "scaling_governor", f"{governor}\n")


def zones(root: Path, *celsius: float) -> None:
    for number, value in enumerate(celsius):
        put_number(root / f"sys/class/thermal/thermal_zone{number}/temp", value * 1e3)


def gb10(root: Path, *, counter_mj: int = 123_456_789, **watts: float) -> Spbm:
    """A healthy one that idles."""
    meminfo(root, 110_000_000, SwapTotal=16_777_212, SwapFree=16_777_212)
    vmstat(root)
    for what in ("memory", "cpu", "io"):
        pressure(root, what)
    cpu_time(root, 1000, 9000)
    cores(root, *[2808.0] * 10, *[3900.0] * 10)
    zones(root, *[38.0] * 7)
    chip = spbm(root, counter_mj=counter_mj)
    chip.show(**watts)
    return chip
