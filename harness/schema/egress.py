"""What was seen of a run's connections to anywhere but this machine: the evidence behind "leaves the desk"."""

from __future__ import annotations

import msgspec

LOOPBACK, OWN, LINK, PRIVATE, PUBLIC, ANYWHERE = "loopback", "own", "link", "private", "public", "anywhere"
"""Where an address is: in this machine, by its loopback interface or by another address of its own; on the same cable; in a network that
is not the internet's; on the internet. `anywhere`: of a socket for datagrams that is not connected, which names an end for each of them."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """All sockets of one program to one other end. `address` names a machine elsewhere: it is kept here as evidence, and is for redaction
    before anything is shared."""

    where: str
    """Of the above, never `loopback` or `own`: those are not kept."""
    address: str
    port: int
    """The other end's; of a connection that came in, ours."""
    protocol: str
    """`tcp` or `udp`."""
    outbound: bool
    """False: it came in, to a port that a program of ours listens on."""
    process: str
    """Its name; empty: it had let go of the socket when that was seen."""
    first_ns: int
    last_ns: int
    """When it was first and last seen: while nothing new is opened, that is looked at every ten seconds."""
    count: int
    """Sockets."""


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Of the harness, everything that it started, and their children."""

    method: str
    period_s: float
    """Between two looks."""
    looks: int
    longest_s: float
    """Between two looks at the tables while connections were being opened."""
    t_start_ns: int
    t_end_ns: int
    cpu_s: float
    """That looking took."""
    processes: int
    spaces: int
    """Network namespaces that they were in."""
    tight: bool = False
    """No route in any of them leads away: nothing in them could be reached from elsewhere, nor reach anything (`--airtight`)."""
    connections: tuple[Connection, ...]
    doubtful: tuple[Connection, ...] = ()
    """Perhaps theirs: seen only when no process had the socket any more, or when it may not be seen which has."""
    more: int = 0
    """Connections beyond those that were kept."""
    opened: int | None = None
    """TCP connections that were opened in these namespaces meanwhile, by whomever and to wherever; None: the kernel does not say."""
    sent_bytes: int | None = None
    """What left them by any interface but loopback, by whomever; None: the kernel does not say."""
    unseen: tuple[str, ...] = ()
    """What was not looked at."""
