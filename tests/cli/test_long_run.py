"""Many requests: figures are then only worked out at a cell's end, whatever ends it, and a run that is looked at meanwhile agrees."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from harness import clock
from harness.measuring import AT_ONCE
from harness.schema.result import Result
from harness.store import folder
from harness.verify import verify
from tests.paced_server import paced

REQUESTS = AT_ONCE * 3 // 5


def test_figures_of_a_long_cell_are_of_its_first_trials_until_it_ends(tmp_path: Path) -> None:
    grid = ("--pp", "64", "--tg", "2", "--concurrency", "32", "--requests", str(REQUESTS), "--runs", "9", "--profile", "quick")
    with paced(ttft_ms=5, tpot_ms=1) as server:
        child = subprocess.Popen(
            [sys.executable, "-m", "harness", "bench", "--url", server.url, *grid], cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        running = _when(tmp_path, child, trials=2)
        copy = Path(shutil.copytree(running, tmp_path / "copy"))
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 130
    meanwhile = folder.read_result(copy)
    assert (meanwhile.state, meanwhile.cells[0].trials) == ("running", 1)
    assert "all agree" in verify(copy)
    ended = folder.read_result(running)
    assert (ended.state, ended.cells[0].trials) == ("interrupted", len(ended.trials))
    assert ended.cells[0].sent >= 2 * REQUESTS
    assert "all agree" in verify(running)


def _when(where: Path, child: subprocess.Popen[bytes], trials: int) -> Path:
    """The run's folder, when so many trials are in its result."""
    while child.poll() is None:
        for path in where.glob("results/[!.]*/*/result.json"):
            found: Result = folder.read_result(path.parent)
            if len(found.trials) == trials:
                return path.parent
        clock.sleep(0.01)
    raise AssertionError(f"it ended with {child.returncode}")
