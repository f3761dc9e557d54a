"""Spans of time in which something is counted."""

from __future__ import annotations

import msgspec


class Window(msgspec.Struct, frozen=True):
    """Half open: what happens at its start is outside, what happens at its end inside."""

    start_ns: int
    end_ns: int

    def holds(self, t_ns: int) -> bool:
        return self.start_ns < t_ns <= self.end_ns
