"""`python -m harness.sense -`, for `harness.sense.remote`: reads this host's sensors and says them, until standard input ends."""

from __future__ import annotations

import os
import select
from pathlib import Path

import msgspec

from harness.comm import SENSES, name_process
from harness.far import ordered, say
from harness.sense.remote import SAY_S, Order, Said
from harness.sense.sampler import Sampler
from harness.sense.sources import open_sources


def main() -> None:
    name_process(SENSES)
    order = msgspec.json.decode(ordered(), type=Order)
    with Sampler(open_sources(Path(order.root))) as sampler:
        while not (select.select([0], [], [], SAY_S)[0] and not os.read(0, 1)):
            say(msgspec.json.encode(Said(sampler.take(), list(sampler.report().absent))))


if __name__ == "__main__":
    main()
