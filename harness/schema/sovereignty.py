"""An assessment against a sovereignty framework by ourselves: everything in it is an interval, since most of it is not known."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.schema.facts import Fact


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What narrows a criterion's answers."""

    columns: tuple[str, ...]
    """Names of the facts that it rests on."""
    facts: tuple[Fact[Any], ...]
    low: int
    high: int
    why: str
    """Why it follows from them."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a criterion's answers are possible: `low` to `high`, counted from the worst, 0. Without evidence all are."""

    criterion: str
    low: int
    high: int
    evidence: tuple[Evidence, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One objective."""

    id: str
    """`SOV-3`."""
    weight: float | None
    """Per cent; None: the profile's weights are not known."""
    low: float
    high: float
    """Score(SOVn)/Max(SOVn), 0 to 1."""
    seal_low: int
    seal_high: int
    answered: int
    """Criteria of which anything is known."""
    criteria: int


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """Self-assessed, never awarded."""

    framework: str
    profile: str
    low: float
    high: float
    """The sovereignty score, 0 to 100: with every unknown answer the worst, and the best."""
    coverage: float
    """Per cent of the weight that the criteria have of which anything is known."""
    seal_low: int
    seal_high: int
    """The assurance level: a minimum over all criteria."""
    parts: tuple[Part, ...]
    answers: tuple[Answer, ...]
