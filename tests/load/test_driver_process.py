"""The driver as the process that it is: progress, report, keys, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.load import drive
from harness.schema.job import Ask, Progress, Stage
from tests.driving import body, job
from tests.paced_server import paced


def test_progress_report_and_records(tmp_path: Path) -> None:
    seen: list[Progress] = []
    out = tmp_path / "records.jsonl"
    with paced(ttft_ms=10, tpot_ms=10) as server:
        what = job(server.port, 12, tokens=40, concurrency=4)
        report = drive.drive(what, out, seen.append, environment=os.environ, api_key=None)
    records = drive.read_records(out)
    assert [record.index for record in records] == list(range(12))
    assert [record.error for record in records] == [None] * 12
    assert (seen[-1].done, seen[-1].sent, seen[-1].total, seen[-1].in_flight) == (12, 12, 12, 0)
    assert seen[-1].bytes_in == sum(record.bytes_in for record in records)
    assert len(seen) >= 3
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert report.peak_in_flight == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.jsonl"], "the job stays behind"


def test_stages_drain_between_each_other(tmp_path: Path) -> None:
    asks = tuple(Ask(phase, body(1, 4)) for phase in ("prime", "prime", "measure", "measure", "measure"))
    with paced(ttft_ms=20, tpot_ms=2) as server:
        what = msgspec.structs.replace(job(server.port), stages=(Stage(2, asks[:2]), Stage(3, asks[2:])))
        drive.drive(what, tmp_path / "records", lambda _: None, environment=os.environ, api_key=None)
    records = drive.read_records(tmp_path / "records")
    assert [record.phase for record in records] == ["prime", "prime", "measure", "measure", "measure"]
    assert max(record.t_end_ns for record in records[:2]) <= min(record.t_send_ns for record in records[2:])


def test_the_key_is_sent_and_is_in_no_file(tmp_path: Path) -> None:
    with paced(ttft_ms=5, tpot_ms=1, api_key="s3cret") as server:
        for key, error in (("s3cret", None), ("other", "http_401"), (None, "http_401")):
            out = tmp_path / f"{key}.records"
            drive.drive(job(server.port), out, lambda _: None, environment=os.environ, api_key=key)
            (record,) = drive.read_records(out)
            assert record.error == error
            assert key is None or key not in out.read_text()


def test_an_exception_of_the_caller_ends_the_driver_and_keeps_what_there_is(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    out = tmp_path / "records"
    with paced(ttft_ms=10, tpot_ms=10) as server:
        quick = Ask("measure", body(1, 1))
        slow = Ask("measure", body(2, 100_000))
        what = msgspec.structs.replace(job(server.port), stages=(Stage(2, (quick, slow, slow)),))
        with pytest.raises(KeyboardInterrupt):
            drive.drive(what, out, interrupt, environment=os.environ, api_key=None)
    first, *others = drive.read_records(out)
    assert first.error is None
    assert [record.error for record in others] == ["interrupted", "interrupted"]
    assert all(record.events for record in others)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    out = tmp_path / "records"
    with paced(ttft_ms=10, tpot_ms=10) as server:
        (tmp_path / "job").write_bytes(msgspec.json.encode(job(server.port, 5, tokens=100_000, concurrency=2)))
        command = [sys.executable, "-m", "harness.load", str(tmp_path / "job"), str(out)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(number)
        said, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    assert b'"report"' in said.splitlines()[-1]
    assert [record.error for record in drive.read_records(out)] == ["interrupted", "interrupted"]


def test_a_driver_that_dies_is_two_lines(tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        own = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
        for pid in map(int, Path(own).read_text().split()):
            if b"harness.load" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    with paced(ttft_ms=10, tpot_ms=10) as server:
        what = job(server.port, tokens=100_000)
        with pytest.raises(HarnessError) as caught:
            drive.drive(what, tmp_path / "records", kill, environment=os.environ, api_key=None)
    assert "-9" in caught.value.message
    assert len(str(caught.value).splitlines()) == 2


def test_a_driver_that_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    with pytest.raises(HarnessError, match="Is a directory"):
        drive.drive(job(1), tmp_path / "records", lambda _: None, environment=os.environ, api_key=None)
