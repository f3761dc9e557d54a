"""`python -m harness.load JOB.json RECORDS.jsonl`: the driver as a process of its own. HARNESS_API_KEY is sent as the bearer token."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from harness.load import driver
from harness.schema.job import Job


def _say(line: bytes) -> None:
    os.write(1, line + b"\n")


if __name__ == "__main__":
    job_path, records_path = sys.argv[1:]
    job = msgspec.json.decode(Path(job_path).read_bytes(), type=Job)
    key = os.environ.get("HARNESS_API_KEY")
    if job.scheme == "https":
        from harness.load import sdk

        sdk.main(job, records_path, key, _say)
    else:
        driver.main(job, records_path, key, _say)
