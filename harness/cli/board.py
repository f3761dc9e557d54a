"""`harness board`: quality, speed, power, cost and terms of every system in one table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.schema.board import Board


def board(
    columns: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Columns, or groups of them: quality, speed, power, cost, terms, all."),
    ] = None,
    sort: Annotated[str | None, typer.Option(metavar="COLUMN", help="Best first; worst first with a minus before it.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only rows that keep it: 'decode_tok_s>50', trains_on_data=no, model~mistral."),
    ] = None,
    scaling: Annotated[bool, typer.Option("--scaling", help="What each added machine brought, instead.")] = False,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="table, md, csv or json.")] = "table",
    root: Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")] = None,
) -> None:
    """Quality, speed, watts, cost and sovereignty of what was measured here and of what was published, in one table."""
    from harness.board import pick
    from harness.board import scaling as machines
    from harness.errors import UsageError
    from harness.report import board as report

    chosen = pick.columns(columns)
    found = pick.sort(pick.keep(whole(root), where or []), sort)
    if scaling:
        print(report.scaling(machines.steps(found), width=settings.width(), color=sys.stdout.isatty()))
    elif format_ == "table":
        print(report.table(found, chosen, width=settings.width(), color=sys.stdout.isatty()))
    elif format_ == "md":
        print(report.markdown(found, chosen))
    elif format_ == "csv":
        print(report.as_csv(found, chosen), end="")
    elif format_ == "json":
        import msgspec

        print(msgspec.json.encode(found).decode())
    else:
        raise UsageError(f"--format {format_}: there is no such format", "choose table, md, csv or json")


def whole(root: Path | None) -> Board:
    """All that is known on this machine. No network."""
    from harness import clock
    from harness.board import foreign, imported, join, measured, offers, published
    from harness.facts import load as load_facts
    from harness.facts import prices
    from harness.recipe import catalog, load
    from harness.recipe.resolve import engine_of
    from harness.store import imports, query

    recipes = [load.load(path) for path in catalog.paths(settings.recipe_folders())]
    facts, day = load_facts.load(settings.user_facts()), clock.utc_now().date()
    listed = prices.every(facts, day)
    place = root or settings.results_root()
    found = measured.rows(query.list_results(place))
    kept, broken = imports.every(place)
    return join.board(
        [offers.named(row, prices.at(row.provider, row.model, day), listed) if row.provider else row for row in found],
        published.rows((recipe, engine_of(recipe) or recipe.runtime) for recipe in recipes),
        day=day,
        facts=facts,
        offers=offers.rows(facts, listed),
        imported=imported.rows((about, foreign.read(data, about.name)) for about, data in kept),
        notes=broken,
    )
