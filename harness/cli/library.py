"""`harness recipes import | export | registry`: recipes of others, and ours for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.library.registries import Filled

app = typer.Typer(help="Collections of recipes with a name.", rich_markup_mode=None, no_args_is_help=True)

SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="A file, a folder, or the address of a git repository.")]
Offline = Annotated[bool, typer.Option("--offline", help="Keep off the network, as HF_HUB_OFFLINE=1 does.")]


def import_(
    source: SourceName,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="What to call it; for one file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace other recipes of the same name.")] = False,
    offline: Offline = False,
) -> None:
    """Copy recipes into your own folder, as they are, with a note of where they are from."""
    from harness.errors import RecipeError, one_line
    from harness.hosts.local import LocalHost
    from harness.library import imports, sources

    read = sources.read(LocalHost(), source, offline=offline or settings.offline())
    folder = settings.user_recipes()
    kept = 0
    for outcome in imports.bring(read, folder, name=name, force=force):
        print(one_line(f"{outcome.state:9}  {outcome.path}: {outcome.name}"))
        kept += outcome.state != imports.REFUSED
    if not kept:
        raise RecipeError(f"{read.name}: nothing was imported", "the lines above say why; recipes are YAML files with 'model:'")
    print(f"{count(kept)} in {folder}")


def export(
    name: Annotated[str, typer.Argument(help="A recipe's name or path.")],
    sparkrun: Annotated[bool, typer.Option("--sparkrun", help="As sparkrun v2: the only format so far.")] = True,
) -> None:
    """Print a recipe as plain sparkrun v2, without the harness: block and without secrets."""
    from harness.recipe.export import export as plain

    print(plain(settings.recipe(name)), end="")


@app.command()
def add(
    source: SourceName,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="What to call it, if the source does not say.")
    ] = None,
    offline: Offline = False,
) -> None:
    """Copy a collection; a repository with .sparkrun/registry.yaml may have several."""
    from harness.hosts.local import LocalHost
    from harness.library import registries

    for filled in registries.add(
        LocalHost(), settings.registries_folder(), source, name=name, offline=offline or settings.offline()
    ):
        _print(filled)


@app.command()
def update(
    names: Annotated[list[str] | None, typer.Argument(help="Registries; all of them if none is given.")] = None,
    offline: Offline = False,
) -> None:
    """Copy anew what registries have by now."""
    from harness.hosts.local import LocalHost
    from harness.library import registries

    for filled in registries.update(
        LocalHost(), settings.registries_folder(), names or [], offline=offline or settings.offline()
    ):
        _print(filled)


@app.command("list")
def list_() -> None:
    """The registries that were added."""
    from harness.library import registries

    for found in registries.known(settings.registries_folder()):
        hidden = "" if found.visible else ", not listed unless asked for"
        commit = f" {found.commit[:12]}" if found.commit else ""
        print(f"@{found.name}  {found.source}{commit} of {found.date}{hidden}")
        if found.description:
            print(f"    {found.description}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A registry.")]) -> None:
    """Forget a registry, and delete its copy."""
    from harness.library import registries

    print(f"@{registries.remove(settings.registries_folder(), name).name} was removed")


def count(recipes: int) -> str:
    return f"{recipes} recipe" + "s" * (recipes != 1)


def _print(filled: Filled) -> None:
    from harness.errors import one_line

    commit = f" at {filled.registry.commit[:12]}" if filled.registry.commit else ""
    print(f"@{filled.registry.name}: {count(filled.recipes)} of {filled.registry.source}{commit}")
    for path, why in filled.refused:
        print(one_line(f"  refused  {path}: {why}"))


def recipe_files(only: str | None, *, hidden: bool) -> list[tuple[str | None, Path]]:
    """(name where it is not the recipe's own, file) of what can be run by name; of one registry, or of all."""
    from harness.errors import UsageError
    from harness.recipe import catalog

    shelves = settings.shelves()
    if only is not None:
        wanted = only.removeprefix("@").rstrip("/")
        if wanted not in {shelf.name for shelf in shelves}:
            known = ", ".join(f"@{shelf.name}" for shelf in shelves) or "none was added"
            raise UsageError(f"{only}: there is no such registry", f"known: {known}")
        shelves = [shelf for shelf in shelves if shelf.name == wanted]
    listed = [shelf for shelf in shelves if only or hidden or shelf.visible]
    own: list[tuple[str | None, Path]] = [] if only else [(None, path) for path in catalog.paths(settings.recipe_folders())]
    return own + [(catalog.full_name(shelf, path), path) for shelf in listed for path in catalog.files_of(shelf)]
