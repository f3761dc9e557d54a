"""`harness results` and `harness verify`: what was measured here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.schema.calibration import Calibration
    from harness.schema.result import Result

app = typer.Typer(help="List and show stored results.", rich_markup_mode=None, no_args_is_help=True)

Root = Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Which = Annotated[str, typer.Argument(help="A folder, the beginning of an id, or latest.")]


@app.command("list")
def list_(root: Root = None, json: Json = False) -> None:
    """Every result, newest last."""
    from harness.report import table
    from harness.store import query

    summaries = query.list_results(root or settings.results_root())
    if json:
        import msgspec

        print(msgspec.json.encode(summaries).decode())
    else:
        print(table.results(summaries, width=settings.width(), color=sys.stdout.isatty()))


@app.command()
def show(which: Which = "latest", root: Root = None, json: Json = False) -> None:
    """The table of one result."""
    from harness.store import folder, query

    path = query.find(root or settings.results_root(), which)
    print_result(path, folder.read_result(path), json)


def verify(which: Which = "latest", root: Root = None) -> None:
    """Recompute every figure of a result from its raw records, and compare."""
    from harness import verify as verifier
    from harness.store import query

    path = query.find(root or settings.results_root(), which)
    print(verifier.verify(path))


def print_result(path: Path, result: Result, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(result).decode())
        return
    from harness.report import table

    print(table.render(result, path=path, width=settings.width(), color=sys.stdout.isatty()))


def print_calibration(path: Path, calibration: Calibration, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(calibration).decode())
        return
    from harness.report import table

    print(table.calibration(calibration, path=path, width=settings.width(), color=sys.stdout.isatty()))
