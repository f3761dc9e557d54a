"""Whether this machine has what a plan needs, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError, MachineError
from harness.schema.machine import Machine

CPU_RECIPE = "`make bench` runs a recipe for the CPU"
INSTALL = {
    "embedded": "install it: pip install 'spark-harness[cpu]'",
    "vllm": "install it: `make engines`, or `pip install vllm` where `vllm` is on the PATH",
    "sglang": "install it: `make engines`, or `pip install sglang` where `sglang` is on the PATH",
    "llamacpp": "install llama.cpp so that `llama-server` is on the PATH",
}


def check(requires: Sequence[str], machine: Machine, recipe_name: str) -> None:
    """Raises `MachineError` for the first thing that `missing` finds."""
    error = missing(requires, machine, recipe_name)
    if error:
        raise error


def missing(requires: Sequence[str], machine: Machine, recipe_name: str) -> MachineError | None:
    """What a plan requires and this machine lacks, and what to do instead: of several things the GPU, which is
    the hardest to come by, else the first. Ports are looked at on launch."""
    for need in sorted(requires, key=lambda need: need != "gpu"):
        kind, _, what = need.partition(":")
        match kind:
            case "gpu" if not machine.gpus:
                return MachineError(
                    f"{machine.hostname} has no NVIDIA GPU that its driver shows, and {recipe_name} needs one",
                    f"run it on the GB10; here, {CPU_RECIPE}",
                )
            case "docker" if machine.docker is None:
                return MachineError(
                    f"no Docker server answers on {machine.hostname}, and {recipe_name} runs in a container",
                    f"install or start Docker, or let this user in: harness doctor says which; or take a recipe without one: {CPU_RECIPE}",
                )
            case "engine" if what not in machine.engines:
                return MachineError(
                    f"{what} is not installed on {machine.hostname}, and {recipe_name} needs it",
                    INSTALL.get(what, f"install {what}"),
                )
            case "gpu" | "docker" | "engine" | "port":
                continue
            case _:
                raise HarnessError(
                    f"{recipe_name}: the plan requires {need!r}, which nobody can check", "report it: the harness is at fault"
                )
    return None
