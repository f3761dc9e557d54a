"""The driver on another host: what is said to it, and its records on our clock."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.schema.job import Job
from harness.schema.request import Event, Record
from harness.typed import decoder


class Order(msgspec.Struct, frozen=True):
    job: Job
    api_key: str | None


def on_our_clock(path: Path, offset_ns: int) -> None:
    """Rewrites the records of a trial."""
    part = path.with_suffix(".part")
    decode, encode = decoder(Record).decode, msgspec.json.Encoder().encode
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
