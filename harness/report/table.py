"""The tables a person reads: one result, all results, all recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.report import text
from harness.schema.recipe import Recipe
from harness.schema.result import CellResult, Result, Summary

STYLES = {"valid": "green", "unsteady": "yellow", "invalid": "red"}

COLUMNS = (
    ("decode tok/s", "decode_tok_s"),
    ("TTFT p50 ms", "ttft_p50_ms"),
    ("p90", "ttft_p90_ms"),
    ("p99", "ttft_p99_ms"),
    ("TPOT p50 ms", "tpot_p50_ms"),
    ("prefill tok/s", "prefill_tok_s"),
    ("output tok/s", "output_tok_s"),
    ("accept. length", "acceptance_length"),
)
"""(header, name in `harness.measure.metrics.METRICS`)."""

OPTIONAL = {"acceptance_length"}
"""Left out where no cell has a value: nothing is missing then."""

LEGEND = (
    "decode: one stream's tokens per second after its first event. TTFT: from the send to the first token. TPOT: per output token. "
    "output: all streams together. ±: 95 % interval of a mean. docs/metrics.md explains each."
)


def render(result: Result, *, path: Path, width: int, color: bool) -> str:
    """One result: figures per cell, what must be known before using them, and where everything lies."""
    parts = [_figures(result, width, color)] if result.cells else []
    remarks = list(_remarks(result))
    if remarks:
        parts.append("\n".join(text.wrapped(remark, width=width) for remark in remarks))
    parts.append("\n".join(text.wrapped(fact, width=width) for fact in _facts(result, path)))
    parts.append(text.wrapped(LEGEND, width=width))
    return "\n\n".join(parts)


def _figures(result: Result, width: int, color: bool) -> str:
    columns: list[text.Column] = [("cell", "left"), *((header, "right") for header, _ in COLUMNS), ("verdict", "left")]
    rows = [
        [shape(cell), *(_figure(cell, name) for _, name in COLUMNS), _verdict(cell.verdict, color)] for cell in result.cells
    ]
    return text.table(columns, rows, width=width, color=color)


def shape(cell: CellResult) -> str:
    """`pp128 tg128 c4`, with the depth where there is one."""
    what = cell.cell
    return f"{f'd{what.depth} ' if what.depth else ''}pp{what.pp} tg{what.tg} c{what.concurrency}"


def _figure(cell: CellResult, name: str) -> str:
    found = cell.figures.get(name)
    if name in OPTIONAL and (found is None or found.value is None):
        return ""
    return text.figure(found)


def _verdict(verdict: str, color: bool) -> str:
    return f"[{STYLES[verdict]}]{verdict}[/]" if color and verdict in STYLES else verdict


def _remarks(result: Result) -> Iterator[str]:
    for finding in result.findings:
        yield f"{finding.severity}: {finding.text} ({finding.code})"
    for cell in result.cells:
        for finding in cell.findings:
            yield f"{shape(cell)}: {finding.severity}: {finding.text} ({finding.code})"
        if cell.excluded:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(cell.excluded.items()))
            yield f"{shape(cell)}: {sum(cell.excluded.values())} of {cell.sent} requests do not count: {reasons}"
    for skipped in result.skipped:
        yield f"not measured: {skipped.cell.id}: {skipped.reason}"
    if result.state != "complete":
        yield f"This run is {result.state}: the figures are of the trials that were finished."


def _facts(result: Result, path: Path) -> Iterator[str]:
    engine, machine = result.engine, result.machine
    yield f"Model    {result.model} by {engine.name} {engine.version or '(version not known)'}"
    gpu = ", ".join(dict.fromkeys(gpu.name for gpu in machine.gpus)) or "no NVIDIA GPU"
    yield (
        f"Machine  {machine.product or machine.arch}: {gpu}; {machine.cpu_model}, {machine.cpu_count} cores, "
        f"{machine.memory_bytes / 2**30:.0f} GiB; Linux {machine.kernel}"
    )
    if engine.start_s:
        yield "Start    " + ", ".join(f"{step.replace('_', ' ')} {seconds:.1f} s" for step, seconds in engine.start_s.items())
    sent, valid = sum(cell.sent for cell in result.cells), sum(cell.valid for cell in result.cells)
    stamps = sorted({trial.client.stamps for trial in result.trials})
    yield f"Requests {valid} of {sent} count, in {len(result.trials)} trials; receive stamps: {' and '.join(stamps) or 'none'}"
    yield f"Stored   {path} (nothing was uploaded)"


def results(summaries: Sequence[Summary], *, width: int, color: bool) -> str:
    """One line a result."""
    if not summaries:
        return "No results yet: harness bench makes the first."
    columns: list[text.Column] = [
        ("id", "left"),
        ("time (UTC)", "left"),
        ("recipe", "left"),
        ("decode tok/s, c1", "right"),
        ("verdict", "left"),
        ("state", "left"),
    ]
    rows = [
        [
            summary.id,
            summary.started[:16].replace("T", " "),
            summary.recipe,
            "" if summary.decode_tok_s is None else text.number(summary.decode_tok_s),
            _verdict(summary.verdict, color),
            "" if summary.state == "complete" else summary.state,
        ]
        for summary in summaries
    ]
    return text.table(columns, rows, width=width, color=color)


def recipes(found: Sequence[Recipe], *, width: int, color: bool) -> str:
    """One line a recipe."""
    columns: list[text.Column] = [("recipe", "left"), ("engine", "left"), ("runs in", "left"), ("description", "left")]
    rows = [
        [recipe.name, recipe.harness.engine or recipe.runtime, "Docker" if recipe.container else "process", recipe.description]
        for recipe in found
    ]
    return text.table(columns, rows, width=width, color=color)
