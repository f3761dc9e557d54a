"""What this machine can be measured by, and how its GPU does under a short load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from harness import clock
from harness.doctor.patient import Patient
from harness.measure import health
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.schema.health import Reason
from harness.schema.machine import Gpu, Machine
from harness.schema.sensors import GPU, POWER_SCOPES, Absent, Sample
from harness.sense import gpu_load
from harness.sense.base import Source
from harness.sense.sampler import Sampler

QUIET_S, LOAD_S, PATIENCE_S = 1.2, 2.5, 3.0
"""Long enough for sources that are read once a second; for a GPU to reach its clock; for one that does not answer."""
METER = "docs/power.md says how to read the whole machine: {}a smart plug at the wall"
TO_DO = {
    "no_driver": "docs/power.md says which driver it takes",
    "no_permission": "allow it to be read, or go without",
    "unreachable": "look at the meter's address and network",
    "unreadable": "look at what it answers: docs/power.md says what each source reads",
    "clock_off": "give the meter's log an offset: docs/power.md",
    "lost": "look at the kernel's log: sudo dmesg",
}
"""By code: what is absent and need not be."""
CLOCKS = {
    "stuck_low_power": (
        FAIL,
        "shut down, take the power supply from the wall and from the machine for a minute; no reboot clears it",
    ),
    "weak_power_supply": (FAIL, "use the power supply that came with the machine"),
    "locked_clocks": (WARN, "set them free: sudo nvidia-smi -rgc (application clocks: -rac)"),
    "thermal_slowdown": (WARN, "let it cool down, and give its air a way: 5 to 30 °C around it"),
    "hot": (WARN, "let it cool down, and give its air a way: 5 to 30 °C around it"),
    "low_clock": (WARN, "look at it with and without load: harness watch"),
}
"""By reason (docs/gb10.md): how bad it is, and what to do."""


def look(patient: Patient, sources: Sequence[Source], quiet_s: float = QUIET_S) -> Iterator[Check]:
    """Reads everything for a moment, then with the GPUs under load. Closes the sources."""
    gpus = patient.machine.gpus
    with Sampler(sources) as sampler:
        clock.sleep(quiet_s)
        quiet = list(sampler.latest().values())
        unloaded = _load(gpus, {sample.name: sample.value for sample in quiet})
        end = clock.now()
        sampler.wait_past(end)
        samples, absent = sampler.take(), sampler.report().absent
    yield _power(quiet, METER.format("the spbm driver, or " if patient.is_gb10 else ""))
    yield from _sensors(samples, absent, patient.machine)
    if not gpus:
        yield Check("clocks", SKIP, "there is no GPU to put under load")
    readings = health.Readings(samples, 0, end)
    for gpu in gpus:
        yield from _clocks(readings, _name(gpu), patient.machine, unloaded.get(_name(gpu)))
    yield from map(_fault, health.of_supply(readings))  # of the machine, not of each GPU


def _name(gpu: Gpu) -> str:
    """As sources call it."""
    return f"gpu{gpu.index}"


def _load(gpus: Sequence[Gpu], quiet: Mapping[str, float]) -> dict[str, Check]:
    """Puts all GPUs under load at once, for a moment, but for those that somebody else uses: their work would suffer. Says why of those
    that were not under load."""
    unloaded, idle = {}, []
    for gpu in gpus:
        if quiet.get(f"{_name(gpu)}.utilization", 0.0) >= health.BUSY:
            continue  # the load that it has will do
        if processes := quiet.get(f"{_name(gpu)}.processes"):
            text = f"{_name(gpu)}: it has {processes:.0f} compute processes already, so no load was added"
            unloaded[_name(gpu)] = Check("clocks", SKIP, text, "ask again when nothing else uses the GPU")
        else:
            idle.append(gpu)
    if idle:
        busy = partial(gpu_load.busy, LOAD_S, patience_s=PATIENCE_S)
        with ThreadPoolExecutor(len(idle)) as pool:
            for gpu, answer in zip(idle, pool.map(busy, [gpu.uuid for gpu in idle]), strict=True):
                if isinstance(answer, Absent):
                    hangs = answer.code == "unreachable"
                    advice = TO_DO["lost"] if hangs else "`nvidia-smi` shows what the driver knows of it"
                    unloaded[_name(gpu)] = Check("clocks", WARN if hangs else SKIP, f"{_name(gpu)}: {answer.text}", advice)
    return unloaded


def _power(quiet: Iterable[Sample], advice: str) -> Check:
    watts: dict[tuple[str, str], float | None] = {}
    for sample in quiet:
        key = sample.scope, sample.source
        if sample.scope in POWER_SCOPES and sample.name.endswith(".power"):
            watts[key] = (watts.get(key) or 0.0) + sample.value
        elif sample.scope in POWER_SCOPES and sample.name.endswith(".energy"):
            watts.setdefault(key, None)
    if not watts:
        return Check("power", WARN, "nothing gives watts: results will have none", advice)
    known = sorted(watts.items(), key=lambda item: POWER_SCOPES.index(item[0][0]))
    text = "; ".join(
        f"{scope} by {source} ({'its counter' if value is None else f'{value:.1f} W'})" for (scope, source), value in known
    )
    if {scope for scope, _ in watts} == {GPU}:
        return Check("power", WARN, f"{text}, and nothing gives the watts of the whole machine", advice)
    return Check("power", PASS, text)


def _sensors(samples: Sequence[Sample], absent: Sequence[Absent], machine: Machine) -> Iterator[Check]:
    """What a run can read here; one more check for each source and reason that something cannot be read for."""
    said: dict[tuple[str, str], list[str]] = {}
    for each in absent:
        said.setdefault((each.source, each.code), []).append(each.text)
    names = {sample.source: {s.name for s in samples if s.source == sample.source} for sample in samples}
    text = ", ".join(f"{source} ({len(found)})" for source, found in sorted(names.items()))
    if unseen := health.unseen(machine, samples):
        text = f"readings by source: {text}; not seen: {', '.join(unseen)}"
        yield Check("sensors", WARN, text, "until they are read the verdict on the machine's health is unknown: see below")
    else:
        yield Check("sensors", PASS, f"readings by source: {text}")
    for (source, code), texts in said.items():
        status = WARN if code in TO_DO else SKIP
        text = f"{source}: {'; '.join(texts)} ({code})"
        yield Check("not read", status, text, TO_DO.get(code, ""))


def _clocks(readings: health.Readings, gpu: str, machine: Machine, unloaded: Check | None) -> Iterator[Check]:
    faults = [*map(_fault, (*health.of_clocks(readings, gpu, machine), *health.of_heat(readings, gpu)))]
    yield from faults
    clocks = readings.at_load(gpu, "clock")
    if len(clocks) < health.LOADED_READINGS:
        unread = Check("clocks", SKIP, f"{gpu}: its clock under load was not read", "look at what is read of it: harness watch")
        yield unloaded or unread
    elif not faults:
        watts = readings.at_load(gpu, "power")
        drawn = f", with {watts.max():.0f} W at the most" if len(watts) else ""
        yield Check("clocks", PASS, f"{gpu} ran at {clocks.min():.0f} to {clocks.max():.0f} MHz under load{drawn}")


def _fault(reason: Reason) -> Check:
    """What a run says of it, without its advice."""
    status, advice = CLOCKS[reason.code]
    return Check("clocks", status, f"{reason.text.partition(': ')[0]} ({reason.code})", advice)
