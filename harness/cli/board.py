"""`harness board`: quality, speed, power, cost and terms of every system in one table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import assumed, options, settings

if TYPE_CHECKING:
    from harness.schema.board import Board
    from harness.schema.cost import Assumed

FORMATS = ("table", "md", "csv", "json")


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
    country: options.Country = "EU",
    business: options.Business = False,
    price_kwh: options.DollarsKwh = None,
    hardware_price: options.DollarsHardware = None,
    years: options.Years = 3.0,
    fx: options.Fx = None,
    seat: options.Seat = None,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="table, md, csv or json.")] = "table",
    root: options.Results = None,
) -> None:
    """Quality, speed, watts, cost and sovereignty of what was measured here and of what was published, in one table."""
    import msgspec

    from harness.board import costs, pick
    from harness.board import scaling as machines
    from harness.errors import UsageError
    from harness.report import board as report

    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: there is no such format", f"choose {', '.join(FORMATS)}")
    if scaling and (format_, columns) != ("table", None):
        raise UsageError("--scaling is a table of its own", "leave --format and --columns out")
    chosen = pick.columns(columns)
    ours = assumed.machines(
        country=country, business=business, price_kwh=price_kwh, hardware_price=hardware_price, years=years, fx=fx
    )
    found = pick.sort(pick.keep(whole(root, ours, assumed.seat(seat)), where or []), sort)
    if not costs.UNITS.keys() & set(chosen):
        found = msgspec.structs.replace(found, notes=found.notes[:-1])  # the last is what costs rest on
    if scaling:
        print(report.scaling(machines.steps(found), width=settings.width(), color=sys.stdout.isatty()))
    elif format_ == "table":
        print(report.table(found, chosen, width=settings.width(), color=sys.stdout.isatty()))
    elif format_ == "md":
        print(report.markdown(found, chosen))
    elif format_ == "csv":
        print(report.as_csv(found, chosen), end="")
    else:
        print(msgspec.json.encode(pick.only(found, chosen) if columns else found).decode())


def whole(root: Path | None, machines: Assumed | None = None, seat: str | None = None) -> Board:
    """All that is known on this machine. `machines`, `seat`: what is said of one's own. No network."""
    from harness import clock, overview
    from harness.board import own
    from harness.facts import load
    from harness.store import query

    place, facts = root or settings.results_root(), load.load(settings.user_facts())
    return overview.board(
        place,
        query.list_results(place),
        facts,
        settings.recipe_folders(),
        clock.utc_now().date(),
        machines or own.BY_FACTS,
        seat,
    )
