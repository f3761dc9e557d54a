"""The load client's own error bars: measured, stored, cited by results of the same machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.calibrate import compare
from harness.engines.paced.server import Truth
from harness.errors import EngineError
from harness.schema.calibration import Calibration
from harness.schema.machine import Machine
from harness.store import calibrations, folder
from tests.measure.streams import CLIENT, MS, even, failed
from tests.paced_server import paced


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


def true(received_ms: float, ttft_ms: float = 98.0, step_ms: float = 10.0) -> Truth:
    first = received_ms + ttft_ms
    return Truth(
        t_received_ns=round(received_ms * MS),
        t_first_ns=round(first * MS),
        t_last_ns=round((first + 7 * step_ms) * MS),
        tokens=8,
        first_tokens=1,
        prompt_tokens=5,
    )


def test_each_request_is_held_against_its_own_truth() -> None:
    records = [even(100, ttft=101, index=1), even(0, index=0)]
    found = compare("c2", records, [true(0.1, step_ms=10.1), true(100.1)], CLIENT)
    assert (found.requests, found.lost) == (2, 0)
    assert found.ttft_ms == 98
    assert found.ttft_error_p50_ms == pytest.approx(2.5)  # 2 and 3
    assert found.ttft_error_p99_ms == pytest.approx(3)
    assert found.decode_error == pytest.approx(0.005)  # 1 % and none
    assert found.cpu_us_per_token == pytest.approx(CLIENT.cpu_s * 1e6 / 16)


def test_lost_requests_are_counted_or_refused() -> None:
    found = compare("c2", [even(0), failed(100, 50, index=1)], [true(0.1), true(100.1)], CLIENT)
    assert found.lost == 1
    with pytest.raises(EngineError, match="of 1 requests 1 were answered, and 0 are in the server's log"):
        compare("c1", [even(0)], [], CLIENT)


@pytest.mark.quiet
def test_a_result_cites_the_newest_calibration_of_its_machine(tmp_path: Path) -> None:
    said = harness(tmp_path, "calibrate", "--concurrency", "2", "--pin", "0")
    assert said.returncode == 0, said.stderr
    assert "c2" in said.stdout
    (path,) = (tmp_path / "results" / calibrations.FOLDER).iterdir()
    made = msgspec.json.decode(path.read_bytes(), type=Calibration)
    assert made.driver_cpus == (0,)
    (point,) = made.points
    assert (point.load, point.lost) == ("c2", 0)
    assert point.ttft_ms == pytest.approx(50, abs=10)
    assert abs(point.decode_error) < 0.01
    other = msgspec.structs.replace(made, cpu_model="another", when="2100-01-01T00:00:00+00:00")
    calibrations.save(tmp_path / "results", other)
    with paced(ttft_ms=5, tpot_ms=1) as server:
        words = ("--pp", "64", "--tg", "4", "--concurrency", "1", "--requests", "2", "--runs", "1", "--profile", "quick")
        bench = harness(tmp_path, "bench", "--url", server.url, *words)
    (result,) = tmp_path.glob("results/*/*/result.json")
    assert folder.read_result(result.parent).calibration == made
    assert f"calibrated {made.when[:10]}" in bench.stdout
    listed = harness(tmp_path, "results", "list")
    assert len([line for line in listed.stdout.splitlines() if "127.0.0.1" in line]) == 1


def test_of_another_machine_none_is_taken(tmp_path: Path) -> None:
    machine = Machine(
        hostname="h", os="o", kernel="k", arch="a", cpu_model="c", cpu_count=2, memory_bytes=1
    )  # fmt: skip
    assert calibrations.newest(tmp_path, machine) is None
    made = Calibration(
        when="2026-11-23T10:00:00+00:00", harness_version="0", cpu_model="c", cpu_count=2, kernel="k", driver_cpus=(), points=()
    )
    calibrations.save(tmp_path, made)
    (tmp_path / calibrations.FOLDER / "29990101T000000Z.json").write_text("broken")
    assert calibrations.newest(tmp_path, machine) == made
    assert calibrations.newest(tmp_path, msgspec.structs.replace(machine, kernel="other")) is None


def test_cores_that_are_not_there(tmp_path: Path) -> None:
    said = harness(tmp_path, "plan", "--pin", "0,999")
    assert said.returncode == 2
    assert "--pin 0,999: this process may use cores 0" in said.stderr
