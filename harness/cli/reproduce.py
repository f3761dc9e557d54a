"""What `harness reproduce` does: find what is named, order that it is measured again, print the comparison."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import settings
from harness.errors import RecipeError, StoreError, UsageError

if TYPE_CHECKING:
    from harness.order import Order
    from harness.reproduce import Measured
    from harness.schema.recipe import Recipe

KEPT, KEPT_WIDTH = "reproduction.txt", 100
"""The comparison as text, beside the result. It can be had again with `--with`."""


def find(which: str, root: Path) -> Recipe | Measured:
    """A recipe, else a result. Raises `RecipeError`, `StoreError`."""
    from harness import reproduce
    from harness.recipe import catalog, load
    from harness.store import query

    if which == "latest" or (Path(which) / "result.json").is_file():
        return reproduce.read(query.find(root, which))
    try:
        return load.load(catalog.find(which, settings.recipe_folders()))
    except RecipeError as unknown:
        try:
            path = query.find(root, which)
        except StoreError as error:
            raise RecipeError(f"{unknown.message}; {error.message}", unknown.hint) from None
    return reproduce.read(path)


def order(
    what: Recipe | Measured,
    ordering: Callable[..., Order],
    *,
    profile: str | None,
    set_: list[str] | None,
    seed: int | None,
    hosts: str | None,
    cluster: str | None,
    url: str | None,
    model: str | None,
) -> Order:
    """`ordering` is `settings.order` with what is the same for both."""
    from harness import reproduce
    from harness.schema.recipe import Recipe

    ordering = partial(ordering, cluster=cluster)
    if isinstance(what, Recipe):
        return reproduce.published_order(ordering(what, profile, set_, seed=seed or 0, hosts=hosts, url=url, model=model))
    for option, given in (("--profile", profile), ("--seed", seed)):
        if given is not None:
            raise UsageError(f"{option} is for recipes: a result is measured again as it was", "leave it out")
    plan = what.plan
    if plan.launch is None and url is None:
        url, model = plan.url, model or plan.served_model
    if url is None and hosts is None and cluster is None and plan.nodes:
        hosts = ",".join(node.host for node in plan.nodes)
    before = [f"{key}={value}" for key, value in plan.overrides.items() if key != "port"]  # it may be the one that was free
    name, again = plan.workload.profile_name, plan.workload.seed
    return reproduce.repeated_order(
        ordering(what.recipe, name, [*before, *(set_ or [])], seed=again, hosts=hosts, url=url, model=model), what
    )


def measured(order: Order, root: Path, *, quiet: bool) -> Path:
    """Where the result lies."""
    from harness import bench
    from harness.cli.progress import Terminal, interruptible

    with interruptible(), Terminal(quiet=quiet) as terminal:
        return bench.bench(order, root, terminal)[0]


def stored(root: Path, which: str) -> Path:
    from harness.store import query

    return query.find(root, which)


def compared(what: Recipe | Measured, path: Path, json: bool, *, keep: bool = False) -> int:
    """Prints the comparison, and gives the exit code. `keep`: beside the result too."""
    import msgspec

    from harness import reproduce
    from harness.report import reproduce as report
    from harness.schema.recipe import Recipe
    from harness.store import folder

    now = reproduce.read(path)
    found = reproduce.of_recipe(what, now) if isinstance(what, Recipe) else reproduce.of_result(what, now)
    if keep:
        folder.keep_text(path, KEPT, report.render(found, path=path, width=KEPT_WIDTH, color=False))
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print(report.render(found, path=path, width=settings.width(), color=sys.stdout.isatty()))
    return reproduce.exit_code(found, now.result)
