"""A profile → the cells to measure, and how long that will take. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path

import msgspec

from harness.errors import RecipeError, UsageError, did_you_mean
from harness.recipe.document import Document
from harness.schema.plan import TimeEstimate
from harness.schema.recipe import Recipe
from harness.schema.workload import PERCENTILE_FLOORS, Cell, Profile, Sampling, Skipped, Slo, TraceRow, Workload
from harness.typed import converted

SHORTEST_PROMPT = 32
"""Tokens below which the chat template and what makes a prompt unique leave no room for a text."""

ASSUMED_DECODE_TOK_S = 30.0
ASSUMED_PREFILL_TOK_S = 1000.0
ASSUMED_START_S = {"docker": 300.0, "process": 90.0}


MOST_CELLS = 10_000
"""Years of measuring; a list that is longer was not meant."""

WARMUP_S = 5.0
"""Of an open loop's schedule, for a round of warm-up, and a tenth of it at the most."""


class GridOverrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says instead of the profile; None: as the profile has it."""

    depth: tuple[int, ...] | None = None
    pp: tuple[int, ...] | None = None
    tg: tuple[int, ...] | None = None
    concurrency: tuple[int, ...] | None = None
    rate: tuple[float, ...] | None = None
    seconds: float | None = None
    runs: int | None = None
    requests: int | None = None
    slo: str | None = None
    trace: tuple[TraceRow, ...] | None = None


def override(profile: Profile, grid: GridOverrides) -> Profile:
    """The profile with the command line's values. A fixed schedule belongs to its own grid and falls away with it, a rate with a
    concurrency and the reverse."""
    changes = {name: value for name, value in msgspec.structs.asdict(grid).items() if value is not None}
    trace = changes.pop("trace", None)
    for name, value in changes.items():
        if name == "slo":
            continue
        least = 0 if name == "depth" else 1
        low = min(value, default=0) if isinstance(value, tuple) else value
        if name in ("rate", "seconds"):
            if not 0 < low < math.inf:
                raise UsageError(f"--{name}: needs numbers above 0", f"write it like --{name} 2.5")
        elif value == () or low < least:
            raise UsageError(f"--{name}: needs numbers of at least {least}", f"write it like --{name} {max(least, 1)}")
    if "seconds" in changes and not (grid.rate or profile.rate):
        raise UsageError(
            "--seconds is for an open loop", "add --rate 1,2, or leave it out: --requests sets a closed loop's length"
        )
    if "runs" in changes:
        changes["max_runs"] = max(grid.runs or 1, profile.max_runs) if profile.target is not None else grid.runs
    if "requests" in changes:
        changes["requests_per_slot"] = None
    if {"depth", "pp", "tg", "concurrency", "rate"} & changes.keys():
        changes["points"] = ()
    if {"depth", "concurrency", "rate"} & changes.keys():
        changes["schedule"] = None
    if "concurrency" in changes:
        changes |= {"rate": (), "arrivals": Profile().arrivals, "until_slo": False} | changes
    if {"pp", "tg"} & changes.keys():
        changes["mix"] = ()
    if trace is not None:
        changes |= {"arrivals": "trace", "rate": (), "mix": (), "turns": 1, "depth": (0,), "points": ()}
    return msgspec.structs.replace(profile, **changes)


def workload(
    name: str, profile: Profile, *, seed: int, context_limit: int | None, trace: tuple[TraceRow, ...] = ()
) -> Workload:
    """Raises `RecipeError` for a grid that cannot be measured as it is meant."""
    if profile.arrivals == "trace" and not trace:
        raise RecipeError(f"profile {name} replays a trace, and none is given", "name a file of requests: --trace FILE")
    if (count := _count(profile)) > MOST_CELLS:
        raise RecipeError(
            f"profile {name}: {count:,} cells, at most {MOST_CELLS:,}", "shorten its lists: each multiplies the others"
        )
    cells, skipped = [], []
    for cell in _trace_cells(profile, trace) if trace else _cells(name, profile):
        if cell.pp < SHORTEST_PROMPT and not trace:
            raise RecipeError(
                f"profile {name}: pp {cell.pp} is shorter than {SHORTEST_PROMPT} tokens",
                f"use --pp {SHORTEST_PROMPT} or more: a chat template and a unique beginning need that much",
            )
        if context_limit is not None and cell.context_tokens > context_limit:
            skipped.append(Skipped(cell, f"needs {cell.context_tokens} tokens of context, the server has {context_limit}"))
        else:
            cells.append(cell)
    return Workload(
        profile_name=name,
        profile=profile,
        cells=tuple(cells),
        skipped=tuple(skipped),
        seed=seed,
        sampling=Sampling(seed=seed),
        trace=trace,
    )


def requests(profile: Profile, concurrency: int) -> int:
    """Measured requests per trial of a closed loop: what the profile says, else what its percentile needs over its runs, at least two
    per slot."""
    if profile.requests is not None:
        return profile.requests
    if profile.requests_per_slot is not None:
        return profile.requests_per_slot * concurrency
    return max(math.ceil(PERCENTILE_FLOORS[profile.percentile] / profile.runs), 2 * concurrency)


def _count(profile: Profile) -> int:
    """Cells of the grid, before it is drawn up."""
    shapes = 1 if profile.mix else len(profile.pp) * len(profile.tg)
    points = len(profile.points) or len(profile.depth) * shapes * len(profile.rate or profile.concurrency)
    return points * (len(profile.variants) or 1)


def _cells(name: str, profile: Profile) -> Iterator[Cell]:
    """Every point of the grid with every variant."""
    for variant, fields in (profile.variants or {"": {}}).items():
        for depth, pp, tg, load in _points(name, profile):
            shape = f"{f'mix{len(profile.mix)}' if profile.mix else f'pp{pp}-tg{tg}'}{f'x{profile.turns}' if profile.turns > 1 else ''}"
            cell = Cell(
                id=f"d{depth}-{shape}-{'r' if profile.rate else 'c'}{load:g}{f'-{variant}' if variant else ''}",
                depth=depth,
                pp=max((shape.pp for shape in profile.mix), default=pp),
                tg=max((shape.tg for shape in profile.mix), default=tg),
                concurrency=None if profile.rate else int(load),
                prompt_class=profile.prompt_class,
                prefix_caching=profile.prefix_caching or profile.turns > 1,
                requests=requests(profile, int(load)),
                warmup=max(2, int(load)),
                turns=profile.turns,
                mix=profile.mix,
                variant=variant,
                fields=fields,
                exact=profile.exact,
                slo=slo(name, profile.slo),
            )
            yield cell if not profile.rate else _open(cell, profile, load)


def _open(cell: Cell, profile: Profile, rate: float) -> Cell:
    return msgspec.structs.replace(
        cell,
        rate=rate,
        arrivals=profile.arrivals,
        burstiness=profile.burstiness,
        sessions=profile.sessions,
        requests=profile.requests or max(2, round(rate * profile.seconds)),
        warmup=max(2, math.ceil(rate * min(WARMUP_S, profile.seconds / 10))),
    )


def _trace_cells(profile: Profile, trace: Sequence[TraceRow]) -> Iterator[Cell]:
    """One cell: the trace as it is."""
    yield Cell(
        id=f"trace-{len(trace)}",
        depth=0,
        pp=max(row.prompt_tokens for row in trace),
        tg=max(row.output_tokens for row in trace),
        concurrency=None,
        prompt_class=profile.prompt_class,
        prefix_caching=False,
        requests=len(trace),
        warmup=2,
        arrivals="trace",
        exact=profile.exact,
        slo=slo("trace", profile.slo),
    )


def slo(name: str, said: str | Slo | None) -> Slo | None:
    """Raises `RecipeError` for a preset that does not exist."""
    if said is None or isinstance(said, Slo):
        return said
    known = slos()
    if said not in known:
        near = did_you_mean(said, list(known))
        hint = f"did you mean '{near}'?" if near else f"choose one of {', '.join(known)}"
        raise RecipeError(f"profile {name}: no SLO is called '{said}'", hint)
    return known[said]


@cache
def slos() -> dict[str, Slo]:
    """The presets, from `slos.yaml` beside this file."""
    path = Path(__file__).with_name("slos.yaml")
    return converted(Document(path.read_text(encoding="utf-8"), str(path)).value, dict[str, Slo])


def _points(name: str, profile: Profile) -> list[tuple[int, int, int, float]]:
    """The profile's points, or depth × pp × tg × concurrency or rate; each once, in the profile's order or its schedule's."""
    if profile.points:
        return list(dict.fromkeys(profile.points))
    loads: Sequence[float] = sorted(profile.rate) or profile.concurrency
    if profile.schedule is not None:
        outer = dict.fromkeys(product(profile.depth, loads))
        if odd := set(profile.schedule) ^ set(outer):
            depth, load = min(odd)
            raise RecipeError(
                f"profile {name}: depth {depth} at concurrency {load} is only in one of schedule and grid",
                "name the same points in both, or leave the schedule out",
            )
        return [
            (depth, pp, tg, c) for depth, c in dict.fromkeys(profile.schedule) for pp, tg in product(profile.pp, profile.tg)
        ]
    shapes = [(0, 0)] if profile.mix else list(product(profile.pp, profile.tg))
    return [(depth, pp, tg, load) for depth, (pp, tg), load in dict.fromkeys(product(profile.depth, shapes, loads))]


def estimate(recipe: Recipe, work: Workload, executor: str | None) -> TimeEstimate:
    """Start + the sum over cells of runs × time(requests + warm-up) + time(warm-up) for the first run's second round, with

    time(N) = N · prompt / prefill + ceil(N / c) · tg / (decode / √c),  c = concurrency:

    prefill is shared, and batching is taken to win √c, between no gain (1) and free (c). In open loop time(N) is the schedule's and one
    request's more. A cell lasts at least its `min_seconds`.
    """
    decode, source = _decode(recipe)
    expect = recipe.harness.expect
    prefill = expect.prefill_tok_s or ASSUMED_PREFILL_TOK_S
    start = 0.0 if executor is None else expect.start_s or ASSUMED_START_S[executor]
    profile = work.profile
    total = start
    for cell in work.cells:
        time = partial(_seconds, cell, work, prefill, decode)
        total += max(profile.runs * time(cell.requests + cell.warmup) + time(cell.warmup), profile.min_seconds)
    basis = f"start {start:g} s, decode {decode:g} tok/s ({source}), prefill {prefill:g} tok/s"
    basis += "" if expect.prefill_tok_s else " (assumed)"
    if profile.target is not None and profile.max_runs > profile.runs:
        basis += f"; up to {profile.max_runs / profile.runs:g} times that if speeds scatter"
    return TimeEstimate(seconds=round(total, 1), basis=basis)


def _seconds(cell: Cell, work: Workload, prefill: float, decode: float, count: int) -> float:
    """For `count` requests of a cell at these speeds in tokens per second."""
    one = cell.prompt_tokens / prefill + cell.tg / decode
    if cell.arrivals == "trace":
        return max(row.offset_s for row in work.trace) - min(row.offset_s for row in work.trace) + one
    if cell.concurrency is None:
        return count / (cell.rate or 1.0) + one
    rounds = math.ceil(count / cell.concurrency)
    return count * cell.prompt_tokens / prefill + rounds * cell.tg * math.sqrt(cell.concurrency) / decode


def decode_tok_s(recipe: Recipe) -> float:
    """Of one stream, as far as it is known before the run: see `estimate`."""
    return _decode(recipe)[0]


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
