"""The site from what is stored, and the page beside each result: it reads, the report draws."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from harness.errors import HarnessError, StoreError
from harness.report.site.pictures import Picture
from harness.schema.board import Board
from harness.schema.observation import Visit
from harness.schema.result import Result, Summary
from harness.schema.series import Series
from harness.store import folder, index, series

if TYPE_CHECKING:
    import duckdb

PAGE = "report.html"
PROCESSES = 2
ENOUGH = 100
"""Results from which on a second process is worth its start."""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    out: Path
    pages: int
    damaged: tuple[str, ...]
    """Results without a page, and why."""


def build(
    board: Board,
    facts: Mapping[str, Sequence[msgspec.Struct]],
    summaries: Sequence[Summary],
    out: Path,
    observations: Mapping[str, Sequence[Visit]] = MappingProxyType({}),
) -> Built:
    """Writes all pages into `out`; what else lies there stays. Raises `StoreError` when it cannot be written."""
    from harness.report.site import observed, pages

    try:
        for part in ("results", "observations") if observations else ("results",):
            (out / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out}: cannot be made: {error.strerror}", "choose another folder with --out DIR") from None
    named, unnamed = _named(summaries)
    damaged = _results(named, out / "results")
    written = [one for one in named if one.id not in damaged]
    without = (*unnamed, *damaged.values())
    known = {one.id: one for one in written}
    texts = {
        "index.html": pages.board(board, frozenset(known), observations),
        "load.html": pages.load(board, _newest(written)),
        "results.html": pages.results(written, without),
        "facts.html": pages.facts(facts, board.day),
        **{
            f"observations/{name}.html": observed.page_of(name, visits, known, board.day)
            for name, visits in observations.items()
        },
    }
    for name, text in texts.items():
        _write(out / name, text)
    return Built(out=out, pages=len(texts) + len(written), damaged=without)


def _named(summaries: Sequence[Summary]) -> tuple[list[Summary], list[str]]:
    """Those whose id can be a page's name, and is that of no other; and why the rest cannot. Results may come from elsewhere."""
    found: dict[str, Summary] = {}
    why = []
    for one in summaries:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one.id):
            why.append(f"{one.path}: '{one.id[:64]}' is no id of a result")
        elif one.id in found:
            why.append(f"{one.path}: {found[one.id].path} has the same id")
        else:
            found[one.id] = one
    return list(found.values()), why


def _newest(summaries: Sequence[Summary]) -> list[Summary]:
    """Of each system the newest result that was measured at several loads, else the newest."""
    found: dict[tuple[str, ...], Summary] = {}
    for one in sorted(summaries, key=lambda one: (len({point.concurrency for point in one.points}) > 1, one.started)):
        found[one.recipe, one.server, one.hardware, str(one.nodes)] = one
    return sorted(found.values(), key=lambda one: one.recipe)


def _results(summaries: Sequence[Summary], out: Path) -> dict[str, str]:
    """Writes a page each. Gives those that could not be read, by their ids."""
    if len(summaries) < ENOUGH or (os.cpu_count() or 1) == 1:
        return _some(summaries, out)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    parts = [summaries[start::PROCESSES] for start in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:  # DuckDB has threads: no fork
        found = list(pool.map(_some, parts, [out] * PROCESSES))
    return {ident: why for part in found for ident, why in part.items()}


def _some(summaries: Sequence[Summary], out: Path) -> dict[str, str]:
    damaged = {}
    db = series.open_tables()
    for one in summaries:
        path = Path(one.path)
        try:
            text = result_page(path, db, in_site=True)
        except StoreError as error:
            damaged[one.id] = error.message
            continue
        _write(out / f"{one.id}.html", text)
    return damaged


def result_page(path: Path, db: duckdb.DuckDBPyConnection, *, in_site: bool) -> str:
    """Of one result, as it lies in `path`. Raises `StoreError`."""
    from harness.report.site import pages

    result = folder.read_result(path)
    plan, recipe = folder.read_origin(path)
    points = index.summary(result, path).points
    where = f"{path.parent.name}/{path.name}"
    return pages.result(result, plan, recipe, _series(path, result, db), points, where=where, in_site=in_site)


def _series(path: Path, result: Result, db: duckdb.DuckDBPyConnection) -> Series:
    """Of a run that still goes on there are no tables yet."""
    return Series(lines=[], gaps=[]) if result.state == "running" else series.read(path, db)


def result_pictures(path: Path) -> list[Picture]:
    """Raises `StoreError`."""
    from harness.report.site import pictures

    result = folder.read_result(path)
    return pictures.of_result(result, _series(path, result, series.open_tables()), index.summary(result, path).points)


def keep_page(path: Path, say: Callable[[str], None]) -> None:
    """`report.html` beside a result. The result is stored by then: whatever is wrong with its page is said, and is no reason to fail."""
    from jinja2 import TemplateError

    try:
        folder.keep_text(path, PAGE, result_page(path, series.open_tables(), in_site=False))
    except (HarnessError, TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        say(f"{path / PAGE} could not be written: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


def _write(path: Path, text: str) -> None:
    """Not synced: a site can be built again."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}", "free some space, or choose another folder with --out DIR"
        ) from None
