"""Units as types: a name's last word says its unit (`_ns`, `_s`, `_w`, `_j`, `_bytes`), the type says it again."""

from __future__ import annotations

from typing import NewType

Ns = NewType("Ns", int)
"""Integer nanoseconds: an instant on CLOCK_MONOTONIC, or a span between two such instants."""

NS_PER_S = 1_000_000_000


def seconds(span: int) -> float:
    """Nanoseconds as float seconds."""
    return span / NS_PER_S
