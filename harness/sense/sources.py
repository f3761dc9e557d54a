"""All that this machine, and the meters that somebody named, can be read by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.sense.base import Source
from harness.sense.cpu import Cpu
from harness.sense.memory import Memory


def open_sources(root: Path, plugs: Sequence[str] = (), token: str | None = None, *, here: bool = True) -> tuple[Source, ...]:
    """`root` is where the machine's /proc and /sys lie, `plugs` are addresses as `harness.sense.plug` reads them, `token` is Home
    Assistant's. With `here` False the server is on another machine, and only the meters are read. Raises `UsageError` for a wrong
    address."""
    from harness.sense import nvml
    from harness.sense.plug import open_plug

    named = tuple(open_plug(address, token, f"plug{number or ''}") for number, address in enumerate(plugs))
    return (*named, *nvml.sources(), Memory(), Cpu()) if here else named
