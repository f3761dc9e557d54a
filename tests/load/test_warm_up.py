"""Warm-up goes on until requests do not get faster, and hands over without draining. Answers get shorter where a server would warm."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from harness.load import drive
from harness.schema.job import Ask, Progress, Stage
from harness.schema.request import Record
from tests.driving import body, job
from tests.load.test_sdk import through_tls
from tests.paced_server import paced

pytestmark = pytest.mark.quiet


def driven(secure: bool, folder: Path, lengths: list[int], *, concurrency: int, of: int) -> tuple[list[Record], Progress]:
    """Warm-up requests with answers of these lengths in rounds of `of`, and three measured ones."""
    warm = tuple(Ask("warmup", body(1, length)) for length in lengths)
    measured = (Ask("measure", body(2, 20)),) * 3
    seen: list[Progress] = []
    with paced(ttft_ms=20, tpot_ms=5) as server:
        what = msgspec.structs.replace(job(server.port), stages=(Stage(concurrency, measured, warm, of),))
        if secure:
            records, _, seen = through_tls(what, folder)
        else:
            drive.drive(what, folder / "records", seen.append, environment=os.environ, api_key=None)
            records = drive.read_records(folder / "records")
    assert [record.error for record in records] == [None] * len(records)
    return records, seen[-1]


def phases(records: list[Record]) -> str:
    return "".join(record.phase[0] for record in records)


@pytest.mark.parametrize("secure", [False, True], ids=["own socket", "SDK"])
def test_it_ends_with_the_first_round_that_is_not_faster(secure: bool, tmp_path: Path) -> None:
    records, last = driven(secure, tmp_path, [80, 40, 20, 30, 20, 20, 20], concurrency=1, of=1)
    assert phases(records) == "wwwwmmm"
    assert (last.done, last.sent, last.total) == (7, 7, 7), "what is not sent is not waited for"


def test_rounds_are_compared_as_wholes(tmp_path: Path) -> None:
    records, _ = driven(False, tmp_path, [60, 20, 20, 70, 20, 20], concurrency=1, of=2)
    assert phases(records) == "wwwwmmm"


def test_it_ends_with_its_last_round_at_the_latest(tmp_path: Path) -> None:
    records, _ = driven(False, tmp_path, [80, 40, 20], concurrency=1, of=1)
    assert phases(records) == "wwwmmm"


def test_one_round_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    records, _ = driven(False, tmp_path, [20, 20], concurrency=2, of=2)
    assert phases(records) == "wwmmm"


def test_measured_requests_follow_while_warm_ones_run(tmp_path: Path) -> None:
    records, _ = driven(False, tmp_path, [20, 20, 30, 30, 60, 20, 20, 20], concurrency=2, of=2)
    assert phases(records)[:4] == "wwww"
    assert phases(records)[-3:] == "mmm"
    assert len(records) <= 4 + 1 + 3, "the slot that frees up before its round ends takes one more"
    first = next(record for record in records if record.phase == "measure")
    assert first.t_send_ns < max(record.t_end_ns for record in records if record.phase == "warmup")
