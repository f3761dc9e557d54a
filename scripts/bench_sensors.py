"""`make bench-sensors`: what reading the sensors costs, and whether it moves what is measured beside it.

The load driver measures 64 streams of the paced server again and again, by turns with and without a sampler that reads an NVML library
compiled for the tests, a tree with a GB10's rails, and this machine's own memory and CPU, at their usual cadence. A real driver's own time
for a reading is not in it. Ends with 1 when sampling takes more than 1 % of a core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median

import numpy as np
from bench_client import BODY, paced

from harness.load import drive
from harness.measure.latency import timing
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record
from harness.sense.cpu import Cpu
from harness.sense.hwmon import Hwmon
from harness.sense.memory import Memory
from harness.sense.nvml import sources
from harness.sense.sampler import Sampler

ROUNDS = 6
STREAMS, REQUESTS = 64, 512
MOST = 0.01
CHILD = "HARNESS_BENCH_SENSORS"


def ttft_ms(records: Sequence[Record]) -> tuple[float, float]:
    """(p50, p99)"""
    times = [found / 1e6 for record in records if (found := timing(record).ttft_ns) is not None]
    return float(np.percentile(times, 50)), float(np.percentile(times, 99))


def once(beside: AbstractContextManager[object]) -> tuple[float, float]:
    with paced(10.0, 1) as (port, _), tempfile.TemporaryDirectory() as folder, beside:
        stage = Stage(STREAMS, (Ask("measure", BODY),) * REQUESTS)
        job = Job(host="127.0.0.1", port=port, path="/v1/chat/completions", stages=(stage,))
        drive.drive(job, Path(folder) / "records", lambda _: None, environment=os.environ, api_key=None)
        return ttft_ms(drive.read_records(Path(folder) / "records"))


def compare(root: Path) -> None:
    print("                      TTFT, ms   p50       p99   CPU of sampling, share of a core")
    without, beside, shares = [], [], []
    for number in range(ROUNDS):
        without.append(once(nullcontext()))
        sampler = Sampler((*sources(), Hwmon(root), Memory(), Cpu()))
        beside.append(once(sampler))
        report = sampler.report()
        shares.append(report.cpu_s / report.wall_s)
        print(f"round {number + 1}, without sensors   {without[-1][0]:7.3f} {without[-1][1]:9.3f}")
        print(f"         with sensors      {beside[-1][0]:7.3f} {beside[-1][1]:9.3f}   {shares[-1]:.3%}", flush=True)
    moved = [median(one[place] for one in beside) - median(one[place] for one in without) for place in (0, 1)]
    print(f"median of rounds, moved by {moved[0]:+7.3f} {moved[1]:+9.3f}   {median(shares):.3%}")
    if median(shares) > MOST:
        sys.exit(f"bench-sensors: sampling takes {median(shares):.2%} of a core")


def main() -> None:
    if CHILD in os.environ:
        compare(Path(os.environ[CHILD]))
        return
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.fake_nvml import FakeNvml, healthy_gb10
    from tests.sysfs_tree import gb10

    with tempfile.TemporaryDirectory() as folder:
        gb10(Path(folder))
        env = os.environ | FakeNvml(Path(folder), healthy_gb10()).env | {CHILD: folder}
        sys.exit(subprocess.run([sys.executable, __file__], env=env, check=False).returncode)


if __name__ == "__main__":
    main()
