"""`python -m tests.sense.watched COMMAND…`: what is seen of a child's connections while it runs, as JSON on standard output. As soon as
any is seen, there is a file of the name that the child has in `SEEN`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from harness import clock
from harness.sense.egress import Watch
from harness.sense.sampler import Sampler


def main() -> None:
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, Sampler((watch,)):
        seen = Path(folder) / "seen"
        start = clock.now()
        while not watch.report().looks and clock.since(start) < 0.5:  # what is there before the first look is not the child's
            clock.sleep(0.02)
        with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, env={**os.environ, "SEEN": str(seen)}) as child:
            while child.poll() is None:
                if watch.report().connections:
                    seen.touch()
                clock.sleep(0.02)
        assert child.returncode == 0
        print(msgspec.json.encode(watch.report()).decode())


if __name__ == "__main__":
    main()
