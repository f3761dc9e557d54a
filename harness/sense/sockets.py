"""The kernel's tables of sockets and interfaces in one network namespace, as /proc/PID/net shows them to anybody (proc_net(5))."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from harness import clock
from harness.schema.egress import ANYWHERE, LINK, LOOPBACK, OWN, PRIVATE, PUBLIC

T = TypeVar("T")

_LOOPBACK = rb"[0-9A-F]{6}7F:|0{24}01000000:|0{16}FFFF0000[0-9A-F]{6}7F:"
_REMOTE = re.compile(
    rb"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) "
    rb"(?!0+:|" + _LOOPBACK + rb")"  # neither nowhere nor loopback: most are, so they go first
    rb"([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +(\d+) +\d+ (\d+)",
    re.MULTILINE,
)
_NOT_CONNECTED = re.compile(
    rb"^ *\d+: (?!" + _LOOPBACK + rb")([0-9A-F]+):([0-9A-F]{4}) (0+):(0000) (07) \S+ \S+ \S+ +(\d+) +\d+ (\d+)", re.MULTILINE
)
"""Sockets for datagrams, each of which may have another end."""
_LISTENS = re.compile(rb"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) 0+:0000 0A ", re.MULTILINE)


Ends = tuple[str, int, str, int]


class Row(NamedTuple):
    """A socket that has another end. Addresses are text, as `ipaddress` writes them, IPv4 within IPv6 as IPv4."""

    protocol: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    uid: int
    inode: int
    """0: no process has it any more."""
    outbound: bool

    @property
    def ends(self) -> Ends:
        return self.local, self.local_port, self.remote, self.remote_port

    @property
    def end(self) -> tuple[str, int]:
        """What tells it from the other sockets that lead to the same port."""
        return self.local, self.local_port if self.outbound else self.remote_port


def space(pid: int) -> int:
    """A number that two processes share when they are in the same network namespace: its own name may be read by its owner only, but each
    namespace has a table of its own. Raises OSError when the process has ended."""
    return os.stat(f"/proc/{pid}/net/tcp").st_ino


def tables(pid: int, protocol: str) -> bytes:
    """`tcp` or `udp`, for IPv4 and IPv6. Raises OSError."""
    return b"\n".join(_read(f"/proc/{pid}/net/{protocol}{version}", missing=version == "6") for version in ("", "6"))


def rows(table: bytes, protocol: str) -> Iterator[Row]:
    """Sockets of a table whose other end is not loopback. Of one for datagrams that is not connected it may be anywhere."""
    listening: set[bytes] | None = None
    found = _REMOTE.findall(table) + (_NOT_CONNECTED.findall(table) if protocol == "udp" else [])
    for local, port, remote, remote_port, _, uid, inode in found:
        if listening is None:
            listening = set(_LISTENS.findall(table))
        here, there = address(local), address(remote)
        yield Row(protocol, here, int(port, 16), there, int(remote_port, 16), int(uid), int(inode), port not in listening)


def opened(pid: int) -> tuple[int, int]:
    """TCP connections opened in its namespace since that began: from within, and from outside. Raises OSError, ValueError."""
    names, values = (line.split()[1:] for line in _read(f"/proc/{pid}/net/snmp").splitlines() if line.startswith(b"Tcp:"))
    found = dict(zip(names, values, strict=True))
    return int(found[b"ActiveOpens"]), int(found[b"PassiveOpens"])


def sent(pid: int) -> dict[str, int]:
    """Bytes sent since it began, by interface, loopback left out. Raises OSError, ValueError."""
    found = {}
    for line in _read(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, counts = line.partition(b":")
        found[name.strip().decode()] = int(counts.split()[8])
    found.pop("lo", None)
    return found


def leads_away(pid: int) -> bool:
    """Whether any route in its namespace is by another interface than loopback, whose own are in no table of IPv4. Raises OSError."""
    routes4 = _read(f"/proc/{pid}/net/route").splitlines()[1:]
    routes6 = _read(f"/proc/{pid}/net/ipv6_route", missing=True).splitlines()
    return bool(routes4) or any(line.split()[-1] != b"lo" for line in routes6)


class Space:
    """A network namespace. `ours`: nobody else is in it."""

    def __init__(self, pid: int, *, ours: bool) -> None:
        self.pid, self.ours = pid, ours
        self.first_opened = self.last_opened = _known(opened, pid)
        self.moved_ns: int | None = clock.now()
        """Since when something was opened that the tables were not asked about."""
        self.read_ns = 0
        self.others: dict[Ends, int] = {}
        """Sockets that are not ours, and when they were last seen: when nobody holds them any more they are still not ours."""
        self.undecided: dict[Ends, tuple[str, Row]] = {}
        self.sent_first = self.sent_last = _known(sent, pid)
        self.tight = _known(leads_away, pid) is False
        """No route leads away, whenever that was asked."""

    def count(self) -> None:
        """Notes whether anything was opened since the last time; where the kernel does not say, it may have been."""
        found = _known(opened, self.pid)
        if self.moved_ns is None and (found is None or found != self.last_opened):
            self.moved_ns = clock.now()
        self.last_opened = found or self.last_opened

    def weigh(self) -> None:
        self.sent_last = _known(sent, self.pid) or self.sent_last
        self.tight = self.tight and _known(leads_away, self.pid) is not True

    @property
    def opened(self) -> int | None:
        if self.first_opened is None or self.last_opened is None:
            return None
        return self.last_opened[0] - self.first_opened[0]

    @property
    def sent_bytes(self) -> int | None:
        if self.sent_first is None or self.sent_last is None:
            return None
        return sum(now - self.sent_first.get(name, 0) for name, now in self.sent_last.items())


def _known(ask: Callable[[int], T], pid: int) -> T | None:
    try:
        return ask(pid)
    except (OSError, ValueError, LookupError):
        return None


def address(text: bytes) -> str:
    """`0100007F` → `127.0.0.1`: words of 32 bits in the machine's order."""
    raw = bytes.fromhex(text.decode())
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    found = ipaddress.ip_address(raw)
    return str(getattr(found, "ipv4_mapped", None) or found)


def where(text: str, own: set[str]) -> str:
    """One of the classes of `harness.schema.egress`. `own`: addresses of this machine."""
    found = ipaddress.ip_address(text)
    if found.is_unspecified:
        return ANYWHERE
    if found.is_loopback:
        return LOOPBACK
    if text in own:
        return OWN
    if found.is_link_local or found.is_multicast:
        return LINK
    return PUBLIC if found.is_global else PRIVATE


def _read(path: str, *, missing: bool = False) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        if missing and os.path.exists(os.path.dirname(path)):  # a kernel without IPv6
            return b""
        raise
