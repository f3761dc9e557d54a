"""Summaries and recipes made by hand, for the tests of the board."""

from __future__ import annotations

from harness.schema.recipe import HarnessBlock, Published, Recipe
from harness.schema.result import Point, Reading, Summary


def point(
    concurrency: int | None = 1,
    *,
    verdict: str = "valid",
    depth: int = 0,
    pp: int = 2048,
    tg: int = 128,
    rate: float | None = None,
    turns: int = 1,
    **figures: float,
) -> Point:
    load = f"c{concurrency}" if concurrency else f"{rate:g}/s"
    return Point(
        depth=depth,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        rate=rate,
        turns=turns,
        shape=f"pp{pp} tg{tg} {load}",
        verdict=verdict,
        figures={name: Reading(value, value * 0.99, value * 1.01) for name, value in figures.items()},
    )


def summary(
    *points: Point,
    ident: str = "aaaaaa",
    recipe: str = "mistral",
    day: str = "2026-11-20",
    hardware: str = "GB10",
    nodes: int = 1,
    server: str = "",
    model: str = "org/mistral",
    launched: bool = True,
    left: bool | None = False,
) -> Summary:
    return Summary(
        id=ident,
        path=f"results/{recipe}/{ident}",
        started=f"{day}T09:00:00.000+00:00",
        recipe=recipe,
        model=model,
        quantization="nvfp4",
        engine="sglang",
        nodes=nodes,
        server=server,
        hardware=hardware,
        launched=launched,
        left=left,
        left_how="9 looks",
        state="complete",
        verdict="valid",
        decode_tok_s=None,
        points=points,
    )


def recipe(*published: Published, name: str = "mistral", nodes: int = 1, quantization: str = "nvfp4") -> Recipe:
    return Recipe(
        name=name,
        path=f"recipes/{name}.yaml",
        text="",
        sha256="",
        recipe_version="2",
        model="org/mistral",
        runtime="sglang",
        min_nodes=nodes,
        metadata={"quantization": quantization},
        harness=HarnessBlock(published=published),
    )


def figure(
    metric: str,
    value: float | None,
    unit: str = "tok/s",
    *,
    tg: int | None = 128,
    concurrency: int | None = 1,
    low: float | None = None,
    high: float | None = None,
    not_tested: str = "",
    date: str = "2026-04-29",
) -> Published:
    return Published(
        metric=metric,
        value=value,
        unit=unit,
        low=low,
        high=high,
        tg=tg,
        concurrency=concurrency,
        not_tested=not_tested,
        source="example.org, a post",
        date=date,
    )
