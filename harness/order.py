"""What somebody wants measured, and who is told how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from harness import fits
from harness.recipe.docker import Terms
from harness.recipe.resolve import GridOverrides, resolve
from harness.schema.bill import Rates
from harness.schema.machine import Machine
from harness.schema.node import Node
from harness.schema.plan import Plan
from harness.schema.recipe import UNKNOWN_MODEL, Recipe
from harness.sense.sources import Named


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants measured, and where: everything a plan follows from."""

    recipe: Recipe
    machine: Machine
    overrides: Mapping[str, str]
    profile: str | None
    grid: GridOverrides
    seed: int
    driver_cpus: tuple[int, ...] | None
    """Cores for the load driver; None: as the plan sees fit."""
    driver_host: str | None = None
    """Where the load driver runs, by ssh; None: here."""
    driver_python: str = "python3"
    nodes: tuple[Node, ...] = ()
    """Where the server runs, its head first; none: here."""
    url: str | None
    served_model: str | None
    """With `url`: which of the models it serves."""
    api_key: str | None
    rates: Rates | None = None
    """What the server at `url` charges; None: nothing, or it is not known."""
    cap_usd: float | None = None
    """What the run may cost; None: nobody agreed to a sum."""
    named: Named = Named()
    """Meters and hosts whose sensors are read too."""
    memory_floor_bytes: int | None = None
    """Free memory below which the server is stopped; None: as the machine needs it, 0: never."""
    terms: Terms = Terms()
    """For a recipe that runs in a container."""
    offline: bool = False
    """Nothing is fetched: what is missing is said before the start."""
    drop_caches: bool = False
    """Empty the page cache before the start."""
    system_root: Path = Path("/")
    """Where the machine's /proc and /sys lie."""
    cache: Path | None = None
    """Where it is kept what engines said of their flags; None: nowhere."""
    environment: Mapping[str, str]
    """Of the caller: what engines inherit is chosen from it."""

    def plan(self, **more: str) -> Plan:
        """Reads the headers of the model's files, where it lies on this machine."""
        plan = resolve(
            self.recipe,
            self.machine,
            overrides={**self.overrides, **more},
            profile=self.profile,
            grid=self.grid,
            seed=self.seed,
            url=self.url,
            driver_cpus=self.driver_cpus,
            driver_host=self.driver_host,
            driver_python=self.driver_python,
            terms=self.terms,
            nodes=self.nodes,
        )
        if self.url and self.served_model:
            known = self.served_model if plan.model == UNKNOWN_MODEL else plan.model
            plan = msgspec.structs.replace(plan, served_model=self.served_model, model=known)
        return msgspec.structs.replace(plan, fit=fits.of_plan(plan, self.recipe, self.machine))


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """A live reading, for display only."""

    trial: int
    trials: int
    cell: str
    done: int
    total: int
    tok_s: float | None
    """Tokens of the requests that are done, per second so far; None before the first is."""
    left_s: float
    watts: Mapping[str, float] = {}
    """By scope."""


class Observer(Protocol):
    def say(self, text: str) -> None: ...
    def now(self, now: Now) -> None: ...
