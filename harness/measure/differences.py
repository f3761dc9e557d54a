"""What is not the same in two results: in their environments, and in the conditions of a cell. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.schema.machine import Machine
from harness.schema.plan import Plan
from harness.schema.reproduction import Difference
from harness.schema.result import Result
from harness.schema.workload import Cell, Workload

OF_EACH_RUN = ("port", "url", "host")
"""Settings that differ from run to run and mean nothing."""

AMOUNTS = ("id", "requests", "warmup", "slo")
"""Of a cell: how much of it is measured and what is made of it, not what is asked of the server."""


def unlike(then: tuple[Cell, Workload], now: tuple[Cell, Workload]) -> str | None:
    """What else is asked of the server in two cells; None: the same, but for the seed."""
    (one, before), (two, after) = then, now
    pairs = [(name, getattr(one, name), getattr(two, name)) for name in Cell.__struct_fields__ if name not in AMOUNTS]
    pairs += [(name, getattr(before.sampling, name), getattr(after.sampling, name)) for name in ("temperature", "top_p")]
    said = [f"{name} {was}, and now {is_now}" for name, was, is_now in pairs if was != is_now]
    said += ["another trace"] if before.trace != after.trace else []
    return "; ".join(said) or None


def differences(then: tuple[Result, Plan], now: tuple[Result, Plan]) -> tuple[Difference, ...]:
    """Of machine, engine, model, harness and settings; what neither knows is left out."""
    one, two = (dict(_facts(*each)) for each in (then, now))
    names = dict.fromkeys((*one, *two))
    return tuple(
        Difference(what=name, then=one.get(name, ""), now=two.get(name, ""))
        for name in names
        if one.get(name, "") != two.get(name, "")
    )


def _facts(result: Result, plan: Plan) -> Iterator[tuple[str, str]]:
    """(name, value), in the order in which they matter."""
    yield from ((name, value or "") for name, value in _machine(result.machine))
    launch = plan.launch
    yield "server", "started by the harness" if launch else "ran already"
    yield "engine", f"{result.engine.name} {result.engine.version or '(version not known)'}"
    yield "image", (launch.image if launch else None) or ""
    yield "image's id", result.image.id if result.image else ""
    yield "machines", str(len(plan.nodes) or 1)
    yield "model", result.model
    yield "model revision", plan.model_revision or ""
    yield from ((f"file {file.path}", file.sha256 or f"{file.bytes} bytes") for file in result.model_files)
    yield "harness", result.harness_version
    yield "load driver", plan.driver_host or "beside the server"
    yield "driver's cores", ", ".join(map(str, plan.driver_cpus))
    yield "context limit", str(result.engine.context_limit or "")
    yield from ((f"override {key}", value) for key, value in plan.overrides.items() if key not in OF_EACH_RUN)
    if launch:
        yield from ((f"variable {name}", value) for name, value in launch.env.items())
    for name, value in result.engine.settings.items():
        if name.rpartition(".")[2] not in OF_EACH_RUN:
            yield f"setting {name}", value


def _machine(machine: Machine) -> Iterator[tuple[str, str | None]]:
    yield "machine", machine.product or machine.arch
    yield "GPU", ", ".join(gpu.name for gpu in machine.gpus) or "none by NVIDIA"
    yield "CPU", f"{machine.cpu_model}, {machine.cpu_count} cores"
    yield "memory", f"{machine.memory_bytes / 2**30:.0f} GiB"
    yield "GPU driver", machine.gpu_driver
    yield "CUDA driver", machine.cuda_driver
    yield "kernel", machine.kernel
    yield "system", machine.os
    yield "firmware", machine.firmware
    yield "Docker", machine.docker
