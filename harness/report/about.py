"""What stands below the figures of a result: what was measured, on what, by what, and where it lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.measure import egress
from harness.report import text
from harness.schema.bill import Spent
from harness.schema.calibration import Calibration
from harness.schema.health import DEGRADED, Health
from harness.schema.result import Result, Sanity
from harness.schema.sensors import POWER_SCOPES


def of(result: Result, path: Path) -> Iterator[str]:
    """One sentence each, what it is about in front. `path`: where the result lies."""
    engine, machine = result.engine, result.machine
    yield f"Model    {result.model} by {engine.name} {engine.version or '(version not known)'}"
    if result.image is not None:
        yield f"Image    {', '.join((result.image.name, *text.image(result.image)))}"
    gpu = ", ".join(dict.fromkeys(gpu.name for gpu in machine.gpus)) or "no NVIDIA GPU"
    yield (
        f"Machine  {machine.product or machine.arch}: {gpu}; {machine.cpu_model}, {machine.cpu_count} cores, "
        f"{machine.memory_bytes / 2**30:.0f} GiB; Linux {machine.kernel}"
    )
    if engine.start_s:
        yield "Start    " + ", ".join(f"{step.replace('_', ' ')} {seconds:.1f} s" for step, seconds in engine.start_s.items())
    if result.sanity is not None:
        yield f"Sanity   {_sanity(result.sanity)}"
    sent, valid = sum(cell.sent for cell in result.cells), sum(cell.valid for cell in result.cells)
    stamps = sorted({trial.client.stamps for trial in result.trials})
    reasons: Counter[str] = sum((Counter(cell.excluded) for cell in result.cells), Counter())
    out = "".join(f", {count} {reason}" for reason, count in sorted(reasons.items()))
    count = f"{valid} of {sent} count{out and f' (not: {out[2:]})'}, in {len(result.trials)} trials"
    yield f"Requests {count}; receive stamps: {' and '.join(stamps) or 'none'}"
    hosts = sorted({trial.client.host for trial in result.trials} - {"local"})
    yield f"Client   {'ran on ' if hosts else ''}{', '.join(hosts)}{'; ' if hosts else ''}{_client(result.calibration)}"
    if result.spent is not None:
        yield f"Spent    {_spent(result.spent)}"
    yield f"Power    {_power(result)}"
    yield from _roofline(result)
    if result.health is not None:
        yield f"Health   {_health(result.health)}"
    if result.egress is not None:
        yield f"Network  {egress.sentence(result.egress)}"
    yield f"Stored   {path} (nothing was uploaded)"


def _sanity(found: Sanity) -> str:
    known = [answer.right for answer in found.answers if answer.right is not None]
    if not found.findings:
        return f"it talks as a language model does; {sum(known)} of {len(known)} easy questions right"
    said = "; ".join(f"{finding.text} ({finding.code})" for finding in found.findings)
    return f"not passed: {said}{'; measured all the same, as the recipe says' if found.waived else ''}"


def _spent(spent: Spent) -> str:
    tokens = f"{spent.bill.input_tokens:,} tokens in, {spent.bill.output_tokens:,} out"
    return f"${spent.usd:.4f} by usage at the price of {spent.rates.source} ({tokens}); agreed to ${spent.cap_usd:,.4f}"


def _power(result: Result) -> str:
    """Which sensor gave the watts of each scope, and what the idle machine draws."""
    said = []
    for scope in POWER_SCOPES:
        known = [(cell.power[scope], cell.figures[f"{scope}_idle_w"].value) for cell in result.cells if scope in cell.power]
        if known:
            reading, idle_w = known[0]
            idle = "" if idle_w is None else f", idle {idle_w:.1f} W"
            said.append(f"{scope} by {reading.source} ({reading.method}{idle})")
    return "; ".join(said) or "not measured: no sensor gave watts for a whole window (harness doctor says which there could be)"


def _roofline(result: Result) -> Iterator[str]:
    """Of the first cell that has it: the specified bandwidth, else the measured one."""
    for suffix, what in (("", "specified"), ("_measured", "measured")):
        for cell in result.cells:
            used, ceiling = cell.figures.get(f"bw_util{suffix}"), cell.figures.get(f"ceiling{suffix}_tok_s")
            if used is not None and ceiling is not None and used.value is not None and ceiling.value is not None:
                allowed = f"{used.value:.0%} of the {what} memory bandwidth, which would allow {ceiling.value:.0f} tok/s"
                yield f"Roofline {cell.cell.words}: {allowed}"
                return


def _health(health: Health) -> str:
    if health.verdict == DEGRADED:
        return "degraded: " + "; ".join(f"{reason.text} ({reason.code})" for reason in health.reasons)
    if health.unseen:
        return f"{health.verdict}: not seen: {', '.join(health.unseen)}"
    return f"{health.verdict}, as far as this machine's sensors tell (docs/gb10.md)"


def _client(calibration: Calibration | None) -> str:
    if calibration is None:
        return "not calibrated on this machine: harness calibrate shows its error bars"
    worst = max(calibration.points, key=lambda point: point.ttft_error_p99_ms)
    return (
        f"calibrated {calibration.when[:10]}: TTFT within {worst.ttft_error_p99_ms:.2g} ms (p99 at {worst.load}), "
        f"median decode error {max(abs(point.decode_error) for point in calibration.points):.2%}"
    )
