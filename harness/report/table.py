"""The tables a person reads: one result, all results, all recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.report import about, text
from harness.schema.calibration import Calibration
from harness.schema.recipe import Recipe
from harness.schema.result import CellResult, Figure, Finding, Result, Summary

STYLES = {"valid": "green", "unsteady": "yellow", "invalid": "red"}

MISSING = "–"
COLUMNS = (
    ("decode tok/s", "decode_tok_s"),
    ("TTFT p50 ms", "ttft_p50_ms"),
    ("TTFT p90 ms", "ttft_p90_ms"),
    ("TTFT p99 ms", "ttft_p99_ms"),
    ("TPOT p50 ms", "tpot_p50_ms"),
    ("prefill tok/s", "prefill_tok_s"),
    ("output tok/s", "output_tok_s"),
    ("accept. length", "acceptance_length"),
    ("call p50 ms", "e2e_sched_p50_ms"),
    ("call p90 ms", "e2e_sched_p90_ms"),
    ("call p99 ms", "e2e_sched_p99_ms"),
    ("SLO share", "slo_share"),
    ("goodput req/s", "goodput_s"),
)
"""(header, name in `harness.measure.metrics.METRICS`)."""
IN_OPEN_LOOP = {"ttft_p50_ms": "ttft_sched_p50_ms", "ttft_p90_ms": "ttft_sched_p90_ms", "ttft_p99_ms": "ttft_sched_p99_ms"}
"""What stands in a column for an open loop instead: times count from when a request was due."""

OPTIONAL = {
    "acceptance_length",
    "e2e_sched_p50_ms",
    "e2e_sched_p90_ms",
    "e2e_sched_p99_ms",
    "slo_share",
    "goodput_s",
}
"""Not remarked upon where they have no value: the engine does not speculate then, the loop is closed, or no SLO was set."""

SEVERITIES = ("invalid", "unsteady", "warning", "note")

LEGEND = (
    "decode: one stream's tokens per second after its first event. TTFT: from the send to the first token. TPOT: per output token. "
    "output: all streams together. ±: 95 % interval of a mean. docs/metrics.md explains each."
)
LEGEND_OPEN = "At a rate, TTFT and the whole call count from when a request was due; goodput is of requests that kept the SLO."


def render(result: Result, *, path: Path, width: int, color: bool) -> str:
    """One result: figures per cell, what must be known before using them, and where everything lies."""
    parts = [_figures(result, width, color)] if result.cells else []
    parts += [_powers(result, width, color)] if any(cell.power for cell in result.cells) else []
    parts += [_block(head, lines, width) for head, lines in remarks(result)]
    parts.append("\n".join(text.wrapped(fact, width=width) for fact in about.of(result, path)))
    parts.append(text.wrapped(LEGEND, width=width))
    if any(cell.cell.concurrency is None for cell in result.cells):
        parts[-1] += "\n" + text.wrapped(LEGEND_OPEN, width=width)
    return "\n\n".join(parts)


def _figures(result: Result, width: int, color: bool) -> str:
    headers = ["cell", *(header for header, _ in COLUMNS), "verdict"]
    rows = [[cell.cell.words, *(cell_figure(cell, name) for _, name in COLUMNS), cell.verdict] for cell in result.cells]
    return _fitted(headers, rows, width, color)


def _fitted(headers: list[str], rows: list[list[str]], width: int, color: bool) -> str:
    """The first column and the last are words; the last is of the first table where there are several."""
    kept = [index for index in range(len(headers)) if any(row[index] not in ("", MISSING) for row in rows)]
    columns: list[text.Column] = [(headers[i], "left" if i in (0, len(headers) - 1) else "right") for i in kept]
    return text.fitted(columns, [[row[i] for i in kept] for row in rows], width=width, color=color, styles=STYLES, closing=True)


POWER = (("W", "w"), ("J/tok", "j_tok"), ("net J/tok", "net_j_tok"), ("J/request", "j_request"))
"""(header, name in `harness.measure.metrics.METRICS` behind the scope)."""


def _powers(result: Result, width: int, color: bool) -> str:
    """A line for each cell and scope that was measured, and by what."""
    headers = ["scope", *(header for header, _ in POWER), "by"]
    rows = [
        [f"{cell.cell.words} {scope}", *(watts(cell, f"{scope}_{name}") for _, name in POWER), reading.source]
        for cell in result.cells
        for scope, reading in cell.power.items()
    ]
    return _fitted(headers, rows, width, color)


def watts(cell: CellResult, name: str) -> str:
    found = cell.figures.get(name)
    return MISSING if found is None or found.value is None else text.figure(found)


def cell_figure(cell: CellResult, name: str) -> str:
    """Only `needs k more` is short enough for a table; other reasons are among the remarks."""
    found = _of(cell, name)
    if found is not None and found.value is None and not _needs_more(found):
        return MISSING
    return text.figure(found)


def _of(cell: CellResult, name: str) -> Figure | None:
    return cell.figures.get(IN_OPEN_LOOP.get(name, name) if cell.cell.concurrency is None else name)


def _needs_more(figure: Figure) -> bool:
    return re.fullmatch(r"needs \d+ more \w+", figure.reason or "") is not None


def _verdict(verdict: str, color: bool) -> str:
    return f"[{STYLES[verdict]}]{verdict}[/]" if color and verdict in STYLES else verdict


def _block(head: str, lines: Sequence[str], width: int) -> str:
    return "\n".join([text.wrapped(head, width=width), *(text.wrapped(line, width=width, indent="  ") for line in lines)])


def remarks(result: Result) -> Iterator[tuple[str, list[str]]]:
    """(heading, sentences): on the run, on each cell (on several at once where the same is said of them), on what is missing."""
    if result.state != "complete":
        state = "is still running, or was killed" if result.state == "running" else f"ended early ({result.state})"
        yield f"This run {state}: the figures are of the trials that were finished.", []
    if result.findings:
        yield "The whole run", _sentences(result.findings)
    said: dict[tuple[str, ...], list[str]] = {}
    for cell in result.cells:
        sentences = tuple(_sentences(cell.findings) + _unknown(cell))
        if sentences:
            said.setdefault(sentences, []).append(cell.cell.words)
    for sentences, shapes in said.items():
        yield "; ".join(shapes), list(sentences)
    if result.skipped:
        yield "Not measured", [f"{skipped.cell.id}: {skipped.reason}" for skipped in result.skipped]


def _sentences(findings: Sequence[Finding]) -> list[str]:
    """The worst first."""
    ranked = sorted(findings, key=lambda f: SEVERITIES.index(f.severity) if f.severity in SEVERITIES else len(SEVERITIES))
    return [f"{finding.severity}: {finding.text} ({finding.code})" for finding in ranked]


def _unknown(cell: CellResult) -> list[str]:
    """Why a figure of the table has no value; the same reason once."""
    why: dict[str, list[str]] = {}
    for header, name in COLUMNS:
        found = _of(cell, name)
        if found is not None and found.value is None and name not in OPTIONAL and not _needs_more(found):
            why.setdefault(found.reason or "it does not say why", []).append(header)
    return [f"not known: {', '.join(headers)}: {reason}" for reason, headers in why.items()]


def calibration(found: Calibration, *, path: Path, width: int, color: bool) -> str:
    """One line a load: the client's figures against the server's own log."""
    columns: list[text.Column] = [
        ("load", "left"),
        ("requests", "right"),
        ("lost", "right"),
        ("tok/s", "right"),
        ("TTFT error\np50 ms", "right"),
        ("TTFT error\np99 ms", "right"),
        ("decode\nerror", "right"),
        ("send lag\np99 ms", "right"),
        ("CPU µs\nper token", "right"),
    ]
    rows = [
        [
            point.load,
            str(point.requests),
            str(point.lost),
            f"{point.tok_s:,.0f}",
            f"{point.ttft_error_p50_ms:+.3f}",
            f"{point.ttft_error_p99_ms:.3f}",
            f"{point.decode_error:+.3%}",
            f"{point.send_lag_p99_ms:.3f}",
            f"{point.cpu_us_per_token:.1f}",
        ]
        for point in found.points
    ]
    shown = text.table(columns, rows, width=width, color=color)
    pinned = f", driver on cores {', '.join(map(str, found.driver_cpus))}" if found.driver_cpus else ""
    facts = text.wrapped(f"{found.cpu_model}, {found.cpu_count} cores{pinned}; Linux {found.kernel}", width=width)
    note = "Errors are against the server's own log, each request by itself; p99 without its sign."
    return f"{shown}\n\n{facts}\n{text.wrapped(note, width=width)}\nStored {path}"


def results(summaries: Sequence[Summary], *, width: int, color: bool) -> str:
    """One line a result; a run that did not end well has its state instead of a verdict."""
    from rich.markup import escape

    if not summaries:
        return "No results yet: harness bench makes the first."
    columns: list[text.Column] = [
        ("id", "left"),
        ("time (UTC)", "left"),
        ("recipe", "left"),
        ("decode\ntok/s c1", "right"),
        ("verdict", "left"),
    ]
    rows = [
        [
            summary.id,
            summary.started[:16].replace("T", " "),
            escape(summary.recipe),
            "" if summary.decode_tok_s is None else text.number(summary.decode_tok_s),
            _verdict(summary.verdict if summary.state == "complete" else summary.state, color),
        ]
        for summary in summaries
    ]
    return text.table(columns, rows, width=width, color=color)


def recipes(found: Sequence[Recipe], *, width: int, color: bool) -> str:
    """One line a recipe."""
    from rich.markup import escape

    columns: list[text.Column] = [("recipe", "left"), ("engine", "left"), ("runs in", "left"), ("description", "left")]
    rows = [
        [
            escape(recipe.name),
            escape(recipe.harness.engine or recipe.runtime),
            "Docker" if recipe.container else "process",
            escape(recipe.description),
        ]
        for recipe in found
    ]
    return text.table(columns, rows, width=width, color=color)
