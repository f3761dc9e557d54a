"""The `best` canary of each earlier run, beside the results: `results/.canaries/<recipe>-<key>.jsonl`, a line a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.schema.health import Canary
from harness.schema.plan import Plan
from harness.schema.result import Result
from harness.typed import decoded

FOLDER = ".canaries"
KEPT = 20
"""The newest, which a new run is compared with."""


def earlier(root: Path, plan: Plan, result: Result) -> list[Canary]:
    """Of the same recipe with the same overrides and engine on this machine; a line that cannot be read is none."""
    try:
        lines = _path(root, plan, result).read_bytes().splitlines()
    except OSError:
        return []
    return [canary for line in lines[-KEPT:] for canary in _decoded(line)]


def add(root: Path, plan: Plan, result: Result, canary: Canary) -> None:
    """Raises `StoreError`."""
    path = _path(root, plan, result)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(canary) + b"\n")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", "make the results folder writable") from None


def _decoded(line: bytes) -> list[Canary]:
    """None or one: a machine that went down while it wrote leaves half a line."""
    try:
        return [decoded(line, Canary)]
    except msgspec.MsgspecError:
        return []


def _path(root: Path, plan: Plan, result: Result) -> Path:
    """Drivers, kernels and firmware are not in the key: that they make it slower is what one wants to know."""
    machine, engine = result.machine, result.engine
    gpus = [gpu.uuid or gpu.name for gpu in machine.gpus]
    changed = sorted((name, value) for name, value in plan.overrides.items() if name != "port")
    of_server = (result.recipe_sha256, changed, plan.served_model, engine.name, engine.version)
    said = (*of_server, machine.cpu_model, machine.cpu_count, gpus)
    key = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:12]
    return root / FOLDER / f"{result.recipe_name}-{key}.jsonl"
