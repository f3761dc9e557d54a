"""What is around the server: links to other machines, the time, and who kills whom when memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from harness.doctor.patient import Patient
from harness.launch import oom
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check

FAST_MBIT_S = 100_000
"""Each of the two halves of a GB10's QSFP port (NVIDIA/dgx-spark-playbooks, connect-two-sparks, 2026-07-21)."""
TIME_LIMIT_S = 1.0


def look(patient: Patient) -> Iterator[Check]:
    yield _network(patient)
    yield _time(patient)
    warning = oom.earlyoom_warning(patient.host)
    if warning is None:
        yield Check("earlyoom", PASS, "none runs that would rather kill the harness than other programs")
    else:
        yield Check("earlyoom", WARN, *warning)


def _network(patient: Patient) -> Check:
    nodes = patient.recipe.min_nodes if patient.recipe else 1
    up = [name for name, speed, state in _links(patient) if state == "up" and speed >= FAST_MBIT_S]
    if nodes > 1 and not up:
        text = f"the recipe needs {nodes} machines, and no link of 100 Gb/s or more is up"
        return Check("network", FAIL, text, "connect the machines' QSFP ports, and give both halves of a port an address")
    if nodes > 1 and len(up) == 1:
        text = f"only {up[0]} is up: one half of a QSFP port, 100 of its 200 Gb/s"
        return Check("network", WARN, text, "give its other half an address too, in another subnet")
    if up:
        return Check("network", PASS, f"links of 100 Gb/s or more are up: {', '.join(up)}")
    return Check("network", SKIP, "no link of 100 Gb/s or more is up")


def _links(patient: Patient) -> Iterator[tuple[str, int, str]]:
    """(name, Mb/s, state). The kernel tells no speed of a link that is down."""
    for path in patient.host.glob("/sys/class/net/*/operstate"):
        folder = PurePosixPath(path).parent
        speed = patient.text(f"{folder}/speed") or ""
        yield folder.name, int(speed) if speed.isdecimal() else 0, patient.text(path) or ""


def _time(patient: Patient) -> Check:
    asked = patient.host.run(["timedatectl", "show", "-p", "NTPSynchronized"], timeout_s=TIME_LIMIT_S)
    match asked.out.strip():
        case "NTPSynchronized=yes":
            return Check("time", PASS, "the clock is synchronised")
        case "NTPSynchronized=no":
            text = "the clock is not synchronised: dates of results, and a meter's log, may be off"
            return Check("time", WARN, text, "sudo timedatectl set-ntp true")
        case _:
            return Check(
                "time", SKIP, "whether the clock is synchronised is not known: timedatectl does not say", "look: date -u"
            )
