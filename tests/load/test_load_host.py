"""The driver on another host, over a real sshd on loopback: the same records come back, on our clock."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import psutil
import pytest

from harness import clock
from harness.comm import DRIVER
from harness.errors import InvalidResult, MachineError, UsageError
from harness.far import LEASE_S, Offset, begin
from harness.load import drive, far
from harness.measure.latency import timing
from harness.schema.job import Progress
from harness.store import folder
from tests.driving import job
from tests.far_host import CAN_SSH, far_host
from tests.paced_server import paced

pytestmark = pytest.mark.skipif(not CAN_SSH, reason="needs OpenSSH's sshd and ssh")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with far_host(tmp_path) as environment:
        yield environment


@pytest.mark.quiet
def test_the_same_records_come_back_on_our_clock(tmp_path: Path, environment: dict[str, str]) -> None:
    seen: list[Progress] = []
    with paced(ttft_ms=40, tpot_ms=10, api_key="s3cret") as server:
        what = job(server.port, 12, tokens=8, concurrency=4)
        out = tmp_path / "records.raw"
        began = clock.now()
        report = drive.drive_from("far", sys.executable, what, out, seen.append, environment=environment, api_key="s3cret")
        ended = clock.now()
        truth = sorted(server.truth(), key=lambda one: one.prompt_tokens)
    records = drive.read_records(out)
    assert [record.error for record in records] == [None] * 12
    assert [record.index for record in records] == list(range(12))
    assert seen[-1].done == 12
    assert report.host == "far"
    assert 0 < report.clock_error_ns < 50_000_000
    assert all(began < record.t_send_ns < record.t_end_ns < ended + report.clock_error_ns for record in records)
    late = [
        (timing(record).ttft_ns or 0) - ((true.t_first_ns or 0) - true.t_received_ns)
        for record, true in zip(records, truth, strict=True)
    ]
    assert median(map(abs, late)) < 5_000_000
    sent = [abs(record.t_send_ns - true.t_received_ns) for record, true in zip(records, truth, strict=True)]
    assert median(sent) < report.clock_error_ns + 5_000_000, "one machine has one clock, so nothing was to be moved"


@pytest.mark.machines
def test_it_goes_on_while_we_are_there(tmp_path: Path, environment: dict[str, str]) -> None:
    """Longer than it would wait in silence."""
    with paced(ttft_ms=10, tpot_ms=100) as server:
        what, out = job(server.port, 1, tokens=round((LEASE_S + 3) * 10), concurrency=1), tmp_path / "records.raw"
        drive.drive_from("far", sys.executable, what, out, lambda _: None, environment=environment, api_key=None)
    assert [record.error for record in drive.read_records(out)] == [None]


def test_when_we_are_interrupted_the_driver_there_ends(tmp_path: Path, environment: dict[str, str]) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.sent:
            raise KeyboardInterrupt

    with paced(ttft_ms=10, tpot_ms=50) as server:
        what = job(server.port, 2, tokens=100_000, concurrency=2)
        with pytest.raises(KeyboardInterrupt):
            drive.drive_from(
                "far", sys.executable, what, tmp_path / "records", interrupt, environment=environment, api_key=None
            )
        began = clock.now()
        while len(server.truth()) < 2 and clock.since(began) < 10:  # the server sees that both have hung up
            clock.sleep(0.1)
        assert len(server.truth()) == 2


def test_one_that_hangs_is_given_up(tmp_path: Path, environment: dict[str, str]) -> None:
    """Its connection stands, so nothing else would tell."""

    def freeze(progress: Progress) -> None:
        for process in psutil.process_iter(["name", "environ"]):
            if process.info["name"] == DRIVER and (process.info["environ"] or {}).get("FAR_HOST") == str(tmp_path):
                process.send_signal(signal.SIGSTOP)
                frozen.append(process)

    frozen: list[psutil.Process] = []
    with paced(ttft_ms=10, tpot_ms=50) as server:
        what, out = job(server.port, 2, tokens=100_000, concurrency=2), tmp_path / "records"
        try:
            with pytest.raises(MachineError, match="the load driver on far hangs: nothing was heard of it for 2 s"):
                drive.drive_from("far", sys.executable, what, out, freeze, environment=environment, api_key=None, silence_s=2)
        finally:
            for process in frozen:
                process.send_signal(signal.SIGCONT)
        assert psutil.wait_procs(frozen, timeout=10)[1] == [], "it ends as soon as it can"


@pytest.mark.parametrize(("host", "python"), [("far", "no-such-python"), ("nowhere.invalid", sys.executable)])
def test_a_host_that_cannot_be_used_is_named(tmp_path: Path, environment: dict[str, str], host: str, python: str) -> None:
    with pytest.raises(MachineError) as caught:
        drive.drive_from(host, python, job(1), tmp_path / "records", lambda _: None, environment=environment, api_key=None)
    assert f"does not answer on {host}" in caught.value.message
    assert "--load-python" in caught.value.hint


def test_clocks_that_differ_are_compared(tmp_path: Path) -> None:
    """Another host's clock may be anywhere: here a program that answers with ours, moved by an hour."""
    code = (
        "import sys, time, json\n"
        "while (line := sys.stdin.readline()) == '?\\n':\n"
        "    print(json.dumps({'t_ns': time.monotonic_ns() + 3_600_000_000_000}), flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = begin(child, far.Order(job(1), None))
    child.communicate()
    assert isinstance(found, Offset)
    assert abs(found.offset_ns - 3_600_000_000_000) <= found.error_ns


def test_the_whole_command(tmp_path: Path, environment: dict[str, str]) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "harness.engines.paced", "--host", "127.0.0.2", "--ttft-ms", "20"], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = msgspec.json.decode(server.stdout.readline())["url"]
        words = ("--pp", "64", "--tg", "8", "--concurrency", "2", "--requests", "4", "--runs", "1", "--profile", "quick")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "harness",
                "bench",
                "--url",
                url,
                "--load-host",
                "far",
                "--load-python",
                sys.executable,
                *words,
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.terminate()
        server.communicate()
    assert done.returncode in (0, InvalidResult.exit_code), done.stdout + done.stderr  # a busy machine may send late
    (path,) = tmp_path.glob("results/*/*/result.json")
    result = folder.read_result(path.parent)
    assert {trial.client.host for trial in result.trials} == {"far"}
    assert result.cells[0].valid == 4
    assert "Client   ran on far" in done.stdout


def test_a_server_on_loopback_cannot_be_reached_from_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "plan", "--load-host", "far"], capture_output=True, text=True, check=False
    )
    assert done.returncode == UsageError.exit_code
    assert "listens on 127.0.0.1, which that host cannot reach" in done.stderr
