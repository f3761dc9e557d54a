"""Several machines at once: this one as it is, others by ssh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from harness.errors import HarnessError, UsageError
from harness.hosts import nodes
from harness.hosts.base import Host
from harness.hosts.local import LocalHost, is_this_machine
from harness.hosts.ssh import SshHost
from harness.schema.node import Node


@dataclass(frozen=True)
class Place:
    name: str
    host: Host
    environment: Mapping[str, str]
    """What programs get there."""
    far: SshHost | None
    """The same host, if it is another machine."""


@contextmanager
def open_places(names: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[Place, ...]]:
    """In the order of `names`. `environment` is ours, and what ssh gets. Raises `MachineError` for the first that cannot be reached."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{twice} is named twice", "name each machine once: it has one GPU")
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(names)) as pool:
            tried = list(pool.map(lambda name: _try(name, environment), names))
        for one in tried:
            if isinstance(one, Place) and one.far:
                stack.callback(one.far.close)
        if refused := next((one for one in tried if isinstance(one, HarnessError)), None):
            raise refused
        yield tuple(one for one in tried if isinstance(one, Place))


def _try(name: str, environment: Mapping[str, str]) -> Place | HarnessError:
    if is_this_machine(name):
        return Place(name, LocalHost(), environment, None)
    try:
        far = SshHost(name, environment)
    except HarnessError as error:
        return error
    return Place(name, far, far.environment, far)


def look(names: Sequence[str], interfaces: Mapping[str, str], environment: Mapping[str, str]) -> tuple[Node, ...]:
    """The machines as nodes of one server. `interfaces`: by name, where the user chose. Raises `MachineError`."""
    if not names:
        return ()
    with open_places(names, environment) as places:
        found = [
            nodes.look(place.host, place.name, place.environment, place.far.address if place.far else None) for place in places
        ]
    return nodes.tie(found, interfaces)
