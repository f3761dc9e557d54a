"""The driver as a process of its own.

`python -m harness.load JOB.json RECORDS.jsonl`: HARNESS_API_KEY is sent as the bearer token; progress and report are lines on standard
output.

`python -m harness.load -` is for another host: standard input brings questions after this host's clock, then a `far.Order`; the records
follow the report on standard output. When standard input ends, whoever asked has gone, and so does the driver.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from typing import BinaryIO

from harness.comm import DRIVER, name_process
from harness.far import ordered, say, until_gone
from harness.load import driver, far
from harness.schema.job import Job
from harness.typed import decoded


def _run(job: Job, out: BinaryIO, key: str | None) -> None:
    if job.scheme == "https":
        from harness.load import sdk  # loads openai, which takes a second

        sdk.main(job, out, key, say)
    else:
        driver.main(job, out, key, say)


def _far() -> None:
    order = decoded(ordered(), far.Order)
    done = threading.Event()

    def stop_with_them() -> None:
        if not until_gone():
            os._exit(1)
        if not done.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_with_them, daemon=True).start()
    with tempfile.TemporaryFile() as records:
        _run(order.job, records, order.api_key)
        done.set()
        records.seek(0)
        shutil.copyfileobj(records, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    name_process(DRIVER)
    if sys.argv[1:] == ["-"]:
        _far()
    else:
        job_path, records_path = sys.argv[1:]
        with open(job_path, "rb") as file:
            made = decoded(file.read(), Job)
        with open(records_path, "wb") as out:
            _run(made, out, os.environ.get("HARNESS_API_KEY"))
