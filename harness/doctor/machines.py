"""Several machines, for a recipe that is to run on them: what a run looks at before it starts, and nothing is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness import fits
from harness.doctor import needs
from harness.errors import HarnessError
from harness.hosts.cluster import open_places
from harness.launch import flags, machines
from harness.recipe.resolve import GridOverrides, resolve
from harness.schema.doctor import FAIL, Check
from harness.schema.machine import Machine
from harness.schema.node import Node
from harness.schema.recipe import Recipe


def look(
    recipe: Recipe,
    machine: Machine,
    nodes: Sequence[Node],
    environment: Mapping[str, str],
    *,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Check]:
    """`cache`, `say`: as `launch.flags.ask` has them, which asks the head. Raises `MachineError` for one that cannot be reached."""
    try:
        plan = resolve(recipe, machine, overrides={}, profile=None, grid=GridOverrides(), seed=0, url=None, nodes=nodes)
    except HarnessError as refusal:
        yield Check("recipe", FAIL, refusal.message, refusal.hint)
        return
    with open_places([node.host for node in nodes], environment) as places:
        yield from machines.look(plan, places, machine.models.get(plan.model))
        head, known = places[0], flags.elsewhere(machine, plan.engine) if places[0].far else machine
        asked = flags.ask(head.host, known, plan.engine, recipe.container, kept=cache, say=say)
        yield from needs.of_flags(recipe, asked, planned=True)
    if (fit := fits.of_plan(plan, recipe, machine)) is not None:
        yield needs.of_fit(fit)
