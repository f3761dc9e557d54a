"""Runs → watts and joules of each scope, by name; a scope that was not measured has its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.measure import energy, stats
from harness.measure.energy import ScopeEnergy, Split
from harness.measure.power_series import Channel
from harness.measure.runs import Run
from harness.measure.stats import Estimate
from harness.measure.trials import around, expected
from harness.measure.windows import Window
from harness.schema.result import Finding, PowerReading
from harness.schema.sensors import POWER_SCOPES, Idle, Sample

NOT_ALONE = "prefill and decode overlap: apart at one stream only"
NO_IDLE = "the idle machine was not measured"
NO_COUNT = "events carry no counts, so the window's tokens are not known"
NO_POWER = "not measured"
EDGE = 0.01
"""Share by which a window's edges may be off before it is said."""


def estimates(runs: Sequence[Run], idle_w: Mapping[str, float]) -> dict[str, Estimate]:
    """By the names of `metrics.METRICS`. `idle_w`: what the idle machine draws, by scope."""
    found: dict[str, Estimate] = {}
    for scope in POWER_SCOPES:
        found |= {f"{scope}_{name}": estimate for name, estimate in _of_scope(scope, runs, idle_w.get(scope)).items()}
    return found


def readings(runs: Sequence[Run]) -> dict[str, PowerReading]:
    """Where each scope's joules come from."""
    found = {}
    for scope in POWER_SCOPES:
        known = [run.power[scope] for run in runs if scope in run.power and run.power[scope].joules is not None]
        if known:
            told = [each for each in known if each.boundary_error is not None]
            off = sum((each.boundary_error or 0.0) * each.window_s for each in told)
            found[scope] = PowerReading(
                source="+".join(sorted({each.source or "" for each in known})),
                method="+".join(sorted({each.method or "" for each in known})),
                window_s=sum(each.window_s for each in known),
                update_s=max((each.update_s for each in known if each.update_s is not None), default=None),
                boundary_error=off / sum(each.window_s for each in told) if told else None,
                passed_over=next((each.passed_over for each in known if each.passed_over), None),
            )
    return found


def findings(runs: Sequence[Run]) -> list[Finding]:
    """What a reader must know of the joules."""
    found = []
    known = readings(runs)
    short = {scope: error for scope, each in known.items() if (error := each.boundary_error or 0.0) > EDGE}
    if short:
        text = f"energy may be off by {max(short.values()):.0%} ({', '.join(short)}): the windows are short beside the sensor's updates"
        found.append(Finding(code="short_power_window", severity="note", text=text))
    for scope in known:
        of_scope = [run.power[scope] for run in runs if scope in run.power]
        unknown = [each for each in of_scope if each.joules is None]
        if unknown:
            text = f"{scope}: watts and joules are of {len(of_scope) - len(unknown)} of {len(of_scope)} trials: {unknown[0].reason}"
            found.append(Finding(code="energy_of_some_trials", severity="note", text=text))
        off = [abs(each.disagreement or 0.0) for each in of_scope if each.passed_over == energy.DISAGREEMENT]
        if off:
            text = f"{scope}: the energy counter is {max(off):.0%} off the power readings, which count: it may cover something else"
            found.append(Finding(code="energy_counter_disagrees", severity="note", text=text))
    return found


def idle_w(span: Idle, samples: Sequence[Sample], first: Mapping[Channel, int] | None = None) -> dict[str, float]:
    """What the idle machine drew, by scope. `samples` and `first` as in `trials.run_of`."""
    window = Window(span.t_start_ns, span.t_end_ns)
    return energy.idle_w(around(samples, span), window, expected(samples, span, first))


def mean_w(spans: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By scope, over the spans that know it."""
    known = {scope: [span[scope] for span in spans if scope in span] for scope in POWER_SCOPES}
    return {scope: sum(watts) / len(watts) for scope, watts in known.items() if watts}


def _of_scope(scope: str, runs: Sequence[Run], idle_w: float | None) -> dict[str, Estimate]:
    known = [run.power[scope] for run in runs if scope in run.power]
    joules = [each.joules for each in known]
    tokens = [run.energy_tokens for run in runs if scope in run.power]
    requests = [run.energy_requests for run in runs if scope in run.power]
    missing = _why(known)
    if missing is None and all(count is None for count in tokens):
        missing = NO_COUNT
    net = [energy.net_j(each, idle_w) for each in known]
    per_token = _or(missing, lambda: energy.joules_per(joules, tokens))
    splits = [(run, run.split[scope]) for run in runs if scope in run.split]
    return {
        "w": _or(_why(known), lambda: stats.mean([each.mean_w for each in known if each.mean_w is not None])),
        "idle_w": Estimate(reason=NO_IDLE)
        if idle_w is None
        else Estimate(value=idle_w, n=1, reason="not a sample: no interval"),
        "j_tok": per_token,
        "net_j_tok": _or(missing or (NO_IDLE if idle_w is None else None), lambda: energy.joules_per(net, tokens)),
        "j_request": _or(_why(known), lambda: energy.joules_per(joules, requests)),
        "wh_mtok": energy.wh_per_million(per_token),
        "prefill_j_tok": _part(missing, splits, lambda split: split.prefill, lambda run: run.prefill_tokens),
        "decode_j_tok": _part(missing, splits, lambda split: split.decode, lambda run: run.decode_tokens),
    }


def _part(
    missing: str | None,
    splits: Sequence[tuple[Run, Split]],
    part: Callable[[Split], ScopeEnergy],
    tokens: Callable[[Run], int | None],
) -> Estimate:
    """Joules per token of prefill or of decode."""
    if missing is not None or not splits:
        return Estimate(reason=missing or NOT_ALONE)
    parts = [part(split) for _, split in splits]
    joules = [each.joules for each in parts]
    return _or(_why(parts), lambda: energy.joules_per(joules, [tokens(run) for run, _ in splits]))


def _why(known: Sequence[ScopeEnergy]) -> str | None:
    """Why no run has joules; None when one has."""
    if any(each.joules is not None for each in known):
        return None
    return next((each.reason for each in known if each.reason), NO_POWER)


def _or(missing: str | None, estimate: Callable[[], Estimate]) -> Estimate:
    return Estimate(reason=missing) if missing is not None else estimate()
