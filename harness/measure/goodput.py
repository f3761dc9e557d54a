"""Requests that got what a user should get: goodput under an SLO, and the rate up to which a server gives it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.measure.runs import Request, Run
from harness.measure.stats import Estimate
from harness.schema.result import CellResult, Finding
from harness.schema.workload import Cell, Slo

Z_95 = 1.959964
CODES = ("slo_capacity", "knee")
"""Of `findings`."""
NOT_KNOWN = "a quantity that the SLO limits is not known of every request"
NO_SLO = "no SLO was set"


def keeps(request: Request, slo: Slo) -> bool | None:
    """Whether it counts and keeps every limit that is set; None where a limited quantity is not known. TTFT and the whole call count
    from when it was meant to leave; what ends with its first event has no TPOT to break."""
    timing = request.timing
    if request.excluded is not None:
        return False
    tpot_ns = 0 if timing.tokens is not None and timing.tokens == timing.k1 else timing.tpot_ns
    told = ((timing.ttft_sched_ns, slo.ttft_ms), (tpot_ns, slo.tpot_ms), (timing.e2e_sched_ns, slo.e2e_ms))
    limited = [(took_ns, limit_ms * 1e6) for took_ns, limit_ms in told if limit_ms is not None]
    if any(took_ns is None for took_ns, _ in limited):
        return None
    return all(took_ns is not None and took_ns <= limit_ns for took_ns, limit_ns in limited)


def kept_share(slo: Slo | None, runs: Sequence[Run]) -> Estimate:
    """Of all measured requests; a failed one does not keep it. Interval: Wilson 1927."""
    if slo is None:
        return Estimate(reason=NO_SLO)
    kept = [keeps(request, slo) for run in runs for request in run.measured]
    if not kept:
        return Estimate(reason="no request was sent")
    if None in kept:
        return Estimate(reason=NOT_KNOWN)
    n = len(kept)
    share = kept.count(True) / n
    square = Z_95**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return Estimate(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def limits(slo: Slo) -> str:
    """`TTFT 2000 ms, TPOT 100 ms`."""
    named = (("TTFT", slo.ttft_ms), ("TPOT", slo.tpot_ms), ("whole call", slo.e2e_ms))
    return ", ".join(f"{name} {limit:g} ms" for name, limit in named if limit is not None)


def holds(cell: CellResult) -> bool:
    """Whether the cell is not known to break its SLO."""
    share = cell.figures["slo_share"].value
    return cell.cell.slo is None or share is None or share >= cell.cell.slo.share


def findings(cells: Sequence[CellResult]) -> Iterator[Finding]:
    """What a ramp of rates says as a whole: up to where the SLO is held, and where the knee lies."""
    ramps = [cell for cell in cells if cell.cell.rate is not None]
    for _, group in groupby(
        sorted(ramps, key=lambda cell: (cell.cell.ramp, cell.cell.rate or 0.0)), key=lambda cell: cell.cell.ramp
    ):
        ramp = list(group)
        if len(ramp) > 1:
            yield from _capacity(ramp)
            yield from _knee(ramp)


def _capacity(ramp: Sequence[CellResult]) -> Iterator[Finding]:
    slo = ramp[0].cell.slo
    if slo is None or any(cell.figures["slo_share"].value is None for cell in ramp):
        return
    held = [cell.cell.rate or 0.0 for cell in ramp if holds(cell)]
    broken = next((cell for cell in ramp if not holds(cell)), None)
    limit = f"the SLO ({limits(slo)} for {slo.share:.0%} of the requests)"
    if broken is None:
        text = f"{limit} is held at every rate, up to {max(held):g} requests/s"
    else:
        best = max((rate for rate in held if rate < (broken.cell.rate or 0.0)), default=None)
        share = broken.figures["slo_share"].value or 0.0
        text = f"{limit} is held up to {best:g} requests/s" if best is not None else f"{limit} is not held at the lowest rate"
        text += f"; at {broken.cell.rate:g} requests/s {share:.1%} keep it"
    yield Finding(code="slo_capacity", severity="note", text=text)


def _knee(ramp: Sequence[CellResult]) -> Iterator[Finding]:
    """Where throughput divided by latency, Kleinrock's power (1979), is largest: beyond it latency grows faster than throughput."""
    power = []
    for cell in ramp:
        done, took = cell.figures["request_s"].value, cell.figures["e2e_sched_ms"].value
        if not done or not took:
            return
        power.append((done / took, cell.cell.rate or 0.0))
    best = max(power)[1]
    edge = ", the highest measured: it may lie above" if best == power[-1][1] else ""
    yield Finding(code="knee", severity="note", text=f"throughput per latency is best at {best:g} requests/s{edge}")


def goodput_s(cell: Cell, run: Run, length_ns: int) -> float | None:
    """Requests that keep the SLO, per second of the full run."""
    if cell.slo is None or length_ns <= 0:
        return None
    kept = [keeps(request, cell.slo) for request in run.measured]
    return None if None in kept else kept.count(True) * 1e9 / length_ns
