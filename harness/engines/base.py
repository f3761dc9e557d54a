"""What the harness must know of an inference server in order to measure it. Pure: no sockets, no processes, no files.

An engine is a module that satisfies `Engine`; `harness.engines.ENGINES` is the dict of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from harness.schema.memory import Claim

COUNTERS = (
    "prompt_tokens",  # prefilled, cached ones not included where the engine tells them apart
    "generation_tokens",
    "requests_finished",
    "cached_tokens",  # prompt tokens answered from the prefix cache
    "cache_queries_tokens",  # prompt tokens looked up in it
    "spec_drafts",  # verify steps
    "spec_draft_tokens",
    "spec_accepted_tokens",
    "ttft_sum_s",
    "ttft_count",
    "spec_accept_length_gauge",
)
"""Our names for the engines' own counters; an engine gives those that it has. All are monotone since the server started, but for the
gauge, which tells of the moment and stands in for the drafts where those are not counted."""


class Diagnosis(msgspec.Struct, frozen=True):
    """What a line of an engine's log means to the person who started it."""

    line: str
    """The first line that says what went wrong, as logged."""
    meaning: str
    advice: str
    """The next step, one sentence."""


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    version: str | None = None
    settings: dict[str, str] = {}
    """Effective settings as the server reports them, flattened to text; no secrets."""
    context_limit: int | None = None


class Engine(Protocol):
    """Implemented by modules, hence no `self`."""

    NAME: str
    HEALTH: str
    """Path that answers 200 once the server can take requests."""
    METRICS: str | None
    """Path of its Prometheus page."""

    def request_fields(self, *, tokens: int, salt: str, prefix_caching: bool) -> dict[str, object]:
        """Fields to add to an OpenAI request so that exactly `tokens` tokens come back, their number is told per event where the
        engine can, and no other request's prompt cache is hit (unless `prefix_caching`)."""

    def tokenize_request(self, text: str, model: str) -> tuple[str, object] | None:
        """(path, JSON payload) that counts `text` without special tokens; None where the server cannot."""

    def tokenize_count(self, reply: object) -> int:
        """Tokens in that request's JSON reply. Raises `EngineError` on another shape."""

    def counters(self, metrics: str) -> dict[str, float]:
        """The Prometheus page as `COUNTERS`."""

    def facts(self, get: Callable[[str], object | None]) -> ServerFacts:
        """Version, effective settings and context limit; `get(path)` gives a decoded JSON body or None."""

    def context_limit(self, argv: Sequence[str]) -> int | None:
        """The context the command line asks for."""

    def memory(self, argv: Sequence[str], env: Mapping[str, str]) -> Claim | None:
        """What the command line says of the memory it will take; None: nothing that could be held against the machine."""

    def needs_gpu(self, argv: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether this command can only run on a GPU."""

    def diagnose(self, log: Sequence[str]) -> Diagnosis | None:
        """The first error of a dead engine's log, explained."""
