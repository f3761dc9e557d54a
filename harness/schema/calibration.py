"""What the load client is worth on a machine: its figures beside those of a server that knows the truth."""

from __future__ import annotations

import msgspec

from harness.schema.machine import Machine

CALIBRATION_VERSION = 1
"""1 (0.1.0): first format."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One load. Errors are ours minus the server's own log, each request by itself."""

    load: str
    """As `Cell.load` has it: `c64`, `3.33/s`."""
    requests: int
    lost: int
    tok_s: float
    """Tokens of all streams per second, by the server's log."""
    ttft_ms: float
    """Median, by the server's log."""
    ttft_error_p50_ms: float
    ttft_error_p99_ms: float
    """Of the requests' errors, sign left out, the one that 99 % do not exceed."""
    decode_error: float
    """Median of ours divided by the server's, minus 1."""
    send_lag_p99_ms: float
    cpu_us_per_token: float
    """Of the driver."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int = CALIBRATION_VERSION
    when: str
    """RFC 3339, UTC."""
    harness_version: str
    cpu_model: str
    cpu_count: int
    kernel: str
    driver_cpus: tuple[int, ...]
    points: tuple[Point, ...]

    def fits(self, machine: Machine) -> bool:
        """Whether it was made on such a machine."""
        return (self.cpu_model, self.cpu_count, self.kernel) == (machine.cpu_model, machine.cpu_count, machine.kernel)
