"""The layer table of docs/architecture.md, held against the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "harness"

BASE = {"atomic", "units", "errors", "clock", "comm", "far", "http", "secret", "typed", "__init__"}
STAGES = {
    "recipe",
    "library",
    "launch",
    "hosts",
    "engines",
    "load",
    "sense",
    "probe",
    "weights",
    "measure",
    "store",
    "board",
    "facts",
    "report",
    "share",
}
CONDUCTOR = {
    "advising",
    "article",
    "bench",
    "calibrate",
    "collect",
    "costs",
    "compare",
    "doctor",
    "fits",
    "instruments",
    "measuring",
    "offline",
    "observe",
    "order",
    "overview",
    "pack",
    "recompute",
    "reproduce",
    "session",
    "sharing",
    "site",
    "spending",
    "unpack",
    "verify",
    "whose",
}
ALSO = {  # besides its own folder, the schema and the base
    "recipe": {"engines"},
    "library": {"recipe", "hosts"},
    "launch": {"hosts", "engines"},
    "sense": {"hosts"},
    "probe": {"hosts"},
    "board": {"measure", "facts"},
    "report": {"measure", "board"},
    "store": {"measure"},
    "share": {"store", "recipe", "engines", "report"},
}


def allowed(room: str) -> set[str]:
    if room in BASE:
        return BASE
    if room == "schema":
        return BASE | {"schema"}
    if room in STAGES:
        return BASE | {"schema", room} | ALSO.get(room, set())
    if room in CONDUCTOR:
        return BASE | {"schema"} | STAGES | CONDUCTOR
    if room in {"cli", "__main__"}:
        return BASE | {"schema", "cli"} | STAGES | CONDUCTOR
    raise AssertionError(f"harness/{room} has no place in the layer table")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_follow_the_layers() -> None:
    broken = []
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path)
        for name in imports(path):
            if not name.startswith("harness."):
                continue
            other = name.split(".")[1]
            target = other if (PACKAGE / other).exists() or (PACKAGE / f"{other}.py").exists() else "__init__"
            if target not in allowed(room):
                broken.append(f"{path.relative_to(PACKAGE.parent)} imports {name}")
    assert not broken, "\n".join(broken)


def test_only_clock_reads_the_time() -> None:
    readers = [p.name for p in PACKAGE.rglob("*.py") if any(n == "time" or n.startswith("time.") for n in imports(p))]
    assert readers == ["clock.py"]


def test_nobody_below_the_cli_prints_or_reads_the_environment() -> None:
    children = {
        "collect/__main__.py",
        "load/__main__.py",
        "sense/__main__.py",
        "engines/embedded.py",
        "hosts/there.py",
        "engines/paced/__main__.py",
        "unpack.py",
    }  # programs of their own, with a standard output
    found = []
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE).as_posix()
        if room_of(path) in {"cli", "__main__"} or where in children:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "input", "exit"}:
                found.append(f"{where}:{node.lineno} {node.func.id}()")
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                found.append(f"{where}:{node.lineno} reads the environment")
    assert not found, "\n".join(found)
