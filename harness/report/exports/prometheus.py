"""Prometheus' text format, for node_exporter's textfile collector or a push gateway; valid as OpenMetrics, too.

A gauge for each figure in base units (`…_seconds`, `…_ratio`), by `result`, `recipe` and `cell`, and two more for its 95 % interval. A
figure without a value has no sample. What a result and a cell are, is said by gauges of value 1.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import msgspec

from harness.measure.metrics import METRICS
from harness.report.exports import base
from harness.report.exports.base import Export, Records
from harness.schema.plan import Plan
from harness.schema.result import CellResult, Result

PREFIX = "spark_harness"


class Unit(msgspec.Struct, frozen=True):
    ours: str
    """In our names."""
    theirs: str
    factor: float = 1.0


UNITS = {
    "tok/s": Unit("_tok_s", "tokens_per_second"),
    "request/s": Unit("_s", "requests_per_second"),
    "step/s": Unit("_s", "steps_per_second"),
    "ms": Unit("_ms", "seconds", 1e-3),
    "tok": Unit("_tokens", "tokens"),
    "tok/step": Unit("", "tokens_per_step"),
    "tok/event": Unit("", "tokens_per_event"),
    "requests": Unit("", "requests"),
    "share": Unit("_share", "ratio"),
    "W": Unit("_w", "watts"),
    "J/tok": Unit("_j_tok", "joules_per_token"),
    "J/request": Unit("_j_request", "joules_per_request"),
    "Wh/Mtok": Unit("_wh_mtok", "watt_hours_per_million_tokens"),
}
PARTS = {
    "value": ("", ""),
    "low": ("_low", " Lower end of its 95 % interval."),
    "high": ("_high", " Upper end of its 95 % interval."),
}


def as_text(result: Result, plan: Plan, records: Records) -> Export:
    run = {"result": result.id, "recipe": base.recipe(result, plan)}
    lines = [*_about(result, run), *_cells(result, run)]
    for name in METRICS:
        lines += _family(result, name, run)
    return Export(text="\n".join([*lines, "# EOF"]) + "\n")


def family(name: str, part: str = "value") -> tuple[str, str, float]:
    """(name, unit, factor) of a figure in Prometheus' words: `decode_tok_s` → `spark_harness_decode_tokens_per_second`."""
    unit = UNITS[METRICS[name].unit]
    stem = name.replace(unit.ours, "", 1) if unit.ours else name
    if unit.theirs.startswith(stem):
        stem = ""  # `steps_s` are steps per second
    return "_".join(filter(None, (PREFIX, stem, PARTS[part][0].strip("_"), unit.theirs))), unit.theirs, unit.factor


def _about(result: Result, run: Mapping[str, str]) -> Iterator[str]:
    machine = result.machine
    labels = {
        **run,
        "model": base.public(result.model),
        "engine": result.engine.name,
        "engine_version": result.engine.version or "",
        "harness_version": result.harness_version,
        "gpu": ", ".join(dict.fromkeys(gpu.name for gpu in machine.gpus)),
        "product": machine.product or "",
        "machines": str(result.nodes),
        "state": result.state,
        "health": result.health.verdict if result.health else "",
    }
    yield from _head(f"{PREFIX}_result_info", "", "What was measured: always 1.")
    yield _sample(f"{PREFIX}_result_info", labels, 1)
    begun = datetime.datetime.fromisoformat(result.anchor.wall).timestamp()
    yield from _head(f"{PREFIX}_start_timestamp_seconds", "seconds", "When the run began, since 1970.")
    yield _sample(f"{PREFIX}_start_timestamp_seconds", run, begun)


def _cells(result: Result, run: Mapping[str, str]) -> Iterator[str]:
    if not result.cells:
        return
    yield from _head(f"{PREFIX}_cell_info", "", "A point of the grid and its verdict: always 1.")
    for found in result.cells:
        cell = found.cell
        shape = {"depth": cell.depth, "pp": cell.pp, "tg": cell.tg, "concurrency": cell.concurrency, "rate": cell.rate}
        told = {name: "" if value is None else f"{value:g}" for name, value in shape.items()}
        yield _sample(f"{PREFIX}_cell_info", _of(run, found) | told | {"verdict": found.verdict}, 1)
    yield from _head(f"{PREFIX}_cell_requests", "requests", "Measured requests, by whether they count.")
    for found in result.cells:
        for counts, number in (("yes", found.valid), ("no", found.sent - found.valid)):
            yield _sample(f"{PREFIX}_cell_requests", _of(run, found) | {"counts": counts}, number)


def _family(result: Result, metric: str, run: Mapping[str, str]) -> Iterator[str]:
    for part, (_, said) in PARTS.items():
        name, unit, factor = family(metric, part)
        known = [(found, figure) for found in result.cells if (figure := found.figures.get(metric)) is not None]
        values = [(found, value) for found, figure in known if (value := getattr(figure, part)) is not None]
        if values:
            yield from _head(name, unit, METRICS[metric].text + said)
            yield from (_sample(name, _of(run, found), value * factor) for found, value in values)


def _of(run: Mapping[str, str], found: CellResult) -> dict[str, str]:
    return {**run, "cell": found.cell.words}


def _head(name: str, unit: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {_escaped(text)}"
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text, quotes=True)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value!r}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
