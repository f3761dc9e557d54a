"""What is looked at: a machine, and a recipe that is to run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError
from harness.hosts.base import Host
from harness.recipe.resolve import GridOverrides, resolve
from harness.schema.doctor import FAIL, SKIP, WARN
from harness.schema.machine import Machine
from harness.schema.plan import Plan
from harness.schema.recipe import Recipe

GB10 = "NVIDIA GB10"
GB10_PCI = "0x2e12"
"""NVIDIA's device number of it (AlexsJones/llmfit, hardware.rs, 2026-08-22)."""
NVIDIA_PCI = "0x10de"


class Patient:
    """`plan` is None where there is no recipe, or none of its plans can run here: `refusal` then says why."""

    def __init__(
        self,
        host: Host,
        machine: Machine,
        recipe: Recipe | None = None,
        *,
        results: Path,
        system_root: Path = Path("/"),
        cache: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`cache` and `say` are those of `harness.launch.flags`."""
        self.host, self.machine, self.recipe = host, machine, recipe
        self.cache, self.say = cache, say
        self.results, self.system_root = results, system_root
        self.plan: Plan | None = None
        self.refusal: HarnessError | None = None
        if recipe is not None:
            try:
                self.plan = self.plan_with()
            except HarnessError as error:
                self.refusal = error

    def plan_with(self, **overrides: str) -> Plan:
        """Raises `RecipeError`."""
        assert self.recipe is not None
        return resolve(self.recipe, self.machine, overrides=overrides, profile=None, grid=GridOverrides(), seed=0, url=None)

    def lacking(self, need: str) -> str:
        """How much it matters that the machine lacks what a plan may require."""
        if self.plan is None:
            return WARN
        return FAIL if need in self.plan.requires else SKIP

    def text(self, path: str) -> str | None:
        data = self.host.read(path)
        return data.decode("utf-8", "replace").strip("\0\n ") if data else None

    def nvidia_devices(self) -> set[str]:
        """Display controllers and accelerators of NVIDIA's on the PCI bus, by device number, whether a driver knows them or not."""
        folders = [path.removesuffix("/vendor") for path in self.host.glob("/sys/bus/pci/devices/*/vendor")]
        ours = (folder for folder in folders if self.text(f"{folder}/vendor") == NVIDIA_PCI)
        return {
            self.text(f"{folder}/device") or "" for folder in ours if (self.text(f"{folder}/class") or "").startswith("0x03")
        }

    @property
    def is_gb10(self) -> bool:
        return any(gpu.name == GB10 for gpu in self.machine.gpus) or GB10_PCI in self.nvidia_devices()
