"""A server that dies in the middle of a trial: what it had sent is kept, and the run ends with a reason."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from harness.errors import EngineError
from harness.store import folder
from tests.paced_server import paced


def test_the_trial_in_which_the_server_died_is_kept(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=20) as server:
        words = ("--pp", "64", "--tg", "64", "--concurrency", "1", "--requests", "20", "--runs", "2", "--profile", "quick")
        child = subprocess.Popen(
            [sys.executable, "-m", "harness", "bench", "--url", server.url, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while len(server.truth()) < 9 and time.monotonic() < deadline:  # two probes, up to three canaries, then the trial
            time.sleep(0.05)
        for process in psutil.process_iter(["cmdline"]):
            if str(server.log) in (process.info["cmdline"] or []):
                process.kill()
        out, err = child.communicate(timeout=60)
    assert child.returncode == EngineError.exit_code, out + err
    assert "Traceback" not in err
    (path,) = tmp_path.glob("results/[!.]*/*")
    stored = folder.read(path)
    assert stored.result.state == "failed"
    errors = [record.error for record in stored.records[0]]
    assert errors.count(None) >= 2
    assert len(errors) >= 22, "20 measured, and the warm-up"
    assert {"reset", "truncated", "connect"} & set(errors)
