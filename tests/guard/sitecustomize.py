"""No test's process may speak to another machine: Python loads this by its name when it starts, for the children that tests start
(tests/conftest.py puts its folder on their path, and loads it for itself).

Network namespaces that a test made are another world, and free. What was caught is in the file that `HARNESS_GUARD` names, too: whoever
tried may have swallowed the error.

Not seen: programs that are no Python (ssh, curl, git, Docker, llama.cpp's server), sockets that C opens inside one (DuckDB, uvloop, gRPC),
and a Python whose environment was emptied, or which was started with `-I` or `-S`. What must be certain is shown by the kernel's counters
in a network namespace: tests/airgap/test_nothing_leaves.py.
"""

from __future__ import annotations

import ipaddress
import os
import sys

VARIABLE = "HARNESS_GUARD"
"""A file, and the network namespace in which the guard holds, with a colon between."""
TO = ("socket.connect", "socket.sendto", "socket.sendmsg")
"""Their second argument is an address."""
ASKED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
"""Their first is a name, or an address."""
LOOKED_UP = ASKED[:2]
"""An address asks nobody there."""


class Leak(BaseException):
    """Not an error that code expects of a network."""


def _leads_away(name: str, *, looked_up: bool) -> bool:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name not in ("", "localhost") and not name.endswith(".invalid")  # RFC 6761: no such host
    return not looked_up and not (address.is_loopback or address.is_unspecified)


def space() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def _watch(event: str, given: tuple[object, ...]) -> None:
    if event not in TO + ASKED:
        return
    ends = given[event in TO]
    host = ends[0] if isinstance(ends, tuple) and ends else ends if event in ASKED else None
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or not _leads_away(name, looked_up=event in LOOKED_UP):
        return
    file, _, where = os.environ.get(VARIABLE, "").partition(":")
    if file and space() == where:
        with open(file, "a") as log:
            log.write(f"{event} {host!r} by {' '.join(sys.orig_argv)[:200]}\n")
        raise Leak(f"{event}: {host!r} is another machine")


sys.addaudithook(_watch)
