"""`harness recipes`: what recipes there are, and whether they are sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import library, settings

app = typer.Typer(help="List, show and check recipes.", rich_markup_mode=None, no_args_is_help=True)


app.add_typer(library.app, name="registry")
app.command("import")(library.import_)
app.command("export")(library.export)


@app.command("list")
def list_(
    registry: Annotated[str | None, typer.Argument(metavar="[@REGISTRY]", help="Only that registry's.")] = None,
    hidden: Annotated[bool, typer.Option("--all", help="Those of registries that are not listed otherwise, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Every recipe that can be run by name."""
    import msgspec

    from harness.errors import RecipeError
    from harness.recipe import load

    recipes = []
    for name, path in library.recipe_files(registry, hidden=hidden):
        try:
            recipe = load.load(path)
        except RecipeError as error:  # it must not hide the others
            _say(f"Not a recipe: {error.message}")
            continue
        recipes.append(msgspec.structs.replace(recipe, name=name) if name else recipe)
    if json:
        print(
            msgspec.json.encode(
                [{"name": r.name, "model": r.model, "runtime": r.runtime, "path": r.path} for r in recipes]
            ).decode()
        )
        return
    from harness.report import table

    print(table.recipes(recipes, width=settings.width(), color=sys.stdout.isatty()))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name or path.")],
    command: Annotated[bool, typer.Option("--command", help="The command line it makes, instead of the file.")] = False,
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose rules make the command: sparkrun-0.4, as everywhere in the harness, sparkrun-0.2, or eugr.",
        ),
    ] = None,
) -> None:
    """The recipe as it is written, or the command that a loader makes of it."""
    from harness.errors import UsageError
    from harness.recipe import older

    recipe = settings.recipe(name)
    if not command and dialect is None:
        print(recipe.text, end="")
        return
    if dialect is not None and dialect not in older.DIALECTS:
        raise UsageError(f"--dialect {dialect}: no such rules", f"known: {', '.join(older.DIALECTS)}")
    print(older.command(recipe, dialect or older.SPARKRUN_0_4))


@app.command()
def lint(
    names: Annotated[list[str] | None, typer.Argument(help="Names or paths; all of them if none is given.")] = None,
) -> None:
    """Read recipes and say what is wrong or risky in them."""
    from functools import cache, partial

    from harness.errors import RecipeError
    from harness.hosts.local import LocalHost
    from harness.launch import flags
    from harness.recipe import catalog, lint, load
    from harness.recipe.flags import said
    from harness.recipe.resolve import engine_of

    paths: list[Path] = [settings.recipe_path(name) for name in names] if names else catalog.paths(settings.recipe_folders())
    ask = cache(partial(flags.ask, LocalHost(), settings.machine(), kept=settings.cache_folder(), say=_say))
    findings: list[lint.Finding] = []
    told, unread = set(), []
    for path in paths:
        try:
            recipe = load.load(path)
        except RecipeError as error:
            unread.append(error)
            continue
        asked = ask(engine_of(recipe) or "", recipe.container)
        findings += lint.lint(recipe, asked.flags, own=asked.own)
        told.add(f"Flags by {said(asked.flags)}" if asked.flags else f"Flags by heart only: {asked.reason}")
    if len(paths) == len(unread) == 1:
        raise unread[0]
    for line in [*(f"error: {error.message}; {error.hint}" for error in unread), *findings, *sorted(told)]:
        print(line)
    errors = len(unread) + sum(finding.severity == lint.ERROR for finding in findings)
    if errors:
        raise RecipeError(
            f"{errors} error{'s' * (errors != 1)} in {library.count(len(paths))}", "mend the lines marked error above"
        )
    print(f"{library.count(len(paths))} read, {len(findings)} remark{'s' * (len(findings) != 1)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
