"""What the load driver reads: complete requests and the rule for when to send them. It knows no engine, recipe or model."""

from __future__ import annotations

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """One request. All but the body is copied into its record."""

    phase: str
    """`warmup`, `prime` or `measure`."""
    body: str
    """JSON, sent as it stands. Each NUL in it stands for an answer of the same conversation as a JSON string, in their order."""
    asked_tokens: int | None = None
    """Tokens that the answer must have; None: the model ends it."""
    asked_prompt_tokens: int | None = None
    """Tokens that the prompt was made to have; None: not known beforehand."""
    turn: int = 0
    """Its place in its conversation."""
    after: int | None = None
    """Place in the stage (warm-up first) of the turn before: this one leaves when that is answered."""
    due_ns: int = 0
    """Open loop: when it is meant to leave, after the stage's start."""


class Stage(msgspec.Struct, frozen=True):
    """Requests of one loop. Stages drain between each other."""

    concurrency: int | None
    """Closed loop: so many slots take the next ask as soon as they are free. None: open loop, each ask leaves when it is due."""
    asks: tuple[Ask, ...]
    warmup: tuple[Ask, ...] = ()
    """Sent first, until the server is warm (`harness.load.asks`) or all are sent; `asks` follow without draining. Single turns."""
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
