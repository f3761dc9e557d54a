"""Docker: whether this user may use it, whether it can hand out the GPU, whether the recipe's image is here."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.doctor.patient import Patient
from harness.errors import MachineError
from harness.launch import container
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.typed import decoded

LIMIT_S = 2.0
TOOLKIT = "install the NVIDIA Container Toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
CDI_SPECS = ("/etc/cdi/*nvidia*", "/var/run/cdi/*nvidia*")
HOOK = "nvidia-container-runtime-hook"


class _Device(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")


class _Info(msgspec.Struct):
    """Of `docker info`, as JSON; an absent list is null."""

    version: str = msgspec.field(name="ServerVersion", default="")
    runtimes: dict[str, object] | None = msgspec.field(name="Runtimes", default=None)
    devices: list[_Device] | None = msgspec.field(name="DiscoveredDevices", default=None)
    """CDI devices that the server found; since Docker 28.2."""
    security: list[str] | None = msgspec.field(name="SecurityOptions", default=None)


def look(patient: Patient) -> Iterator[Check]:
    info, check = _docker(patient)
    yield check
    if info is not None:
        yield from _leftovers(patient)
        yield _runtime(patient, info)
        if patient.recipe is not None and patient.recipe.container is not None:
            yield _image(patient, patient.recipe.container)


def _docker(patient: Patient) -> tuple[_Info | None, Check]:
    """A refusal differs from a server that does not run: each has its own way out."""
    status = patient.lacking("docker")
    if patient.host.run(["sh", "-c", "command -v docker"], timeout_s=LIMIT_S).code != 0:
        return None, Check(
            "docker", status, "it is not installed", "" if status == SKIP else "install Docker: most recipes run in a container"
        )
    asked = patient.host.run(["docker", "info", "--format", "{{json .}}"], timeout_s=LIMIT_S)
    try:
        info = decoded(asked.out, _Info)
    except msgspec.MsgspecError:
        info = _Info()
    if container.ROOTLESS in (info.security or ()):
        return info, Check("docker", status, container.APART, "" if status == SKIP else container.NOT_ROOTLESS)
    if info.version:
        return info, Check("docker", PASS, f"server {info.version} answers this user")
    said = f"{asked.err} {asked.out}"
    if "permission denied" in said:
        advice = "sudo usermod -aG docker $USER, then log in again (members of that group are as mighty as root)"
        return None, Check("docker", status, "it is installed, and does not let this user in", advice)
    why, advice = "no server answers", "start it: sudo systemctl start docker"
    if asked.code is None:
        why, advice = asked.err.strip().partition("\n")[0], "look what holds it up: systemctl status docker"
    return None, Check("docker", status, f"it is installed: {why}", "" if status == SKIP else advice)


def _leftovers(patient: Patient) -> Iterator[Check]:
    for left in container.leftovers(patient.host, LIMIT_S):
        text = f"{left.name} of {left.created} is left of a run that was killed, and may hold memory and a port"
        yield Check("container", WARN, text, f"the next start of a server removes it; at once: docker rm -f {left.name}")


def _runtime(patient: Patient, info: _Info) -> Check:
    """Any of these serves `docker run --gpus`: the toolkit's hook, its runtime, or CDI (moby/moby#50228)."""
    if "nvidia" in (info.runtimes or {}):
        return Check("nvidia runtime", PASS, "Docker knows the runtime `nvidia`")
    if any(device.id.startswith("nvidia.com/gpu") for device in info.devices or ()):
        return Check("nvidia runtime", PASS, "Docker found the GPU by CDI")
    if patient.host.run(["sh", "-c", f"command -v {HOOK}"], timeout_s=LIMIT_S).code == 0:
        return Check("nvidia runtime", PASS, f"{HOOK} is installed")
    if specs := [path for pattern in CDI_SPECS for path in patient.host.glob(pattern)]:
        return Check("nvidia runtime", PASS, f"the GPU is described for CDI in {specs[0]}")
    if not patient.machine.gpus:
        return Check("nvidia runtime", SKIP, "there is no GPU to hand out")
    status = patient.lacking("docker") if patient.lacking("gpu") != SKIP else SKIP
    return Check("nvidia runtime", status, "Docker knows no way to hand a GPU to a container", TOOLKIT)


def _image(patient: Patient, image: str) -> Check:
    if patient.lacking("docker") == SKIP:
        return Check("image", SKIP, "the recipe's image is not used here")
    try:
        found = container.image(patient.host, image, LIMIT_S)
        container.check(found, image, patient.machine.arch)
    except MachineError as error:
        return Check("image", FAIL, error.message, error.hint)
    assert found is not None
    return Check("image", PASS, f"{image} is here: {found.id[:19]}")
