"""Energy counters of x86 processors (RAPL), as the kernel's powercap interface shows them (Documentation/power/powercap). AMD's have the
same names. The same counters once more through memory (`intel-rapl-mmio`) are left out.

Not covered: what a counter includes. Platform energy (`psys`) is what the maker of the mainboard wired to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.schema.sensors import RAIL, SOC, SYSTEM, Absent
from harness.sense.base import OFTEN_S
from harness.sense.files import Counter, FileSource, Question, number, word

FOLDER = "sys/class/powercap"
ALLOW = (
    "only root may read it since 2020 (CVE-2020-8694); until the next boot `sudo chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj` "
    'allows it, for good a udev rule: ACTION=="add", SUBSYSTEM=="powercap", RUN+="/bin/chmod o+r /sys%p/energy_uj"'
)


class Rapl(FileSource):
    def __init__(self, root: Path = Path("/")) -> None:
        zones = list(_zones(root))
        closed = [part for part, _, zone in zones if _is_closed(zone / "energy_uj")]
        absent = []
        if not zones:
            absent.append(Absent(source="rapl", scope=SOC, code="no_device", text=f"/{FOLDER} has no intel-rapl zone"))
        if closed:
            text = f"the energy of {', '.join(closed)} is not read: {ALLOW}"
            absent.append(Absent(source="rapl", scope=SOC, code="no_permission", text=text))
        open_zones = (_question(*zone) for zone in zones if zone[0] not in closed)
        super().__init__("rapl", OFTEN_S, open_zones, absent)


def _zones(root: Path) -> Iterator[tuple[str, str, Path]]:
    """(part, scope, folder). A zone within another one has its number behind the other's: `intel-rapl:0:1`."""
    for zone in sorted((root / FOLDER).glob("intel-rapl:*")):
        _, *place = zone.name.split(":")
        name = word(zone / "name") or zone.name
        if len(place) > 1:
            outer = word(zone.with_name(f"intel-rapl:{place[0]}") / "name") or place[0]
            yield f"{outer}_{name}", RAIL, zone
        else:
            yield name, SOC if name.startswith("package") else SYSTEM if name == "psys" else RAIL, zone


def _question(part: str, scope: str, zone: Path) -> Question:
    most = word(zone / "max_energy_range_uj") or ""
    counter = Counter(int(most)) if most.isdecimal() else None
    return number(scope, f"{part}.energy", "J", zone / "energy_uj", 1e6, counter)


def _is_closed(path: Path) -> bool:
    try:
        path.open("rb").close()
    except PermissionError:
        return True
    except OSError:
        pass
    return False
