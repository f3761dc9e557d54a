"""A result as Markdown for a post: machine, recipe, table with intervals, conditions, the machine's health, how to measure it again.

It tells no host, user, address or path: reasons and findings are told by their codes, which `docs/` explains.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from harness.errors import one_line
from harness.report import table
from harness.report.exports import base
from harness.report.exports.base import Export, Records
from harness.schema.health import HEALTHY
from harness.schema.plan import Plan
from harness.schema.result import CellResult, Finding, Result
from harness.schema.workload import Profile


def as_markdown(result: Result, plan: Plan, records: Records) -> Export:
    parts = [
        f"**{_plain(base.public(result.model))}** with {_plain(_engine(result))} on {_plain(_machine(result))}",
        "\n".join(_table(result)),
        "\n".join(f"- {_plain(line)}" for line in (*_conditions(result, plan), *_remarks(result))),
        "\n".join(_again(result, plan)),
    ]
    return Export(text="\n\n".join(parts) + "\n")


def _plain(text: str) -> str:
    """Names are other people's: none is to become a link, a picture or HTML in somebody's forum."""
    return re.sub(r"[\\`*\[\]<>|~&]", r"\\\g<0>", one_line(text))


def _engine(result: Result) -> str:
    return f"{result.engine.name} {result.engine.version or '(version not known)'}"


def _machine(result: Result) -> str:
    if result.server:
        return "somebody else's machine"
    machine = result.machine
    gpu = ", ".join(dict.fromkeys(gpu.name for gpu in machine.gpus)) or machine.cpu_model
    count = f"{result.nodes} × " if result.nodes > 1 else ""
    return f"{count}{machine.product}: {gpu}" if machine.product else f"{count}{gpu}"


def _table(result: Result) -> Iterator[str]:
    """Columns that no cell has a value for are left out; watts stand behind the speeds."""
    watts = [
        (f"{scope} {header}", f"{scope}_{name}")
        for scope in _scopes(result)
        for header, name in (("W", "w"), ("J/tok", "j_tok"))
    ]
    columns = [(header, [table.cell_figure(cell, name) for cell in result.cells]) for header, name in table.COLUMNS]
    columns += [(header, [table.watts(cell, name) for cell in result.cells]) for header, name in watts]
    shown = [(header, column) for header, column in columns if any(map(_tells, column))]
    yield _row(["cell", *(header for header, _ in shown), "verdict"])
    yield _row(["---", *("---:" for _ in shown), "---"])
    for place, cell in enumerate(result.cells):
        yield _row([cell.cell.words, *(column[place] for _, column in shown), _verdict(cell)])


def _tells(entry: str) -> bool:
    return entry not in ("", table.MISSING) and not entry.startswith("needs ")


def _scopes(result: Result) -> list[str]:
    return list(dict.fromkeys(scope for cell in result.cells for scope in cell.power))


def _verdict(cell: CellResult) -> str:
    worst = [finding.code for finding in cell.findings if finding.severity == cell.verdict]
    return f"{cell.verdict}: {', '.join(dict.fromkeys(worst))}" if worst else cell.verdict


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _conditions(result: Result, plan: Plan) -> Iterator[str]:
    work = plan.workload
    if name := base.recipe(result, plan):
        yield f"Recipe: {name} (SHA-256 {result.recipe_sha256[:12]})"
    if result.quantization:
        yield f"Quantization: {result.quantization}"
    if result.image is not None:
        yield f"Image: {base.image(result.image)}"
    if not result.server:
        machine = result.machine
        driver = f", driver {machine.gpu_driver}" if machine.gpu_driver else ""
        yield f"System: {machine.os}, Linux {machine.kernel}{driver}, {machine.memory_bytes / 2**30:.0f} GiB"
    classes = ", ".join(dict.fromkeys(cell.cell.prompt_class for cell in result.cells))
    sent, valid = sum(cell.sent for cell in result.cells), sum(cell.valid for cell in result.cells)
    loop = "at a rate, whatever the server does" if work.profile.rate else "closed loop without think time"
    cache = (
        "contexts put into the prefix cache first"
        if work.profile.prefix_caching
        else "no two prompts alike, cache hits checked"
    )
    yield (
        f"Load: profile {work.profile_name}, {valid} of {sent} requests count, in {len(result.trials)} trials; {loop}; "
        f"{classes} prompts, {cache}; "
        f"temperature {work.sampling.temperature:g}, seed {work.sampling.seed}"
    )


def _remarks(result: Result) -> Iterator[str]:
    yield f"Health of the machine: {_health(result)}"
    if result.state != "complete":
        yield f"The run did not end as planned ({result.state}): figures are of the trials that were finished"
    if result.findings:
        yield f"About the whole run: {_codes(result.findings)}"
    for cell in result.cells:
        if rest := [finding for finding in cell.findings if finding.severity == "warning"]:
            yield f"{cell.cell.words}: {_codes(rest)}"
    if any(cell.cell.concurrency is None for cell in result.cells):
        yield "At a rate, TTFT and calls count from when a request was due"
    yield "±: 95 % interval of the mean over runs; a percentile is told only of requests enough for it; decode is of one stream"


def _health(result: Result) -> str:
    health = result.health
    if health is None:
        return "not looked at"
    if health.reasons:
        return f"{health.verdict}: {', '.join(dict.fromkeys(reason.code for reason in health.reasons))}"
    if health.verdict == HEALTHY:
        return f"{HEALTHY}, as far as its sensors tell"
    return f"{health.verdict}: not seen: {', '.join(health.unseen)}"


def _codes(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(f"{finding.code} ({finding.severity})" for finding in findings))


def _again(result: Result, plan: Plan) -> Iterator[str]:
    words = ["harness bench", *map(shlex.quote, filter(None, [base.recipe(result, plan)]))]
    words += [] if plan.launch else ["--url http://127.0.0.1:PORT"]
    work = plan.workload
    words += [f"--profile {shlex.quote(one_line(work.profile_name))}", *_grid(work.profile)]
    words += [f"--seed {work.seed}"] if work.seed else []
    yield f"Measured {result.anchor.wall[:10]} with Spark Harness {result.harness_version}. To measure it again:"
    yield ""
    yield f"    {' '.join(words)}"
    if plan.overrides:
        yield ""
        yield f"Settings changed: {_plain(', '.join(sorted(plan.overrides)))} (to what, the result's plan.json has)."
    if plan.launch is None:
        yield ""
        yield "The server already ran: how it was started is not known."


def _grid(profile: Profile) -> Iterator[str]:
    """As options, of a plain grid; others have it in the profile of that name."""
    if profile.points or profile.schedule or profile.mix or profile.arrivals == "trace":
        return
    load = "rate" if profile.rate else "concurrency"
    for name in ("depth", "pp", "tg", load):
        yield f"--{name} {','.join(f'{value:g}' for value in getattr(profile, name))}"
    yield from ([f"--seconds {profile.seconds:g}"] if profile.rate else [])
    yield from ([f"--requests {profile.requests}"] if profile.requests else [])
    yield from ([f"--runs {profile.runs}"] if profile.target is None else [])
