"""What the machine's own state says about a run: a verdict with its evidence."""

from __future__ import annotations

import msgspec

HEALTHY, DEGRADED, UNKNOWN = "healthy", "degraded", "unknown"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a machine is not called healthy."""

    code: str
    """As in `docs/gb10.md`: `stuck_low_power`, `thermal_slowdown`, `locked_clocks`, `weak_power_supply`, `memory_pressure` …"""
    text: str
    """The evidence, in figures."""
    trials: tuple[int, ...] = ()
    """In which it was seen; empty: before, between or after them."""


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A small fixed piece of work, done before the first cell, after each block and after the last."""

    t_ns: int
    request_ms: float | None = None
    """Time per token of a short answer to a fixed prompt, from the request to its end; None: it was not answered."""
    memory_bytes_s: float | None = None
    """Read by the CPU; None: not measured this time."""
    gpu_flop_s: float | None = None
    """FP32, of the slowest GPU while nothing is asked of the server; None: not measured this time."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    verdict: str
    """`healthy`, `degraded` (for what is in `reasons`) or `unknown` (`unseen` names what could not be looked at)."""
    reasons: tuple[Reason, ...] = ()
    unseen: tuple[str, ...] = ()
    """What a machine of this kind has, and this run could not see."""
    canaries: tuple[Canary, ...] = ()
    compared_with: int = 0
    """Earlier runs on this machine that the canaries were compared with."""
