"""What a source of readings is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Source(Protocol):
    """Implemented by modules, hence no `self`."""

    NAME: str
    SCOPE: str
    """What the reading covers: `host`, or a power scope of `docs/metrics.md` (gpu, soc, system, wall)."""

    def read(self) -> Iterable[tuple[str, float, str]]:
        """(name, value, unit) of each reading, now. A reading that cannot be had is left out, never 0."""
