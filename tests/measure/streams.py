"""Records and trials made by hand, in milliseconds, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.schema.request import CONTENT, OTHER, ROLE, TOKEN_KINDS, Event, Record, Usage
from harness.schema.run import ClientReport, Trial
from harness.schema.workload import Cell, Profile

MS = 1_000_000
PP, TG = 512, 8


def ns(milliseconds: float) -> int:
    return round(milliseconds * MS)


def cell(concurrency: int = 1, *, depth: int = 0, pp: int = PP, tg: int = TG, prefix_caching: bool = False) -> Cell:
    return Cell(
        id=f"d{depth}-pp{pp}-tg{tg}-c{concurrency}",
        depth=depth,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        prompt_class="prose",
        prefix_caching=prefix_caching,
        requests=4,
        warmup=1,
    )


def stream(
    *arrivals: tuple[float, str, int | None],
    send: float = 0.0,
    end: float | None = None,
    index: int = 0,
    phase: str = "measure",
    tokens: int | None = TG,
    asked: int | None = TG,
    prompt: int | None = PP,
    cached: int | None = 0,
    source: str = "token_ids",
    slot: int = 0,
) -> Record:
    """`arrivals` are (ms after the send, kind, tokens); `end` is ms after the send, by default 1 ms after the last arrival."""
    last = max((at for at, _, _ in arrivals), default=0.0)
    return Record(
        index=index,
        phase=phase,
        slot=slot,
        asked_tokens=asked,
        asked_prompt_tokens=PP,
        t_sched_ns=ns(send),
        t_send_ns=ns(send),
        t_end_ns=ns(send + (last + 1 if end is None else end)),
        status=200,
        finish_reason="length",
        usage=Usage(prompt_tokens=prompt, completion_tokens=tokens, cached_tokens=cached),
        token_source=source,
        reads=len(arrivals) + 1,
        events=tuple(Event(ns(send + at), kind, "x" if kind in TOKEN_KINDS else "", count) for at, kind, count in arrivals),
    )


def even(
    send: float,
    *,
    ttft: float = 100.0,
    step: float = 10.0,
    index: int = 0,
    phase: str = "measure",
    tg: int = TG,
    asked: int | None = None,
) -> Record:
    """One token per event at an even pace; the answer ends with its last token."""
    arrivals = [(ttft / 2, ROLE, None), *((ttft + k * step, CONTENT, 1) for k in range(tg))]
    return stream(*arrivals, send=send, end=ttft + (tg - 1) * step, index=index, phase=phase, tokens=tg, asked=asked or tg)


def speculative(send: float = 1000.0, index: int = 0) -> Record:
    """Eight tokens in three events, after a role without tokens; then a finish and a usage event."""
    return stream(
        (5, ROLE, None), (100, CONTENT, 3), (150, CONTENT, 2), (200, CONTENT, 3), (200.5, OTHER, None), send=send, index=index
    )


def failed(send: float, took: float, *, index: int = 0, error: str = "timeout", phase: str = "measure") -> Record:
    """Five tokens come half-way, and then nothing any more."""
    return Record(
        index=index,
        phase=phase,
        slot=0,
        t_sched_ns=ns(send),
        t_send_ns=ns(send),
        t_end_ns=ns(send + took),
        error=error,
        error_detail="it broke off",
        token_source="token_ids",
        events=(Event(ns(send + took / 2), CONTENT, "x", 5),),
    )


CLIENT = ClientReport(
    wall_s=10.0,
    cpu_s=0.5,
    send_lag_p50_ns=10_000,
    send_lag_p99_ns=50_000,
    send_lag_max_ns=60_000,
    loop_lag_p99_ns=20_000,
    clock_step_ns=0,
    stamps="kernel",
    peak_in_flight=99,
)


def client(**changes: object) -> ClientReport:
    return msgspec.structs.replace(CLIENT, **changes)


NO_HITS = {"cached_tokens": 0.0, "cache_queries_tokens": 4096.0}


def trial(
    index: int = 0, *, counters: dict[str, float] | None = None, report: ClientReport = CLIENT, cell_id: str = "d0-pp512-tg8-c1"
) -> Trial:
    """`counters` is how far they moved."""
    moved = NO_HITS if counters is None else counters
    return Trial(
        index=index,
        cell=cell_id,
        block=index,
        t_start_ns=0,
        t_end_ns=0,
        client=report,
        counters_before=dict.fromkeys(moved, 1000.0),
        counters_after={name: 1000.0 + value for name, value in moved.items()},
    )


def back_to_back(count: int, *, ttft: float = 100.0, step: float = 10.0, start: float = 0.0, tg: int = TG) -> list[Record]:
    """One slot, no pause."""
    each = ttft + (tg - 1) * step
    return [even(start + k * each, ttft=ttft, step=step, index=k, tg=tg) for k in range(count)]


def profile(**changes: object) -> Profile:
    return msgspec.structs.replace(Profile(percentile=50, runs=3, max_runs=6, target=0.02, max_seconds=100.0), **changes)


def keyed(runs: Sequence[Sequence[Record]]) -> dict[int, list[Record]]:
    return {index: list(records) for index, records in enumerate(runs)}
