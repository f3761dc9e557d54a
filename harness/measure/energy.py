"""Joules of a trial's windows, scope by scope: from counters where they can be trusted, else from the integral of power.

A scope's number is the sum over the parts of one source (two GPUs) and over hosts, never over scopes or sources; what lacks one of them
is not known. Meters at the wall are of no host: all that were named are the wall. Not covered: what a source really measures. Samples must
reach beyond the windows on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from harness.measure import stats
from harness.measure.power_series import (
    COUNTER_FELL,
    ENERGY,
    FEW_SAMPLES,
    GAP,
    LEAST_READINGS,
    NOT_MEASURED,
    POWER,
    Channel,
    Readings,
    Spans,
    counted_j,
    falls,
    flaw,
    integral_j,
    series,
    spans,
    step_j,
    update_s,
)
from harness.measure.stats import Estimate
from harness.measure.windows import Window
from harness.schema.sensors import METER, POWER_SCOPES, WALL, Sample

COUNTER, INTEGRAL = "counter", "integral"
SOURCES = ("nvml", "hwmon", "rapl", METER)
"""The first that has a scope's value gives it; others come after these, by name."""
AGREEMENT = 0.05
"""How far a counter may be off the integral of the same source. Beyond it the integral counts, since nothing tells what such a counter
covers: on GH200 NVML's is of the whole module (ml-energy/zeus#172)."""
AGREEMENT_S = 20.0
"""Where windows are shorter than this together, what their edges may be off by is allowed on top."""
COARSE_ALONE, COARSE_BESIDE_POWER = 0.05, 0.01
"""Share of the energy that a counter's steps at the edges may make up: without, and with a sound integral to use instead."""
UPDATES_PER_WINDOW = 10
"""Of the sensor, on average, in a window of prefill or of decode."""
COARSE_COUNTER, WINDOW_SHORT, NO_WINDOW, DISAGREEMENT = "coarse_counter", "window_short", "no_window", "disagreement"
ZERO_POWER = "zero_power"
REASONS = {
    NOT_MEASURED: "not read",
    GAP: "a gap between readings in or around the window",
    FEW_SAMPLES: f"fewer than {LEAST_READINGS} readings in the window",
    COUNTER_FELL: "the counter fell",
    COARSE_COUNTER: "the counter's steps are too large for the window",
    ZERO_POWER: "it read 0 W throughout, which nothing that is on draws",
    WINDOW_SHORT: f"the windows are shorter than {UPDATES_PER_WINDOW} updates of the sensor, or it never changes",
}
JOULES_PER_WH = 3600


class ScopeEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """Of all windows together. `code` and `reason` say why there are no joules."""

    window_s: float
    joules: float | None = None
    mean_w: float | None = None
    source: str | None = None
    """Without the host; several joined by `+` where hosts differ. So `method`: `counter` or `integral`."""
    method: str | None = None
    update_s: float | None = None
    """Of the slowest sensor in it (`power_series.update_s`)."""
    boundary_error: float | None = None
    """The share by which edges may be off: twice the update period for each window. Above 0.01 for most windows under 20 s."""
    disagreement: float | None = None
    """Counter / integral - 1 of the same source, where both are sound."""
    passed_over: str | None = None
    """Why the counter that there is was not used: a code, or `disagreement`."""
    code: str | None = None
    reason: str | None = None


_Series = Mapping[tuple[str, str, str], Mapping[str, Readings]]


class Split(msgspec.Struct, frozen=True, kw_only=True):
    prefill: ScopeEnergy
    decode: ScopeEnergy


def energy(samples: Sequence[Sample], windows: Sequence[Window], expected: Collection[Channel] = ()) -> dict[str, ScopeEnergy]:
    """Of each scope in `POWER_SCOPES`, over windows that do not overlap. `expected`: channels that were read before; without one that
    is lost a total is not known."""
    return _energies(series(samples, expected), _hosts(samples, expected), spans(windows), 0)


def idle_w(samples: Sequence[Sample], window: Window, expected: Collection[Channel] = ()) -> dict[str, float]:
    """Mean watts of the scopes that are known in a window without load."""
    drawn = energy(samples, [window], expected)
    return {scope: found.mean_w for scope, found in drawn.items() if found.mean_w is not None}


def split(
    samples: Sequence[Sample], prefill: Sequence[Window], decode: Sequence[Window], expected: Collection[Channel] = ()
) -> dict[str, Split]:
    """Prefill and decode apart, at concurrency 1: [t_send, first token] and [first token, last token] of each request.

    Each is judged by itself: where prefill is too short for the sensor, decode may still be known. `expected` as in `energy`.
    """
    found, hosts = series(samples, expected), _hosts(samples, expected)
    before, after = (_energies(found, hosts, spans(windows), UPDATES_PER_WINDOW) for windows in (prefill, decode))
    return {scope: Split(prefill=before[scope], decode=after[scope]) for scope in POWER_SCOPES}


def net_j(found: ScopeEnergy, idle_w: float | None) -> float | None:
    """Joules above what the machine draws without load; below 0 when it drew less."""
    return None if found.joules is None or idle_w is None else found.joules - idle_w * found.window_s


def joules_per(joules: Sequence[float | None], counts: Sequence[int | None]) -> Estimate:
    """Σ joules / Σ tokens (or requests) over the runs where both are known; both of the same windows."""
    known = [(j, n) for j, n in zip(joules, counts, strict=True) if j is not None and n is not None]
    return stats.ratio_of_sums([j for j, _ in known], [n for _, n in known])


def wh_per_million(joules_per_token: Estimate) -> Estimate:
    """Wh per million tokens."""

    def scaled(joules: float | None) -> float | None:
        return None if joules is None else joules * 1e6 / JOULES_PER_WH

    each = joules_per_token
    return msgspec.structs.replace(each, value=scaled(each.value), low=scaled(each.low), high=scaled(each.high))


def _energies(found: _Series, hosts: Sequence[str], within: Spans, least_updates: int) -> dict[str, ScopeEnergy]:
    return {scope: _scope(found, scope, hosts, within, least_updates) for scope in POWER_SCOPES}


def _scope(found: _Series, scope: str, hosts: Sequence[str], within: Spans, least_updates: int) -> ScopeEnergy:
    """The sum over hosts of the first source on each that knows."""
    if not within.count:
        return ScopeEnergy(window_s=0.0, code=NO_WINDOW, reason="there is no window")
    if scope == WALL and any(source == METER for source, _, _ in found):
        hosts = [""]
    sources = {host: _ranked(found, scope, host) for host in hosts}
    bare = [host or "this machine" for host in hosts if not sources[host]]
    if bare or not hosts:
        reason = f"not measured on {', '.join(bare)}" if len(bare) < len(hosts) else "not measured"
        return ScopeEnergy(window_s=within.total_s, code=NOT_MEASURED, reason=reason)
    tried = [[_source(found, source, scope, within, least_updates) for source in ranked] for ranked in sources.values()]
    chosen = [next((one for one in ones if one.joules is not None), ones[0]) for ones in tried]
    return chosen[0] if len(chosen) == 1 else _total(chosen, within)


def _total(chosen: Sequence[ScopeEnergy], within: Spans) -> ScopeEnergy:
    """Over hosts."""
    known = [one.joules for one in chosen if one.joules is not None]
    if len(known) < len(chosen):
        return next(one for one in chosen if one.joules is None)
    source = "+".join(sorted({one.source for one in chosen if one.source}))
    method = "+".join(sorted({one.method for one in chosen if one.method}))
    off = [one.disagreement for one in chosen if one.disagreement is not None]
    return msgspec.structs.replace(
        _known(sum(known), [one.update_s for one in chosen], within, source, method),
        disagreement=max(off, key=abs, default=None),
        passed_over=next((one.passed_over for one in chosen if one.passed_over), None),
    )


def _source(found: _Series, source: str, scope: str, within: Spans, least_updates: int) -> ScopeEnergy:
    """Of one source on one host: by its counter, unless the integral of its power is to be preferred."""
    power, counter = found.get((source, scope, POWER), {}), found.get((source, scope, ENERGY), {})
    integral = _by(INTEGRAL, source, power, within, least_updates)
    coarse = COARSE_ALONE if integral.joules is None else COARSE_BESIDE_POWER
    counted = _by(COUNTER, source, counter, within, least_updates, coarse)
    if counted.joules is None and power:
        return msgspec.structs.replace(integral, passed_over=counted.code if counter else None)
    if counted.joules is None or not integral.joules:
        return counted
    off = counted.joules / integral.joules - 1
    edges = (counted.boundary_error or 0.0) + (integral.boundary_error or 0.0) if within.total_s < AGREEMENT_S else 0.0
    if abs(off) > AGREEMENT + edges:
        return msgspec.structs.replace(integral, disagreement=off, passed_over=DISAGREEMENT)
    return msgspec.structs.replace(counted, disagreement=off)


def _by(
    method: str, source: str, parts: Mapping[str, Readings], within: Spans, least_updates: int, coarse: float = 0.0
) -> ScopeEnergy:
    """The sum over parts, each of which must be sound."""
    if not parts:
        return ScopeEnergy(window_s=within.total_s, code=NOT_MEASURED, reason="not measured")
    joules, updates = 0.0, [update_s(readings) for readings in parts.values()]
    for (part, readings), update in zip(parts.items(), updates, strict=True):
        code = flaw(readings, within)
        if code is None and method == COUNTER and falls(readings, within):
            code = COUNTER_FELL
        if code is None and least_updates and (update is None or within.total_s < least_updates * update * within.count):
            code = WINDOW_SHORT
        if code is None:
            of_part = counted_j(readings, within) if method == COUNTER else integral_j(readings, within)
            joules += of_part
            if method == INTEGRAL and of_part <= 0:
                code = ZERO_POWER
            if method == COUNTER and (of_part <= 0 or step_j(readings, within) * within.count > coarse * of_part):
                code = COARSE_COUNTER
        if code is not None:
            reason = f"{source} {part}.{ENERGY if method == COUNTER else POWER}: {REASONS[code]}"
            return ScopeEnergy(window_s=within.total_s, code=code, reason=reason)
    return _known(joules, updates, within, source.partition("@")[0], method)


def _known(joules: float, updates: Sequence[float | None], within: Spans, source: str, method: str) -> ScopeEnergy:
    slowest = max((update for update in updates if update is not None), default=None)
    return ScopeEnergy(
        window_s=within.total_s,
        joules=joules,
        mean_w=joules / within.total_s,
        source=source,
        method=method,
        update_s=slowest,
        boundary_error=None if slowest is None else 2 * slowest * within.count / within.total_s,
    )


def _ranked(found: _Series, scope: str, host: str) -> list[str]:
    """The sources of a scope on a host, the preferred one first."""

    def rank(source: str) -> tuple[int, str]:
        name = source.partition("@")[0]
        return (SOURCES.index(name) if name in SOURCES else len(SOURCES), name)

    return sorted({source for source, of, _ in found if of == scope and source.partition("@")[2] == host}, key=rank)


def _hosts(samples: Sequence[Sample], expected: Collection[Channel]) -> list[str]:
    """Those with a sample of any kind, or with one before; this machine is ``."""
    sources = ({sample.source for sample in samples} | {source for source, _, _ in expected}) - {METER}
    return sorted({source.partition("@")[2] for source in sources})
