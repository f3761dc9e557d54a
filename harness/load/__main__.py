"""`python -m harness.load JOB.json RECORDS.jsonl`: the driver as a process of its own. HARNESS_API_KEY is sent as the bearer token."""

from __future__ import annotations

import os
import sys

import msgspec

from harness.load import driver
from harness.schema.job import Job


def _say(line: bytes) -> None:
    os.write(1, line + b"\n")


if __name__ == "__main__":
    job_path, records_path = sys.argv[1:]
    with open(job_path, "rb") as file:
        job = msgspec.json.decode(file.read(), type=Job)
    key = os.environ.get("HARNESS_API_KEY")
    with open(records_path, "wb") as out:
        if job.scheme == "https":
            from harness.load import sdk  # loads openai, which takes a second

            sdk.main(job, out, key, _say)
        else:
            driver.main(job, out, key, _say)
