"""When the requests of an open loop are due. The whole schedule is drawn beforehand, from a seed."""

from __future__ import annotations

import random
from itertools import accumulate

from harness.units import NS_PER_S


def offsets(kind: str, rate: float, burstiness: float, number: int, seed: str) -> list[int]:
    """`number` instants in ascending order, nanoseconds from the schedule's start; they fill `number / rate` seconds.

    `gamma` gaps have the shape `burstiness` (1 is Poisson, below 1 they come in bursts); `poisson` is a Poisson process of which it
    is known how many come in that time, so that every seed offers the same rate.
    """
    span_ns = number / rate * NS_PER_S
    if kind == "constant":
        return [round(span_ns * index / number) for index in range(number)]
    draw = random.Random(f"arrivals/{seed}")
    shape = burstiness if kind == "gamma" else 1.0
    *until, whole = accumulate(draw.gammavariate(shape, 1.0) for _ in range(number + 1))
    return [round(span_ns * at / whole) for at in until]
