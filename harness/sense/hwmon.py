"""Power and energy sensors of the kernel (/sys/class/hwmon), above all the rails of a GB10. Nothing is ever written there.

A GB10 shows its rails through the `spbm` driver (antheas/spark_hwmon, out of tree; facts here are of its README and `spbm.c` at 352c76e,
2026-03-02). Channels go by label, since their numbers differ. `pl1` to `syspl2` are what the limits' controllers see: power, smoothed;
the limits themselves are in `power*_cap` (140, 142, 231 and 244 W on a healthy one). Microwatts and microjoules as in the kernel's
"Naming and data format standards for sysfs files".

Not read: `tj_max_c`, whose meaning is disputed (a rise above ambient there, a temperature in other programs).
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from pathlib import Path

from harness.schema.sensors import GPU, HOST, RAIL, SOC, SYSTEM, Absent
from harness.sense.base import OFTEN_S
from harness.sense.files import Counter, FileSource, Question, number, word

SPBM = ("spbm", "dgx_spbm_power")
"""Names of the chip. The second driver took labels and units from the first."""
DEVICE = "sys/bus/*/devices/NVDA8800:*"
SCOPES = {"soc_pkg": SOC, "gpu": GPU}
PARTS = {"pkg": "soc_pkg"}
"""The energy counter of what has another label as a power: one part of a scope has both, since parts are summed."""
RANGE_UJ = 2**32 * 1000
"""The registers have 32 bits of millijoules."""


class Hwmon(FileSource):
    def __init__(self, root: Path = Path("/")) -> None:
        chips = [(chip, word(chip / "name") or chip.name) for chip in sorted(root.glob("sys/class/hwmon/hwmon[0-9]*"))]
        names = [name for _, name in chips]
        questions: list[Question] = []
        for chip, name in chips:
            alike = names.count(name) > 1
            questions += _spbm(root, chip) if name in SPBM else _other(chip, f"{name}_{chip.name}" if alike else name)
        super().__init__("hwmon", OFTEN_S, questions, () if set(SPBM) & set(names) else (_no_spbm(root),))


def _no_spbm(root: Path) -> Absent:
    if any(root.glob(DEVICE)):
        code, text = "no_driver", "this machine's power rails are not read: the spbm driver (antheas/spark_hwmon) is not loaded"
    else:
        code, text = "no_device", "no power rails of a GB10 are read: this machine has no device NVDA8800"
    return Absent(source="hwmon", scope=SYSTEM, code=code, text=text)


def _spbm(root: Path, chip: Path) -> Iterator[Question]:
    powers = dict(_channels(chip, "power"))
    input_says = word(powers["dc_input"]) if "dc_input" in powers else None
    scopes = {**SCOPES, "sys_total" if input_says in (None, "0") else "dc_input": SYSTEM}  # a box that runs draws more than 0 W
    for label, path in powers.items():
        yield number(scopes.get(label, RAIL), f"{label}.power", "W", path, 1e6)
        cap = path.with_name(path.name.replace("_input", "_cap").replace("_average", "_cap"))
        if os.path.exists(cap):  # which raises nothing
            yield number(RAIL, f"{label}.limit", "W", cap, 1e6)
    for label, path in _channels(chip, "energy"):
        part = PARTS.get(label, label)
        yield number(scopes.get(part, RAIL), f"{part}.energy", "J", path, 1e6, Counter(RANGE_UJ))
    for label, path in _channels(chip, "temp"):
        if label == "tj_max":
            yield number(HOST, "spbm.temperature", "°C", path, 1e3)
    places = (chip, chip / "device", *root.glob(DEVICE))
    for name, unit in (("prochot", "flag"), ("pl_level", "level")):
        path = next((place / name for place in places if os.path.exists(place / name)), chip / name)
        yield number(HOST, f"spbm.{name}", unit, path, 1)


def _other(chip: Path, name: str) -> Iterator[Question]:
    """A counter has the width that its own driver gives it, so it is taken as it is."""
    for kind, quantity, unit in (("power", "power", "W"), ("energy", "energy", "J")):
        for label, path in _channels(chip, kind):
            part = re.sub(r"\W+", "_", f"{name}_{label}")
            yield number(RAIL, f"{part}.{quantity}", unit, path, 1e6)


def _channels(chip: Path, kind: str) -> Iterator[tuple[str, Path]]:
    """(label, file) by number; of a power, its average where there is no more."""
    found: dict[int, Path] = {}
    for what in ("input", "average"):
        for path in chip.glob(f"{kind}[0-9]*_{what}"):
            found.setdefault(int(path.name.removeprefix(kind).partition("_")[0]), path)
    for place, path in sorted(found.items()):
        yield word(chip / f"{kind}{place}_label") or f"{kind}{place}", path
