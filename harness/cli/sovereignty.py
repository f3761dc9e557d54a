"""`harness sovereignty`: providers and results against the EU Cloud Sovereignty Framework."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import assumed, options, settings

if TYPE_CHECKING:
    from harness.schema.sovereignty import Assessment


def sovereignty(
    which: Annotated[
        str | None,
        typer.Argument(metavar="[ROW|RESULT]", help="A provider, or a result as `results show` has it: with all evidence."),
    ] = None,
    seat: options.Seat = None,
    root: options.Results = None,
    today: Annotated[str | None, typer.Option("--today", metavar="DAY", help="The day that --seat was said.")] = None,
    json: options.Json = False,
) -> None:
    """Assess providers, and a machine of your own, against the EU Cloud Sovereignty Framework."""
    from harness.facts import load
    from harness.measure import sovereignty as measure
    from harness.report import sovereignty as text
    from harness.schema.facts import row_id
    from harness.store import folder, index, query

    seat = assumed.seat(seat)
    facts, day, stored = load.load(settings.user_facts()), settings.day(today), root or settings.results_root()
    providers = {row_id(row): row for row in facts.providers}
    wanted = _wanted(which, list(providers))
    found: dict[str, list[Assessment]] = {}
    if (which and not wanted) or (which is None and query.list_results(stored)):
        path = query.find(stored, which or "latest")
        result = index.summary(folder.read_result(path), path)
        known = [measure.local(result, facts, seat=seat, day=day, profile=profile) for profile in measure.PROFILES]
        found[f"{result.model} here ({result.id})"] = known
    for name in wanted:
        found[name] = [measure.api(providers[name], facts, profile) for profile in measure.PROFILES]
    if json:
        import msgspec

        print(msgspec.json.encode(found).decode())
    elif which:
        ((who, known),) = found.items()
        print(text.one(who, known, facts, width=settings.width(), color=sys.stdout.isatty()))
    else:
        print(text.table(found, width=settings.width(), color=sys.stdout.isatty()))


def _wanted(which: str | None, names: list[str]) -> list[str]:
    """Providers of that name, or the only one with all its words in it; none where it is no provider's."""
    from harness.errors import UsageError

    if which is None or which in names:
        return [which] if which else names
    fitting = [name for name in names if all(word in name for word in which.lower().split())]
    if len(fitting) > 1:
        raise UsageError(f"{len(fitting)} rows have '{which}' in their names", f"one of {', '.join(fitting)}")
    return fitting
