"""A run as it happened: raw trials, engine facts, clock anchor. Metrics are in `result.py`."""

from __future__ import annotations

import msgspec


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Ties CLOCK_MONOTONIC to the wall clock, once per run."""

    wall: str
    """RFC 3339, UTC."""
    mono_ns: int


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """The load driver about itself: the client is an instrument, so its own error is reported."""

    wall_s: float
    cpu_s: float
    send_lag_p50_ns: int
    send_lag_p99_ns: int
    send_lag_max_ns: int
    loop_lag_p99_ns: int
    """How late the loop came back to a socket that was ready."""
    clock_step_ns: int
    """How far the wall clock moved against the monotonic one during the trial; kernel stamps are off by at most this."""
    stamps: str
    peak_in_flight: int
    host: str = "local"
    """Where the driver ran: `local`, or the name it was reached by."""
    clock_error_ns: int = 0
    """On another host: by how much its instants may be off against ours. Spans are not."""
    rtt_ns: int | None = None
    """The shortest time that a TCP connection of this trial took to open: the network's part of TTFT. None: not measured."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One visit to one cell."""

    index: int
    """Order in the run, from 0."""
    cell: str
    block: int
    """The repeat this trial belongs to; every block visits all cells in a new seeded order."""
    t_start_ns: int
    t_end_ns: int
    client: ClientReport
    counters_before: dict[str, float]
    """The engine's own counters by our names (see `harness.engines.base.COUNTERS`); empty where it has none."""
    counters_after: dict[str, float]


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of itself, and how its start went."""

    name: str
    version: str | None = None
    settings: dict[str, str] = {}
    """Effective settings as the server reports them, flattened."""
    start_s: dict[str, float] = {}
    """Seconds from launch to each step: `port`, `health`, `first_token`. Cold start is its own metric, never part of tg128."""
    context_limit: int | None = None
    prompt_overhead_tokens: int | None = None
    """Tokens the chat template adds to every prompt."""


class FileHash(msgspec.Struct, frozen=True):
    path: str
    bytes: int
    sha256: str | None
    """None: not hashed (says why in the run's notes)."""
