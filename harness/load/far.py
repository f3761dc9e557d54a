"""The driver on another host: what is said to it, and its records on our clock."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from harness import clock
from harness.errors import MachineError
from harness.schema.job import Job
from harness.schema.request import Event, Record

TICK = b"?\n"
TICKS = 9
COMMAND = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class Tock(msgspec.Struct, frozen=True):
    t_ns: int
    """The other host's CLOCK_MONOTONIC."""


class Order(msgspec.Struct, frozen=True):
    job: Job
    api_key: str | None


class Offset(msgspec.Struct, frozen=True):
    """Their clock minus ours, off by at most `error_ns`: half of the shortest time that a question took to be answered."""

    offset_ns: int
    error_ns: int


def command(host: str, python: str) -> list[str]:
    """By the user's own ssh: its config, its agent, its jump hosts. Nothing is copied there."""
    return [*COMMAND, host, python, "-m", "harness.load", "-"]


def begin(child: subprocess.Popen[bytes], order: Order, host: str, python: str) -> Offset:
    """Compares the clocks and hands the order over. Raises `MachineError` when nobody answers there."""
    assert child.stdin is not None
    assert child.stdout is not None
    best = None
    try:
        for _ in range(TICKS):
            before = clock.now()
            child.stdin.write(TICK)
            child.stdin.flush()
            theirs = msgspec.json.decode(child.stdout.readline(), type=Tock).t_ns
            after = clock.now()
            found = Offset(theirs - (before + after) // 2, (after - before) // 2)
            best = found if best is None or found.error_ns < best.error_ns else best
        child.stdin.write(msgspec.json.encode(order) + b"\n")
        child.stdin.flush()
    except (OSError, msgspec.DecodeError):
        raise MachineError(
            f"the load driver does not answer on {host}",
            f"check that `ssh {host} {python} -m harness --version` works without a password: --load-python names another Python there",
        ) from None
    assert best is not None
    return best


def on_our_clock(path: Path, offset_ns: int) -> None:
    """Rewrites the records of a trial."""
    part = path.with_suffix(".part")
    decode, encode = msgspec.json.Decoder(Record).decode, msgspec.json.Encoder().encode
    with path.open("rb") as theirs, part.open("wb") as ours:
        for line in theirs:
            ours.write(encode(_moved(decode(line), offset_ns)) + b"\n")
    part.replace(path)


def _moved(record: Record, by_ns: int) -> Record:
    return msgspec.structs.replace(
        record,
        t_sched_ns=record.t_sched_ns - by_ns,
        t_send_ns=record.t_send_ns - by_ns,
        t_hdr_ns=None if record.t_hdr_ns is None else record.t_hdr_ns - by_ns,
        t_end_ns=record.t_end_ns - by_ns,
        events=tuple(Event(event.t_ns - by_ns, event.kind, event.text, event.tokens) for event in record.events),
    )
