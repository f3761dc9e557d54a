"""The GPU and what runs it: driver, kernel, firmware, held against what is known to go wrong on a GB10."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence

import msgspec

from harness.doctor.patient import Patient
from harness.errors import MachineError
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.sense import nvml

DRIVER_LIMIT_S = 10.0
"""A driver that nobody uses may have to bring its GPUs up first, which takes seconds."""
UPDATE = "update by the DGX Dashboard, which brings driver, kernel and firmware that belong together"
OPEN = "install the -open flavour: `ubuntu-drivers list` shows it, or " + UPDATE


class Bad(msgspec.Struct, frozen=True):
    pattern: str
    """A regular expression that its version begins with."""
    status: str
    says: str
    """What happens, and who says so."""
    advice: str = UPDATE


DRIVERS = (Bad(r"590\.", WARN, "CUDA graphs were reported to deadlock with 590.x (conselara.dev, 2026)"),)
KERNELS = (
    Bad(
        r"7\.0\.0-1019\b",
        FAIL,
        "with it running out of memory hung the machine at every start (NVIDIA/open-gpu-kernel-modules#1358, 2026-09)",
        "boot a kernel of the 6.17 line, 6.17.0-1029 or newer, from the advanced options of the boot menu",
    ),
    Bad(r"6\.17\.0-1008\b", WARN, "panics were reported with it (forums.developer.nvidia.com/t/366026, 2026-02)"),
)
FIRMWARE = (
    Bad(
        r"5\.36_0ACUM018\b",
        WARN,
        "machines with it had the slow state that nvidia-smi does not show, eight with 5.36_0ACUM027 did not "
        "(tonyd2wild/DeepSeek-V4.1-Flash-vLLM-DGX-Spark#1, 2026-09)",
    ),
)


def require_answer(limit_s: float = DRIVER_LIMIT_S) -> None:
    """Asks NVIDIA's driver, where there is one, all that a run asks it. Raises `MachineError` where it hangs: it would hold up everything
    else, for ever."""

    def ask() -> None:
        for source in nvml.sources():
            source.close()

    asking = threading.Thread(target=ask, name="driver", daemon=True)
    asking.start()
    asking.join(limit_s)
    if asking.is_alive():
        raise MachineError(
            f"NVIDIA's driver has not answered for {limit_s:g} s, and so nothing else was looked at",
            "`sudo dmesg | grep -i nvrm` may say why; a driver that hangs takes a restart of the machine",
        )


def look(patient: Patient) -> Iterator[Check]:
    yield _gpu(patient)
    yield _driver(patient)
    yield _judged(patient, "kernel", patient.machine.kernel, KERNELS)
    if patient.machine.firmware is None:
        yield Check("firmware", SKIP, "the machine does not tell its firmware's version", "read it in the machine's setup")
    else:
        yield _judged(patient, "firmware", patient.machine.firmware, FIRMWARE)


def _gpu(patient: Patient) -> Check:
    gpus = patient.machine.gpus
    if gpus:
        product = f", in {patient.machine.product}" if patient.machine.product else ""
        names = (f"{gpu.name}{f' ({gpu.compute_capability})' if gpu.compute_capability else ''}" for gpu in gpus)
        return Check("gpu", PASS, f"{', '.join(names)}{product}")
    if patient.nvidia_devices():
        text = "an NVIDIA GPU is on the PCI bus, and the driver does not show it"
        return Check("gpu", FAIL, text, "`nvidia-smi` says why; `sudo dmesg | grep -i nvrm` says more")
    status = patient.lacking("gpu")
    if status == SKIP:
        return Check("gpu", SKIP, "there is no NVIDIA GPU, and the recipe needs none")
    return Check("gpu", status, "there is no NVIDIA GPU", "run it on the GB10; here, only recipes for the CPU can run")


def _driver(patient: Patient) -> Check:
    """NVIDIA's own kernel module says its flavour (Start9Labs/start-os#3693, 2026-08-14: the proprietary 580.173.02 does not bring up
    a GB10: Xid 169, RmInitAdapter failed)."""
    module = patient.text("/proc/driver/nvidia/version")
    found = re.search(r"\d{3,}\.\d+(?:\.\d+)?", module or "")
    version = patient.machine.gpu_driver or (found[0] if found else None)
    if version is None:
        return Check("driver", SKIP, "no NVIDIA driver is loaded")
    flavour = "" if module is None else " (open)" if "Open Kernel Module" in module else " (proprietary)"
    if patient.is_gb10 and flavour == " (proprietary)":
        text = f"{version} is the proprietary flavour, which does not bring up a GB10 (Start9Labs/start-os#3693, 2026-08)"
        return Check("driver", FAIL, text, OPEN)
    return _judged(patient, "driver", version, DRIVERS, flavour)


def _judged(patient: Patient, name: str, version: str, table: Sequence[Bad], more: str = "") -> Check:
    for bad in table if patient.is_gb10 else ():
        if re.match(bad.pattern, version):
            return Check(name, bad.status, f"{version}: {bad.says}", bad.advice)
    known = "nothing is known against it on a GB10" if patient.is_gb10 else "known faults are listed for GB10 only"
    return Check(name, PASS, f"{version}{more}: {known}")
