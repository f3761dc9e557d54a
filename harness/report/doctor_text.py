"""What `harness doctor` prints: a line of evidence for each check, and one of advice unless it passed."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check

COLORS = {PASS: 32, WARN: 33, FAIL: 31, SKIP: 2}
"""ANSI: green, yellow, red, faint."""


def render(checks: Sequence[Check], *, width: int, color: bool) -> str:
    """Words are never cut, so that commands and paths can be copied."""
    names = max((len(check.name) for check in checks), default=0)
    margin = " " * (4 + 2 + names + 2)
    lines = []
    for check in checks:
        told = _filled(check.text, f"{check.status:4}  {check.name:{names}}  ", margin, width)
        lines.append(f"\x1b[{COLORS[check.status]}m{check.status}\x1b[0m{told[len(check.status) :]}" if color else told)
        if check.advice:
            lines.append(_filled(check.advice, f"{margin}→ ", f"{margin}  ", width))
    return "\n".join([*lines, "", summary(checks)])


def summary(checks: Sequence[Check]) -> str:
    counts = Counter(check.status for check in checks)
    return ", ".join(f"{counts[status]} {status}" for status in (FAIL, WARN, PASS, SKIP) if counts[status])


def _filled(sentence: str, first: str, margin: str, width: int) -> str:
    return textwrap.fill(
        sentence, width, initial_indent=first, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
