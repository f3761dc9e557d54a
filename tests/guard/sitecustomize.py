"""No test's process may speak to another machine: Python loads this by its name when it starts, for the children that tests start
(tests/conftest.py puts its folder on their path, and loads it for itself).

Network namespaces that a test made are another world, and free. What was caught is in the file that `HARNESS_GUARD` names, too: whoever
tried may have swallowed the error.
"""

from __future__ import annotations

import ipaddress
import os
import sys

VARIABLE = "HARNESS_GUARD"
"""A file, and the network namespace in which the guard holds, with a colon between."""
EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


class Leak(BaseException):
    """Not an error that code expects of a network."""


def _leads_away(name: str, *, asks: bool) -> bool:
    """`asks`: it is looked up, for which an address asks nobody."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name not in ("", "localhost") and not name.endswith(".invalid")  # RFC 6761: no such host
    return not asks and not (address.is_loopback or address.is_unspecified)


def space() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def _watch(event: str, given: tuple[object, ...]) -> None:
    if event not in EVENTS:
        return
    asks = event.startswith("socket.get")
    ends = given[0] if asks else given[1]
    host = ends[0] if isinstance(ends, tuple) and ends else ends if asks else None
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or not _leads_away(name, asks=asks):
        return
    file, _, where = os.environ.get(VARIABLE, "").partition(":")
    if file and space() == where:
        with open(file, "a") as log:
            log.write(f"{event} {host!r} by {' '.join(sys.orig_argv)[:200]}\n")
        raise Leak(f"{event}: {host!r} is another machine")


sys.addaudithook(_watch)
