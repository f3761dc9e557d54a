"""What the load driver reads: complete requests and the rule for when to send them. It knows no engine, recipe or model."""

from __future__ import annotations

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """One request: its body is sent as it stands."""

    phase: str
    """`warmup`, `prime` or `measure`: copied into the record."""
    body: str


class Stage(msgspec.Struct, frozen=True):
    """Requests of one closed loop: `concurrency` slots take the next ask as soon as they are free. Stages drain between each other."""

    concurrency: int
    asks: tuple[Ask, ...]
    warmup: tuple[Ask, ...] = ()
    """Sent first, until the server is warm (`harness.load.asks`) or all are sent; `asks` follow without draining."""
    warmup_round: int = 1
    """Warm-up asks whose mean time is compared with that of as many before."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    scheme: str = "http"
    """`https` goes through the openai SDK instead of our own socket."""
    host: str
    port: int
    path: str
    """`/v1/chat/completions`."""
    headers: dict[str, str] = {}
    stages: tuple[Stage, ...]
    timeout_s: float = 600.0
    """For one request, from its first byte to its last."""
    cpus: tuple[int, ...] | None = None
    """Cores to pin the driver to."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the driver's standard output while it runs, about twice a second."""

    done: int
    sent: int
    total: int
    bytes_in: int
    reads: int
    """recvmsg calls that returned data."""
    in_flight: int
