"""Watches which connections our own processes have to anywhere but this machine, by the kernel's own tables.

A look at the counters is cheap and often; the tables are read only when a connection was opened meanwhile, since the kernel walks through
all that it has room for (some milliseconds where memory is large).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

import psutil

from harness import clock
from harness.hosts import there
from harness.schema.egress import LOOPBACK, OWN, Connection, Egress
from harness.schema.sensors import Absent
from harness.sense import sockets
from harness.sense.base import Reading
from harness.sense.sockets import Row, Space
from harness.units import NS_PER_S, seconds

LOOK_S = 0.25
FAMILY_NS = 2 * NS_PER_S
"""How often it is asked which processes are ours, if no connection gives a reason to."""
REFRESH_NS = 10 * NS_PER_S
"""Tables are read so often even if nothing was opened: a connection may be older than the look at it."""
SHARE, BURST_NS = 200, NS_PER_S // 10
"""Reading tables may take half a per cent of a core over time, and so much at once: where connections are few, each is looked at soon."""
FORGET_NS = 120 * NS_PER_S
"""A closed connection stays in the tables for one minute."""
MOST = 500
"""Connections that are kept."""
METHOD = "the kernel's socket tables of their network namespaces, and who holds the sockets"


_Key = tuple[str, str, int, str, bool, str]
"""Where, address, port, protocol, outbound, process."""


class _Kept:
    """A `Connection` that grows."""

    def __init__(self, now: int) -> None:
        self.first_ns = self.last_ns = now
        self.sockets: set[tuple[str, int]] = set()


class Watch:
    """A source without readings: it tells what it saw by `report`. Our processes are those that descend from this one, those that `follow`
    named, and whoever descended from one of them when it was looked at."""

    name, period_s, alone = "egress", LOOK_S, True

    def __init__(self) -> None:
        self.absent: tuple[Absent, ...] = ()
        self._lock = threading.Lock()
        self._family: dict[int, there.Stat] = {}
        self._met: set[tuple[int, int]] = set()
        self._roots = {os.getpid()}
        self._family_ns = 0
        self._spaces: dict[int, Space] = {}
        self._owners: dict[int, str | None] = {}
        """By a socket's inode: the name of the process of ours that has it; None: it is somebody else's."""
        self._dark: set[int] = set()
        """Users of such processes of ours whose files may not be seen."""
        self._users: set[int] = set()
        self._missed: set[int] = set()
        """Sockets that no process of ours had when that was asked for the first time."""
        self._connections: dict[_Key, _Kept] = {}
        self._doubtful: dict[_Key, _Kept] = {}
        self._more = 0
        self._blind = ""
        try:
            sockets.tables(os.getpid(), "tcp")
        except OSError as error:
            self._blind = f"{error.filename}: {error.strerror}"
        self._start_ns = clock.now()
        self._looks = self._cpu_ns = self._spent_ns = self._longest_ns = 0

    def follow(self, pid: int) -> None:
        """A process that is ours although nobody here started it: a container's first one."""
        with self._lock:
            self._roots.add(pid)
            self._owners = {inode: name for inode, name in self._owners.items() if name is not None}  # some may be its
            self._family_ns = 0

    def read(self) -> Iterable[Reading]:
        if self._blind:
            return ()
        with self._lock:
            start = clock.thread_cpu()
            now = clock.now()
            self._looks += 1
            if not self._family_ns or now - self._family_ns > FAMILY_NS:
                self._find_family(now)
            for space in list(self._spaces.values()):
                self._look(space, now)
            self._cpu_ns += clock.thread_cpu() - start
        return ()

    def close(self) -> None:
        """Nothing stays open."""

    def report(self, unseen: tuple[str, ...] = ()) -> Egress:
        """So far. `unseen`: what could not be looked at from here."""
        with self._lock:
            for space in self._spaces.values():
                space.weigh()
            opened = [space.opened for space in self._spaces.values()]
            sent = [space.sent_bytes for space in self._spaces.values()]
            return Egress(
                method=METHOD,
                period_s=self.period_s,
                looks=self._looks,
                longest_s=seconds(self._longest_ns),
                t_start_ns=self._start_ns,
                t_end_ns=clock.now(),
                cpu_s=seconds(self._cpu_ns),
                processes=len(self._met),
                spaces=len(self._spaces),
                tight=bool(self._spaces) and all(space.tight for space in self._spaces.values()),
                connections=_listed(self._connections),
                doubtful=_listed(self._doubtful),
                more=self._more,
                opened=None if None in opened or not opened else sum(filter(None, opened)),
                sent_bytes=None if None in sent or not sent else sum(filter(None, sent)),
                unseen=(*((self._blind,) if self._blind else ()), *unseen),
            )

    def _find_family(self, now: int) -> None:
        """All that descends from a root or from one that we knew, and the namespaces that they are in."""
        running = {pid: found for pid in psutil.pids() if (found := there.stat(pid)) is not None}
        known = {pid for pid, old in self._family.items() if pid in running and running[pid].started == old.started}
        ours = known | (self._roots & running.keys())
        children: dict[int, list[int]] = {}
        for pid, found in running.items():
            children.setdefault(found.parent, []).append(pid)
        todo = list(ours)
        while todo:
            new = [pid for pid in children.get(todo.pop(), ()) if pid not in ours]
            ours.update(new)
            todo += new
        self._family = {pid: running[pid] for pid in ours}
        self._met |= {(pid, found.started) for pid, found in self._family.items()}
        self._family_ns = now
        me = os.getpid()
        mine = sockets.space(me)
        members = {mine: me}
        for pid in ours:
            with suppress(OSError):
                members.setdefault(sockets.space(pid), pid)
        for inode, pid in members.items():
            if inode in self._spaces:
                self._spaces[inode].pid = pid
            else:
                self._spaces[inode] = Space(pid, ours=inode != mine)

    def _look(self, space: Space, now: int) -> None:
        space.count()
        stale = now - space.read_ns > REFRESH_NS
        asked = self._spent_ns < BURST_NS + (now - self._start_ns) // SHARE and (space.moved_ns is not None or stale)
        start = clock.thread_cpu()
        if asked and now != self._family_ns:
            self._find_family(now)
        try:
            found = list(sockets.rows(sockets.tables(space.pid, "udp"), "udp"))
            if asked:
                found += sockets.rows(sockets.tables(space.pid, "tcp"), "tcp")
        except OSError:  # the process that showed it to us has ended: another one will, or nobody is left there
            self._family_ns = 0
            return
        self._note(space, found, now)
        self._decide(space, found, {"udp", "tcp"} if asked else {"udp"}, now)
        if not asked:
            return
        if space.moved_ns is not None and space.read_ns:
            self._longest_ns = max(self._longest_ns, now - space.moved_ns + round(LOOK_S * NS_PER_S))
        space.others = {ends: seen for ends, seen in space.others.items() if now - seen < FORGET_NS}
        space.moved_ns, space.read_ns = (now if space.undecided else None), now
        self._spent_ns += clock.thread_cpu() - start
        if stale:
            space.weigh()

    def _note(self, space: Space, found: list[Row], now: int) -> None:
        own = {row.local for row in found}
        away = [(where, row) for row in found if (where := sockets.where(row.remote, own)) not in (LOOPBACK, OWN)]
        if not away:
            return
        own = {each.address.partition("%")[0] for addresses in psutil.net_if_addrs().values() for each in addresses}
        away = [(where, row) for where, row in away if row.remote not in own]
        inodes = {row.inode for _, row in away if row.inode} - self._owners.keys()
        if inodes and not space.ours:
            self._find_owners(now, inodes, sure=not space.read_ns)
        for where, row in away:
            name = self._name(space.pid) if space.ours else self._owners.get(row.inode)
            if name is not None:
                self._keep(self._connections, where, row, name, now)
            elif row.inode and row.inode not in self._owners and row.uid in self._users:
                space.undecided[row.ends] = where, row
            elif self._others(space, row):
                space.others[row.ends] = now
            elif not self._known(row, now):
                self._keep(self._doubtful, where, row, "", now)

    def _others(self, space: Space, row: Row) -> bool:
        """Whether it is known that the socket is not ours: by its user, by our processes' files, or since it was before we were."""
        if row.inode:
            return row.uid not in self._dark
        return row.ends in space.others or not space.read_ns

    def _decide(self, space: Space, found: list[Row], protocols: set[str], now: int) -> None:
        """What was there when the tables were read, but not when its owner was looked for, was perhaps ours."""
        there_still = {row.ends for row in found if row.inode and row.inode not in self._owners}
        for ends, (where, row) in list(space.undecided.items()):
            if row.protocol in protocols and ends not in there_still:
                del space.undecided[ends]
                if row.inode not in self._owners:
                    self._keep(self._doubtful, where, row, "", now)

    def _name(self, pid: int) -> str:
        return self._family[pid].name if pid in self._family else ""

    def _find_owners(self, now: int, inodes: set[int], *, sure: bool) -> None:
        """Which process of ours has these sockets. Unless we are `sure` they are somebody else's only when it is asked a second time: a
        process of ours may have ended after the tables were read."""
        if not sure:
            self._find_family(now)
        held, self._dark, self._users = dict[int, str](), set(), set()
        for pid, found in self._family.items():
            try:
                user = os.stat(f"/proc/{pid}").st_uid
                self._users.add(user)
                for entry in os.scandir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        link = os.readlink(entry.path)
                        if link.startswith("socket:["):
                            held.setdefault(int(link[8:-1]), found.name)
            except PermissionError:
                self._dark.add(user)
            except OSError:  # it has ended
                pass
        self._owners |= {inode: held.get(inode) for inode in inodes if sure or inode in held or inode in self._missed}
        self._missed = (self._missed | inodes) - self._owners.keys()

    def _known(self, row: Row, now: int) -> bool:
        """Whether the same socket was seen with its owner before."""
        for (_, address, *_), kept in self._connections.items():
            if address == row.remote and row.end in kept.sockets:
                kept.last_ns = now
                return True
        return False

    def _keep(self, kept: dict[_Key, _Kept], where: str, row: Row, process: str, now: int) -> None:
        port = row.remote_port if row.outbound else row.local_port
        key = (where, row.remote, port, row.protocol, row.outbound, process)
        if key not in kept and len(kept) >= MOST:
            self._more += 1
            return
        one = kept.setdefault(key, _Kept(now))
        one.last_ns = now
        one.sockets.add(row.end)


def _listed(kept: dict[_Key, _Kept]) -> tuple[Connection, ...]:
    return tuple(
        Connection(
            where=where,
            address=address,
            port=port,
            protocol=protocol,
            outbound=outbound,
            process=process,
            first_ns=one.first_ns,
            last_ns=one.last_ns,
            count=len(one.sockets),
        )
        for (where, address, port, protocol, outbound, process), one in kept.items()
    )
