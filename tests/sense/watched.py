"""`python -m tests.sense.watched COMMAND…`: what is seen of a child's connections while it runs, as JSON on standard output."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from harness import clock
from harness.sense.egress import Watch
from harness.sense.sampler import Sampler


def main() -> None:
    watch = Watch()
    with Sampler((watch,)):
        clock.sleep(0.35)  # what is there before the first look is not the child's
        subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
        print(msgspec.json.encode(watch.report()).decode())


if __name__ == "__main__":
    main()
