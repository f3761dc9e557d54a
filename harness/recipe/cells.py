"""A profile → the cells to measure, and how long that will take. Pure."""

from __future__ import annotations

import math
from functools import partial
from itertools import product

import msgspec

from harness.errors import RecipeError, UsageError
from harness.schema.plan import TimeEstimate
from harness.schema.recipe import Recipe
from harness.schema.workload import PERCENTILE_FLOORS, Cell, Profile, Sampling, Skipped, Workload, cell_id

SHORTEST_PROMPT = 32
"""Tokens below which the chat template and what makes a prompt unique leave no room for a text."""

ASSUMED_DECODE_TOK_S = 30.0
ASSUMED_PREFILL_TOK_S = 1000.0
ASSUMED_START_S = {"docker": 300.0, "process": 90.0}


class GridOverrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says instead of the profile; None: as the profile has it."""

    depth: tuple[int, ...] | None = None
    pp: tuple[int, ...] | None = None
    tg: tuple[int, ...] | None = None
    concurrency: tuple[int, ...] | None = None
    runs: int | None = None
    requests: int | None = None


def override(profile: Profile, grid: GridOverrides) -> Profile:
    """The profile with the command line's lists. A fixed schedule belongs to its own grid and falls away with it."""
    changes = {name: value for name, value in msgspec.structs.asdict(grid).items() if value is not None}
    for name, value in changes.items():
        least = 0 if name == "depth" else 1
        if value == () or min(value if isinstance(value, tuple) else (value,)) < least:
            raise UsageError(f"--{name}: needs numbers of at least {least}", f"write it like --{name} {max(least, 1)}")
    if "runs" in changes:
        changes["max_runs"] = max(grid.runs or 1, profile.max_runs) if profile.target is not None else grid.runs
    if "requests" in changes:
        changes["requests_per_slot"] = None
    if {"depth", "concurrency"} & changes.keys():
        changes["schedule"] = None
    return msgspec.structs.replace(profile, **changes)


def workload(name: str, profile: Profile, *, seed: int, context_limit: int | None) -> Workload:
    """Raises `RecipeError` for a grid that cannot be measured as it is meant."""
    cells, skipped = [], []
    for depth, pp, tg, concurrency in _points(name, profile):
        if pp < SHORTEST_PROMPT:
            raise RecipeError(
                f"profile {name}: pp {pp} is shorter than {SHORTEST_PROMPT} tokens",
                f"use --pp {SHORTEST_PROMPT} or more: a chat template and a unique beginning need that much",
            )
        cell = Cell(
            id=cell_id(depth, pp, tg, concurrency),
            depth=depth,
            pp=pp,
            tg=tg,
            concurrency=concurrency,
            prompt_class=profile.prompt_class,
            prefix_caching=profile.prefix_caching,
            requests=requests(profile, concurrency),
            warmup=max(2, concurrency),
        )
        if context_limit is not None and cell.context_tokens > context_limit:
            skipped.append(Skipped(cell, f"needs {cell.context_tokens} tokens of context, the server has {context_limit}"))
        else:
            cells.append(cell)
    return Workload(
        profile_name=name, profile=profile, cells=tuple(cells), skipped=tuple(skipped), seed=seed, sampling=Sampling(seed=seed)
    )


def requests(profile: Profile, concurrency: int) -> int:
    """Measured requests per trial: what the profile says, else what its percentile needs over its runs, at least two per
    slot."""
    if profile.requests is not None:
        return profile.requests
    if profile.requests_per_slot is not None:
        return profile.requests_per_slot * concurrency
    return max(math.ceil(PERCENTILE_FLOORS[profile.percentile] / profile.runs), 2 * concurrency)


def _points(name: str, profile: Profile) -> list[tuple[int, int, int, int]]:
    """depth × pp × tg × concurrency, each point once, in the profile's order or its schedule's."""
    outer = dict.fromkeys(product(profile.depth, profile.concurrency))
    if profile.schedule is not None:
        if odd := set(profile.schedule) ^ set(outer):
            depth, concurrency = min(odd)
            raise RecipeError(
                f"profile {name}: depth {depth} at concurrency {concurrency} is only in one of schedule and grid",
                "name the same points in both, or leave the schedule out",
            )
        return [
            (depth, pp, tg, c) for depth, c in dict.fromkeys(profile.schedule) for pp, tg in product(profile.pp, profile.tg)
        ]
    return list(dict.fromkeys(product(profile.depth, profile.pp, profile.tg, profile.concurrency)))


def estimate(recipe: Recipe, work: Workload, executor: str | None) -> TimeEstimate:
    """Start + the sum over cells of runs × time(requests + warm-up) + time(warm-up) for the first run's second round, with

    time(N) = N · prompt / prefill + ceil(N / c) · tg / (decode / √c),  c = concurrency:

    prefill is shared, and batching is taken to win √c, between no gain (1) and free (c). A cell lasts at least its
    `min_seconds`.
    """
    decode, source = _decode(recipe)
    expect = recipe.harness.expect
    prefill = expect.prefill_tok_s or ASSUMED_PREFILL_TOK_S
    start = 0.0 if executor is None else expect.start_s or ASSUMED_START_S[executor]
    profile = work.profile
    total = start
    for cell in work.cells:
        time = partial(_seconds, cell, prefill, decode)
        total += max(profile.runs * time(cell.requests + cell.warmup) + time(cell.warmup), profile.min_seconds)
    basis = f"start {start:g} s, decode {decode:g} tok/s ({source}), prefill {prefill:g} tok/s"
    basis += "" if expect.prefill_tok_s else " (assumed)"
    if profile.target is not None and profile.max_runs > profile.runs:
        basis += f"; up to {profile.max_runs / profile.runs:g} times that if speeds scatter"
    return TimeEstimate(seconds=round(total, 1), basis=basis)


def _seconds(cell: Cell, prefill: float, decode: float, count: int) -> float:
    """For `count` requests of a cell at these speeds in tokens per second."""
    rounds = math.ceil(count / cell.concurrency)
    return count * cell.prompt_tokens / prefill + rounds * cell.tg * math.sqrt(cell.concurrency) / decode


def _decode(recipe: Recipe) -> tuple[float, str]:
    if recipe.harness.expect.decode_tok_s:
        return recipe.harness.expect.decode_tok_s, "the recipe expects it"
    figures = [
        (figure.value or figure.low or 0.0, figure.source)
        for figure in recipe.harness.published
        if figure.metric == "decode_tok_s"
    ]
    if usable := [figure for figure in figures if figure[0] > 0]:
        slowest, source = min(usable)
        return slowest, f"published: {source}"
    return ASSUMED_DECODE_TOK_S, "assumed"
