"""The records against what the engine says of itself: prefix-cache hits, counters, llama.cpp's own timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from harness.measure.runs import CACHE_LIMIT, Request, Run, cache_share
from harness.measure.speculation import ACCEPTANCE, impossible
from harness.measure.throughput import decode_tok_s
from harness.schema.result import Finding
from harness.schema.workload import Cell
from harness.units import NS_PER_S

TOLERANCE = 0.02
TTFT_FLOOR_S = 0.001
"""HTTP and the network lie between the engine's first token and ours."""
PREFIX_FOUND, PREFIX_LOST = 0.95, 0.5
"""Caches hold whole blocks, so a little of the context is always computed anew."""
PREFIX_EXTRA_TOKENS, PREFIX_EXTRA_SHARE = 128, 0.05


def findings(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    if cell.turns == 1:  # turns carry what the server has seen, so hits are what they should have
        yield from _prefix(cell, runs) if cell.prefix_caching else _cache(runs)
    yield from _counters(cell, runs)
    yield from _acceptance(runs)
    yield from _timings(runs)


def usage_cache(runs: Sequence[Run]) -> tuple[int, int, int] | None:
    """(cached tokens, prompt tokens, requests) of the measured requests whose usage names both; None when none does."""
    told = [
        r.record.usage
        for run in runs
        for r in run.measured
        if r.record.usage is not None and r.record.usage.cached_tokens is not None
    ]
    prompts = sum(usage.prompt_tokens or 0 for usage in told)
    return (sum(usage.cached_tokens or 0 for usage in told), prompts, len(told)) if prompts else None


def _cache(runs: Sequence[Run]) -> Iterator[Finding]:
    """Every prompt is new, so nothing of it may come from the cache."""
    told, by_counters = usage_cache(runs), cache_share(runs)
    shares = [(told[0] / told[1], "usage")] if told else []
    shares += [(by_counters, "counters")] if by_counters is not None else []
    share, source = max(shares, default=(0.0, ""))
    if share > CACHE_LIMIT:
        text = f"{share:.1%} of the prompt tokens came from the prefix cache, by the server's {source}: prefill was skipped"
        yield Finding(code="cache_hits", severity="invalid", text=text)
    if not shares:
        text = "neither usage nor counters tell of prefix-cache hits, so it is not shown that there were none"
        yield Finding(code="cache_unverified", severity="warning", text=text)


def _prefix(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """The context was put into the cache, and just that should come from it."""
    told = usage_cache(runs)
    if told is None:
        text = "usage does not tell of cached tokens, so it is not shown that the context came from the prefix cache"
        yield Finding(code="cache_unverified", severity="warning", text=text)
        return
    mean = told[0] / told[2]
    if mean < PREFIX_FOUND * cell.depth:
        text = f"of {cell.depth} context tokens only {mean:.0f} came from the prefix cache, on average"
        yield Finding(code="prefix_lost", severity="invalid" if mean < PREFIX_LOST * cell.depth else "warning", text=text)
    if mean > cell.depth + max(PREFIX_EXTRA_TOKENS, PREFIX_EXTRA_SHARE * cell.pp):
        text = (
            f"{mean:.0f} tokens came from the prefix cache, on average, but the context has {cell.depth}: prompts were not new"
        )
        yield Finding(code="cache_hits", severity="invalid", text=text)


def _counters(cell: Cell, runs: Sequence[Run]) -> Iterator[Finding]:
    """Counters move with every request, so warm-up and priming are on our side too. What a failed request made the engine do is
    not known: it widens what is expected."""
    told = [run for run in runs if run.delta("generation_tokens") is not None]
    answered = [request for request in _requests(told) if request.record.error is None and request.timing.tokens is not None]
    tokens = sum(request.timing.tokens or 0 for request in answered)
    most = tokens + cell.tg * (len(_requests(told)) - len(answered))
    yield from _compare("generation_tokens", told, tokens, most, "tokens generated")
    told = [run for run in runs if run.delta("requests_finished") is not None]
    whole = sum(request.record.error is None for request in _requests(told))
    yield from _compare("requests_finished", told, whole, len(_requests(told)), "requests finished")
    yield from _ttft([run for run in runs if run.delta("ttft_sum_s", "ttft_count") is not None])


def _acceptance(runs: Sequence[Run]) -> Iterator[Finding]:
    """An acceptance length that cannot be says nothing, and the engine's counters are not to be trusted."""
    moved: dict[str, float] = {}
    for run, name in product(runs, ACCEPTANCE):
        if (delta := run.delta(name)) is not None:
            moved[name] = moved.get(name, 0.0) + delta[0]
    if (text := impossible(moved, len(_requests(runs)))) is not None:
        yield Finding(code="impossible_acceptance", severity="invalid", text=text)


def _compare(name: str, runs: Sequence[Run], low: int, high: int, what: str) -> Iterator[Finding]:
    counted = sum(moved[0] for run in runs if (moved := run.delta(name)) is not None)
    if not runs or low * (1 - TOLERANCE) <= counted <= high * (1 + TOLERANCE):
        return
    ours = f"{low}" if low == high else f"{low} to {high}"
    if counted == 0:
        text = f"the engine's counter of {what} did not move, the answers say {ours}: it may be brought up to date late"
        yield Finding(code=f"counter_{name}", severity="note", text=text)
    else:
        text = f"the engine counted {counted:.0f} {what}, the answers say {ours}: another client, or counters that lag"
        yield Finding(code=f"counter_{name}", severity="warning", text=text)


def _ttft(runs: Sequence[Run]) -> Iterator[Finding]:
    moved = [delta for run in runs if (delta := run.delta("ttft_sum_s", "ttft_count")) is not None]
    total, count = sum(delta[0] for delta in moved), sum(delta[1] for delta in moved)
    ours = [request.timing.ttft_ns / NS_PER_S for request in _requests(runs) if request.timing.ttft_ns is not None]
    if count <= 0 or not ours:
        return
    theirs, mean = total / count, sum(ours) / len(ours)
    if abs(theirs - mean) > max(TOLERANCE * mean, TTFT_FLOOR_S):
        both = f"{theirs * 1e3:.1f} ms by the engine's counters and {mean * 1e3:.1f} ms here"
        text = f"mean TTFT is {both} ({theirs / mean - 1:+.1%})"
        yield Finding(code="counter_ttft", severity="warning", text=text)


def engine_rates(run: Run) -> tuple[float | None, float | None]:
    """(decode, prefill) in tokens per second by llama.cpp's timings of the requests that count; None where it gave none."""
    told = [request.record.timings for request in run.valid if request.record.timings is not None]
    decode_ms, prefill_ms = sum(timings.decode_ms for timings in told), sum(timings.prefill_ms for timings in told)
    decode = sum(timings.decode_tokens - 1 for timings in told) * 1e3 / decode_ms if decode_ms > 0 else None
    prefill = sum(timings.prefill_tokens for timings in told) * 1e3 / prefill_ms if prefill_ms > 0 else None
    return decode, prefill


def _timings(runs: Sequence[Run]) -> Iterator[Finding]:
    pairs = [(ours, theirs) for run in runs if (ours := decode_tok_s(run)) and (theirs := engine_rates(run)[0])]
    if pairs:
        ours, theirs = sum(pair[0] for pair in pairs) / len(pairs), sum(pair[1] for pair in pairs) / len(pairs)
        if abs(ours - theirs) > TOLERANCE * theirs:
            text = f"decode is {ours:.2f} tok/s here and {theirs:.2f} by the engine's own timings ({ours / theirs - 1:+.1%})"
            yield Finding(code="engine_timings", severity="warning", text=text)
    told = [request for run in runs for request in run.valid if request.record.timings is not None]
    odd = [r for r in told if r.record.timings is not None and r.record.timings.decode_tokens != r.timing.tokens]
    if odd:
        text = f"in {len(odd)} of {len(told)} requests the engine's timings name another number of tokens than its usage"
        yield Finding(code="engine_timings_tokens", severity="warning", text=text)


def _requests(runs: Sequence[Run]) -> list[Request]:
    return [request for run in runs for request in run.requests]
