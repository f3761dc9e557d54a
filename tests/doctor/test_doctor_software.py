from __future__ import annotations

from pathlib import Path

import pytest

from harness.doctor import software
from tests.doctor.patients import IN_DOCKER, PACED, by_name, machine, patient

VERSION = "/proc/driver/nvidia/version"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  Release Build  (dvs-builder)\n"
CLOSED = "NVRM version: NVIDIA UNIX aarch64 Kernel Module  580.173.02  Thu Jul  9 12:00:00 UTC 2026\n"
PCI = {
    "/sys/bus/pci/devices/000f:01:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/000f:01:00.0/device": "0x2e12\n",
    "/sys/bus/pci/devices/000f:01:00.0/class": "0x030200\n",
}


def test_a_sound_gb10(tmp_path: Path) -> None:
    found = by_name(software.look(patient(tmp_path, files={VERSION: OPEN}, of=machine(firmware="5.36_0ACUM027"))))
    assert {name: check.status for name, check in found.items()} == dict.fromkeys(
        ("gpu", "driver", "kernel", "firmware"), "pass"
    )
    assert "NVIDIA GB10 (12.1)" in found["gpu"].text
    assert "580.173.02 (open)" in found["driver"].text


@pytest.mark.parametrize(
    ("field", "version", "name", "status"),
    [
        ("gpu_driver", "590.48.01", "driver", "warn"),
        ("gpu_driver", "580.142", "driver", "pass"),
        ("kernel", "7.0.0-1019-nvidia", "kernel", "fail"),
        ("kernel", "6.17.0-1008-nvidia", "kernel", "warn"),
        ("kernel", "6.17.0-10080-nvidia", "kernel", "pass"),
        ("firmware", "5.36_0ACUM018", "firmware", "warn"),
    ],
)
def test_versions_known_to_be_bad(tmp_path: Path, field: str, version: str, name: str, status: str) -> None:
    found = by_name(software.look(patient(tmp_path, of=machine(fields={field: version}))))[name]
    assert (found.status, version in found.text) == (status, True)
    assert bool(found.advice) == (status in ("warn", "fail"))
    elsewhere = by_name(software.look(patient(tmp_path, of=machine((), {field: version}))))[name]
    assert elsewhere.status in ("pass", "skip")


def test_the_proprietary_driver_leaves_a_gb10_dark(tmp_path: Path) -> None:
    """Nothing of it is in NVML then: the PCI bus and the kernel's module tell."""
    found = by_name(software.look(patient(tmp_path, files=PCI | {VERSION: CLOSED}, of=machine(()))))
    assert found["gpu"].status == "fail"
    assert (found["driver"].status, "580.173.02" in found["driver"].text) == ("fail", True)
    assert "-open" in found["driver"].advice


def test_the_proprietary_driver_serves_other_gpus(tmp_path: Path) -> None:
    other = PCI | {"/sys/bus/pci/devices/000f:01:00.0/device": "0x2684\n", VERSION: CLOSED}
    assert by_name(software.look(patient(tmp_path, files=other, of=machine(()))))["driver"].status == "pass"


def test_nvidias_network_adapters_are_no_gpus(tmp_path: Path) -> None:
    network = PCI | {"/sys/bus/pci/devices/000f:01:00.0/class": "0x020000\n"}
    assert by_name(software.look(patient(tmp_path, files=network, of=machine(()))))["gpu"].status == "warn"


@pytest.mark.parametrize(("recipe", "status"), [(None, "warn"), (PACED, "skip"), (IN_DOCKER, "fail")])
def test_how_bad_it_is_to_have_no_gpu_depends_on_the_recipe(tmp_path: Path, recipe: str | None, status: str) -> None:
    found = by_name(software.look(patient(tmp_path, recipe, of=machine(()))))
    assert found["gpu"].status == status
    assert bool(found["gpu"].advice) == (status != "skip")
