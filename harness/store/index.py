"""What lists and the board need of every result, kept beside them: ten thousand files `result.json` take about
seven seconds to read, this one less than one (two x86-64 cores, 2026-11-25).

`results/.index` only saves time. An entry holds for a `result.json` of that very size and time; whatever else is there, is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from harness import atomic
from harness.errors import StoreError
from harness.measure import egress
from harness.schema.result import CellResult, Figure, Point, Reading, Result, Summary
from harness.schema.sensors import POWER_SCOPES
from harness.store.folder import read_result
from harness.typed import unpacked

FILE = ".index"
VERSION = 2
"""To be raised with every change of `Summary` or of what is put into it."""

ALWAYS = frozenset(
    (
        "decode_tok_s",
        "prefill_tok_s",
        "output_tok_s",
        "request_s",
        "ttft_p50_ms",
        "ttft_p90_ms",
        "ttft_p99_ms",
        "e2e_sched_p99_ms",
    )
)
KNOWN = frozenset(
    ("output_tok_s_full", "prompt_tokens", "completion_tokens", "cached_share", "cached_share_counters", "in_flight")
)
"""Where they have a value: what costs are reckoned from besides."""
SCOPED = {scope: tuple(f"{scope}_{name}" for name in ("w", "idle_w", "j_tok")) for scope in POWER_SCOPES}
"""Of the scopes that were measured, at work or idle."""


class _Known(msgspec.Struct, array_like=True):
    modified_ns: int
    size: int
    summary: Summary


class _Index(msgspec.Struct):
    version: int = VERSION
    known: dict[str, _Known] = {}
    """By folder, from the root."""


def summaries(root: Path) -> list[Summary]:
    """Of every readable result below `root`, in no order."""
    old = _read(root).known
    new: dict[str, _Known] = {}
    for file in root.glob("*/*/result.json"):
        name = f"{file.parent.parent.name}/{file.parent.name}"
        with suppress(FileNotFoundError):
            state = file.stat()
            kept = old.get(name)
            fresh = kept is not None and (kept.modified_ns, kept.size) == (state.st_mtime_ns, state.st_size)
            found = kept.summary if kept and fresh else _summary(file.parent)
            if found is not None:  # else it is tried again: rights, or a newer harness, change no file
                new[name] = _Known(state.st_mtime_ns, state.st_size, found)
    if new != old:
        with suppress(OSError):  # results may lie where nothing can be written
            atomic.write(root / FILE, msgspec.msgpack.encode(_Index(known=new)))
    return [msgspec.structs.replace(known.summary, path=str(root / name)) for name, known in new.items()]


def _read(root: Path) -> _Index:
    try:
        found = unpacked((root / FILE).read_bytes(), _Index)
    except (OSError, msgspec.MsgspecError):
        return _Index()
    return found if found.version == VERSION else _Index()


def _summary(path: Path) -> Summary | None:
    try:
        return summary(read_result(path), path)
    except StoreError:
        return None  # one damaged result must not hide the others


def summary(result: Result, path: Path) -> Summary:
    left, left_how = egress.left(result.egress)
    verdicts = {cell.verdict for cell in result.cells}
    single = next((cell for cell in result.cells if cell.cell.concurrency == 1), None)
    decode = single.figures.get("decode_tok_s") if single else None
    return Summary(
        id=result.id,
        path=str(path),
        started=result.anchor.wall,
        recipe=result.recipe_name,
        model=result.model,
        quantization=result.quantization,
        engine=result.engine.name,
        engine_version=result.engine.version,
        nodes=result.nodes,
        server=result.server,
        hardware=_hardware(result),
        launched=bool(result.engine.start_s),
        left=left,
        left_how=left_how,
        state=result.state,
        verdict=next((name for name in ("invalid", "unsteady", "valid") if name in verdicts), "-"),
        decode_tok_s=decode.value if decode else None,
        points=tuple(map(_point, result.cells)),
    )


def _point(found: CellResult) -> Point:
    cell = found.cell
    return Point(
        depth=cell.depth,
        pp=cell.pp,
        tg=cell.tg,
        concurrency=cell.concurrency,
        rate=cell.rate,
        turns=cell.turns,
        shape=cell.words,
        verdict=found.verdict,
        why="; ".join(each.text for each in found.findings if each.severity == found.verdict),
        figures={name: _reading(found.figures[name]) for name in _kept(found.figures)},
    )


def _kept(figures: Mapping[str, Figure]) -> Iterator[str]:
    for name, figure in figures.items():
        if name in ALWAYS or (name in KNOWN and figure.value is not None):
            yield name
    for names in SCOPED.values():
        if any(name in figures and figures[name].value is not None for name in names):
            yield from (name for name in names if name in figures)


def _reading(figure: Figure) -> Reading:
    return Reading(figure.value, figure.low, figure.high, "" if figure.value is not None else figure.reason or "")


def _hardware(result: Result) -> str:
    if result.server:
        return ""
    gpus = list(dict.fromkeys(gpu.name.removeprefix("NVIDIA ") for gpu in result.machine.gpus))
    return ", ".join(gpus) or result.machine.cpu_model
