"""The driver on another host, over a real sshd on loopback: the same records come back, on our clock."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import pytest

from harness import clock
from harness.errors import MachineError, UsageError
from harness.hosts.local import LocalHost, free_port
from harness.load import drive, far
from harness.measure.latency import timing
from harness.schema.job import Progress
from harness.store import folder
from tests.driving import job
from tests.paced_server import paced

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(not (SSHD and shutil.which("ssh")), reason="needs OpenSSH's sshd and ssh")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """In which `ssh far` reaches an sshd of our own, as a user's config would."""
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    server = tmp_path / "sshd_config"
    server.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        f"PidFile {tmp_path}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSetEnv PYTHONPATH={Path.cwd()}\n"
    )
    client = tmp_path / "ssh_config"
    client.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {tmp_path}/user\n"
        f"  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile {tmp_path}/known\n  LogLevel ERROR\n"
    )
    with_config = tmp_path / "bin" / "ssh"
    with_config.parent.mkdir()
    with_config.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {client} "$@"\n')
    with_config.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd will not start without
    child = subprocess.Popen([str(SSHD), "-D", "-e", "-f", server], stderr=subprocess.DEVNULL)
    began = clock.now()
    while LocalHost().port_free("127.0.0.1", port) and clock.since(began) < 10:
        clock.sleep(0.05)
    yield {**os.environ, "PATH": f"{with_config.parent}:{os.environ['PATH']}"}
    child.terminate()
    child.wait()


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
    found = far.begin(child, far.Order(job(1), None), "far", "python3")
    child.communicate()
    assert isinstance(found, far.Offset)
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
    assert done.returncode == 0, done.stdout + done.stderr
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
