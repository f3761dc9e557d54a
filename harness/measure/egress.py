"""Whether anything left the machine during a run, from what was seen of its processes' connections."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from harness.schema.board import Entry
from harness.schema.egress import PUBLIC, Connection, Egress
from harness.schema.result import Summary

SHOWN = 3
NOT_LOOKED = "it was measured by a harness that did not look at connections"


def left(found: Egress | None) -> tuple[bool | None, str]:
    """Whether our processes were connected to the internet, and what that is known by; None: not known, and why. A connection within a
    private network is no answer: what stands at its other end may pass things on."""
    if found is None:
        return None, NOT_LOOKED
    public = [one for one in found.connections if one.where == PUBLIC]
    if public:
        return True, _said(public)
    if not found.looks:
        return None, f"connections could not be looked at: {'; '.join(found.unseen) or 'the run ended before the first look'}"
    if found.connections:
        return None, f"what is behind the private network's addresses is not known: {_said(found.connections)}"
    if found.unseen:
        return None, f"not looked at: {'; '.join(found.unseen)}"
    if found.doubtful:
        return None, (
            f"it is not known whose these were: {_said(found.doubtful)}; as root, or where no other program uses the network, it would be"
        )
    return False, _nothing(found)


def entry(summary: Summary) -> Entry:
    """`no` or `yes`, for the board's column "leaves the desk"."""
    if summary.left is None:
        return Entry(why=summary.left_how)
    day = datetime.date.fromisoformat(summary.started[:10])
    return Entry(value="yes" if summary.left else "no", origin="measured", date=day, how=summary.left_how, result=summary.id)


def sentence(found: Egress) -> str:
    went, said = left(found)
    words = {None: "not known whether anything left", True: "connected to the internet", False: "nothing left this machine"}
    return f"{words[went]}: {said}"


def _nothing(found: Egress) -> str:
    each = f"{found.looks:,} looks, {found.period_s:g} s apart, at the sockets of {found.processes} processes found none that leads away"
    if found.sent_bytes == 0:
        return f"{each}; no interface sent a byte"
    longest = max(found.period_s, found.longest_s)
    return f"{each}; one shorter than {longest:.2g} s that the other end closed would not be seen"


def _said(connections: Iterable[Connection]) -> str:
    """The ones with most sockets first."""
    most = sorted(connections, key=lambda one: -one.count)
    said = [
        f"{one.count} {'to' if one.outbound else 'from'} {_place(one)}{f' by {one.process}' if one.process else ''}"
        for one in most[:SHOWN]
    ]
    rest = len(most) - SHOWN
    return ", ".join(said) + (f" and {rest} others" if rest > 0 else "")


def _place(one: Connection) -> str:
    address = f"[{one.address}]" if ":" in one.address else one.address
    return f"{address}:{one.port}{'' if one.protocol == 'tcp' else '/' + one.protocol}" if one.outbound else address
