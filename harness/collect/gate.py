"""How much at once and how often: by token, by address, and altogether."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict

from harness import clock

MOST = 10_000
"""Names that are remembered; whoever was not seen for longest is forgotten first."""
NETWORK_V6 = 64
"""One household has that many bits of addresses."""


class Rate:
    """A bucket a name: full at first, and filled `per_minute`."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, now_s: float | None = None) -> int:
        """Takes one. Not 0: there is none, and when there will be."""
        now = clock.since(0) if now_s is None else now_s
        left, then = self._left.pop(name, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
        wait = 0 if left >= 1 else math.ceil((1 - left) * 60 / self.per_minute)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        return wait


class Slots:
    """So many at once, and nobody waits."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0

    def __enter__(self) -> bool:
        """Whether there is one; taken in any case, and given back at the end."""
        self.taken += 1
        return self.taken <= self.most

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def whose(address: str) -> str:
    """What counts as one client."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, NETWORK_V6), strict=False))
