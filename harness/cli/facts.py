"""`harness facts`: what is known from outside, from where, and how old it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    import datetime

    import msgspec

    from harness.schema.facts import Facts

app = typer.Typer(
    help="List, show, check and import facts: prices, terms, ratings, watts.", rich_markup_mode=None, no_args_is_help=True
)

Today = Annotated[str | None, typer.Option("--today", metavar="DAY", help="Count ages from then.  [default: today]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Only that one, row by row.")] = None,
    today: Today = None,
    json: Json = False,
) -> None:
    """The tables, or the rows of one, with their age."""
    from harness.errors import UsageError, did_you_mean
    from harness.report import facts as text

    day = settings.day(today)
    found = tables(day)
    if table is not None and table not in found:
        near = did_you_mean(table, list(found))
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(found)}"
        raise UsageError(f"there is no table '{table}'", hint)
    if json:
        _print_json(found[table] if table else found)
    elif table:
        from harness.facts.prices import claimed

        beside = {claim.model: text.known(claim.said) for claim in claimed(found["claims"])}
        print(text.rows(table, found[table], day, width=settings.width(), color=sys.stdout.isatty(), claimed=beside))
    else:
        print(text.tables(found, day, width=settings.width(), color=sys.stdout.isatty()))


@app.command()
def show(
    row: Annotated[list[str], typer.Argument(metavar="ROW", help="A row's name, or words of it.")],
    today: Today = None,
    json: Json = False,
) -> None:
    """Every field of a row, with quote, source and date."""
    from harness.report import facts as text

    day = settings.day(today)
    name, found = _one(row, tables(day))
    if json:
        _print_json(found)
    else:
        print(text.row(name, found, day, width=settings.width()))


@app.command()
def check(today: Today = None) -> None:
    """Say what is wrong with the facts, or old."""
    from harness.errors import FactsError
    from harness.facts import check as checking

    findings = checking.check(settings.user_facts(), settings.day(today))
    for finding in findings:
        print(finding)
    errors = sum(finding.severity == checking.ERROR for finding in findings)
    if errors:
        raise FactsError(f"{errors} errors in the facts", "mend the lines marked error above")
    print(f"no errors, {len(findings)} remarks")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A facts file (YAML), or Parquet of the arena's dataset.")],
    config: Annotated[str, typer.Option(metavar="NAME", help="Which of the arena's tables a Parquet file is.")] = "text",
    force: Annotated[bool, typer.Option("--force", help="Replace another file of the same name.")] = False,
    today: Today = None,
) -> None:
    """Take facts over into your own folder; they come before those of the harness."""
    from harness.facts import bring

    brought = bring.bring(file, settings.user_facts(), config=config, day=settings.day(today), force=force)
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in _by_table(brought.facts).items() if rows)
    left = f"; {brought.left_out} of earlier days were left out" if brought.left_out else ""
    print(f"{brought.path}: {counts or 'no rows'}{left}")


@app.command()
def article(
    today: Annotated[str | None, typer.Option("--today", metavar="DAY", help="Whose prices count.  [default: today]")] = None,
) -> None:
    """The article's claims beside what is known of them, with their sums, as Markdown."""
    from harness.article import article as judged
    from harness.facts import load
    from harness.recipe import catalog
    from harness.recipe import load as recipes
    from harness.report import article as text

    found = (recipes.load(path) for path in catalog.paths(settings.recipe_folders()))
    facts = load.load(settings.user_facts())
    print(text.markdown(judged(facts, {recipe.name: recipe for recipe in found}, settings.day(today))))


def tables(day: datetime.date) -> dict[str, tuple[msgspec.Struct, ...]]:
    """With the prices of the package among those of the files."""
    from harness import overview
    from harness.facts import load

    return overview.tables(load.load(settings.user_facts()), day)


def _by_table(facts: Facts) -> dict[str, tuple[msgspec.Struct, ...]]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}


def _one(words: list[str], found: dict[str, tuple[msgspec.Struct, ...]]) -> tuple[str, msgspec.Struct]:
    """(table, row): the row of that name, or the only one that has all the words in it."""
    from harness.errors import UsageError, did_you_mean
    from harness.schema.facts import row_id

    rows = {f"{name}/{row_id(row)}": (name, row) for name, listed in found.items() for row in listed}
    asked = " ".join(words).lower()
    exact = [full for full in rows if asked in (full, full.partition("/")[2])]
    fitting = exact or [full for full in rows if all(word.lower() in full for word in words)]
    if len(fitting) == 1:
        return rows[fitting[0]]
    if fitting:
        more = f" and {len(fitting) - 6} more" if len(fitting) > 6 else ""
        raise UsageError(f"{len(fitting)} rows have '{asked}' in their names", f"one of {', '.join(fitting[:6])}{more}")
    near = did_you_mean(asked, list(rows))
    raise UsageError(
        f"no row is called '{asked}'", f"did you mean '{near}'?" if near else "harness facts list TABLE has their names"
    )


def _print_json(what: object) -> None:
    import msgspec

    print(msgspec.json.encode(what).decode())
