"""`harness results export`, `import` and `imports`: results in others' formats, and others' results on the board."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import settings
from harness.cli.results import Root, Which


def export(
    which: Which = "latest",
    format_: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="llama-benchy, sparkrun-csv, vllm-bench, prometheus or markdown."),
    ] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there instead of printing it.")] = None,
    root: Root = None,
) -> None:
    """A result in another program's format. Nothing is sent anywhere."""
    from harness import atomic
    from harness.errors import StoreError, UsageError, did_you_mean
    from harness.report.exports.formats import FORMATS, FROM_RAW
    from harness.store import folder, query

    if format_ not in FORMATS:
        near = did_you_mean(format_, list(FORMATS))
        raise UsageError(
            f"--format {format_}: there is no such format",
            f"did you mean '{near}'?" if near else f"choose from {', '.join(FORMATS)}",
        )
    path = query.find(root or settings.results_root(), which)
    if format_ in FROM_RAW:
        stored = folder.read(path)
        result, plan, records = stored.result, stored.plan, stored.records
    else:
        result, (plan, _), records = folder.read_result(path), folder.read_origin(path), {}
    made = FORMATS[format_](result, plan, records)
    for what in made.left_out:
        print(f"Left out: {what}", file=sys.stderr)
    if out is None:
        print(made.text, end="")
        return
    try:
        atomic.write(out, made.text.encode())
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}", "choose another file with --out FILE") from None
    print(f"{out} written. Nothing was sent anywhere.", file=sys.stderr)


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON of llama-benchy or vllm bench serve.")],
    hardware: Annotated[
        str, typer.Option(metavar="TEXT", help="What it was measured on, such as GB10: files do not tell.")
    ] = "",
    engine: Annotated[str, typer.Option(metavar="NAME", help="The engine that was measured.")] = "",
    source: Annotated[str, typer.Option(metavar="TEXT", help="Where the file is from: an address, a name.")] = "",
    root: Root = None,
) -> None:
    """Keep other programs' results, and show them on the board as imported: not measured here, not verifiable."""
    from harness.board import foreign
    from harness.report import imports as report
    from harness.store import imports

    place = root or settings.results_root()
    for file in files:
        data = imports.content(file)
        taken = foreign.read(data, str(file))
        kept = imports.keep(place, data, file.name, hardware=hardware, engine=engine, source=source)
        print(report.one(kept, taken, width=settings.width()))


def imports(root: Root = None) -> None:
    """What was imported: which figures were taken, which not, and why."""
    from harness.board import foreign
    from harness.report import imports as report
    from harness.store import imports as store

    kept, broken = store.every(root or settings.results_root())
    for about, data in kept:
        print(report.one(about, foreign.read(data, about.name), width=settings.width()))
    for why in broken:
        print(why, file=sys.stderr)
    if not kept and not broken:
        print("Nothing was imported yet: harness results import FILE")
