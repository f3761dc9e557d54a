"""Machines for tests of single checks: files and commands in place of real ones, at the host's edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from harness.doctor import Patient
from harness.hosts.base import Ran
from harness.hosts.local import LocalHost
from harness.recipe import load
from harness.schema.doctor import Check
from harness.schema.machine import Gpu, Machine

GB10 = Gpu(index=0, name="NVIDIA GB10", uuid="GPU-1", compute_capability="12.1")
GIB = 2**30

PACED = """
recipe_version: "2"
name: paced
model: none
runtime: vllm
max_nodes: 1
harness: {engine: paced}
defaults: {port: 18123}
command: paced --port {port}
"""
IN_DOCKER = """
recipe_version: "2"
name: in-docker
model: org/model
runtime: vllm
container: org/image:2026-01-01
max_nodes: 1
metadata: {model_params: 30B, model_dtype: bfloat16}
command: vllm serve {model} --port 18123
"""


class Elsewhere(LocalHost):
    """Answers to a command go by how its words begin; a machine without an answer does not have the command."""

    def __init__(self, files: Mapping[str, str] | None = None, commands: Mapping[str, Ran] | None = None) -> None:
        super().__init__()
        self._files, self._commands = files or {}, commands or {}

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        text = self._files.get(path)
        return super().read(path, limit) if text is None and path.startswith("/tmp") else (text or "").encode()[:limit] or None

    def glob(self, pattern: str) -> tuple[str, ...]:
        system = pattern.startswith(("/sys", "/proc", "/etc", "/var/run"))
        return tuple(path for path in self._files if fnmatch(path, pattern)) if system else super().glob(pattern)

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Ran:
        words = " ".join(argv)
        missing = Ran(127 if argv[0] == "sh" else None, "", f"{argv[0]}: No such file or directory")
        return next((ran for start, ran in self._commands.items() if words.startswith(start)), missing)


def machine(gpus: Sequence[Gpu] = (GB10,), fields: Mapping[str, object] | None = None, **more: object) -> Machine:
    """`fields` and `more` in place of what a GB10 has."""
    base: dict[str, object] = {
        "hostname": "box",
        "os": "Ubuntu 24.04",
        "kernel": "6.17.0-1032-nvidia",
        "arch": "aarch64",
        "cpu_model": "Cortex-X925",
        "cpu_count": 20,
        "memory_bytes": 121 * GIB,
        "gpu_driver": "580.173.02" if gpus else None,
        "home": "/home/somebody",
    }
    return Machine(gpus=tuple(gpus), **(base | dict(fields or {}) | more))  # type: ignore[arg-type]


def patient(
    folder: Path,
    recipe: str | None = None,
    *,
    files: Mapping[str, str] | None = None,
    commands: Mapping[str, Ran] | None = None,
    of: Machine | None = None,
    available_bytes: int | None = 100 * GIB,
) -> Patient:
    root = folder / "root"
    (root / "proc").mkdir(parents=True, exist_ok=True)
    if available_bytes is not None:
        (root / "proc/meminfo").write_text(f"MemAvailable: {available_bytes // 1024} kB\n")
    chosen = load.loads(recipe, "recipe.yaml") if recipe else None
    return Patient(Elsewhere(files, commands), of or machine(), chosen, results=folder / "results", system_root=root)


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    """Of checks of one name the worst."""
    order = ("fail", "warn", "skip", "pass")
    return {check.name: check for check in sorted(checks, key=lambda check: -order.index(check.status))}
