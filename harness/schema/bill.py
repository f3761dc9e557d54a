"""What requests to a server that charges for them cost."""

from __future__ import annotations

import msgspec


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """List price. What a provider takes off for cached input is not counted on."""

    usd_mtok_in: float
    usd_mtok_out: float
    up_to_tokens: int | None = None
    """Of input, in one request: longer ones are listed at another price. None: at any length."""
    source: str
    """Where it is from, with its date: `genai-prices 0.2.3 (2026-11-02)`, `--price`."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, and the tokens that are charged for."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )

    def usd(self, rates: Rates) -> float:
        return (self.input_tokens * rates.usd_mtok_in + self.output_tokens * rates.usd_mtok_out) / 1e6


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has cost by usage and list price. Of answers whose usage never came the most that they can have cost is counted."""

    usd: float
    bill: Bill
    rates: Rates
    cap_usd: float
    """What was agreed to beforehand. No trial begins that could pass it."""
