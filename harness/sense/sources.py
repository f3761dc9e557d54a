"""All that this machine, other hosts, and the meters that somebody named can be read by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.errors import MachineError
from harness.schema.node import Node
from harness.sense.base import Source
from harness.sense.cpu import Cpu
from harness.sense.hwmon import Hwmon
from harness.sense.memory import Memory
from harness.sense.rapl import Rapl


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What a user named besides this machine."""

    plugs: tuple[str, ...] = ()
    """Addresses of meters, as `harness.sense.plug` reads them."""
    plug_token: str | None = None
    """Home Assistant's."""
    hosts: tuple[str, ...] = ()
    """Other hosts, by the names that ssh knows."""
    python: str = "python3"
    """There."""


def open_sources(root: Path) -> tuple[Source, ...]:
    """This machine's; its /proc and /sys lie below `root`."""
    from harness.sense import nvml

    return (*nvml.sources(), Hwmon(root), Rapl(root), Memory(root), Cpu(root))


def open_named(named: Named, environment: Mapping[str, str]) -> tuple[Source, ...]:
    """`environment` is what ssh gets. Raises `UsageError` for a wrong address, `MachineError` for a host that does not answer."""
    from harness.sense.plug import open_plug
    from harness.sense.remote import Remote

    meters = [open_plug(address, named.plug_token, f"plug{number or ''}") for number, address in enumerate(named.plugs)]
    return (*meters, *(Remote(host, named.python, environment) for host in named.hosts))


def open_nodes(nodes: Sequence[Node], named: Named, environment: Mapping[str, str]) -> tuple[Source, ...]:
    """Of the far machines that a server runs on, beside those that were named. One that has no harness is known to be unread, so that no
    watts are summed without it."""
    from harness.sense.remote import Remote, Unread

    found: list[Source] = []
    for node in nodes:
        if node.here or node.host in named.hosts:
            continue
        try:
            found.append(Remote(node.host, named.python, environment))
        except MachineError as error:
            found.append(Unread(node.host, error.hint))
    return tuple(found)
