"""`python -m harness.sense -`, for `harness.sense.remote`: reads this host's sensors and says them, until standard input ends."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec

from harness.comm import SENSES, name_process
from harness.far import ordered, say, until_gone
from harness.sense.remote import SAY_S, Order, Said
from harness.sense.sampler import Sampler
from harness.sense.sources import open_sources
from harness.typed import decoded


def main() -> None:
    name_process(SENSES)
    order = decoded(ordered(), Order)
    over = threading.Event()

    def watch() -> None:
        if not until_gone():
            os._exit(1)
        over.set()

    threading.Thread(target=watch, daemon=True).start()
    with Sampler(open_sources(Path(order.root))) as sampler:
        while not over.wait(SAY_S):
            say(msgspec.json.encode(Said(sampler.take(), list(sampler.report().absent))))


if __name__ == "__main__":
    main()
