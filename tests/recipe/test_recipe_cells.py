"""Profiles into cells, and the estimate of their time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from harness.errors import RecipeError, UsageError
from harness.recipe import catalog, cells
from harness.recipe.cells import GridOverrides
from harness.recipe.load import loads
from harness.schema.workload import PERCENTILE_FLOORS, Profile

PLAIN = loads("model: org/m\ncommand: vllm serve {model}\n", "x.yaml")


def test_the_grid_in_the_profiles_order() -> None:
    profile = Profile(depth=(0, 64), pp=(128,), tg=(8, 16), concurrency=(4, 1))
    work = cells.workload("p", profile, seed=7, context_limit=None)
    assert [cell.id for cell in work.cells] == [
        "d0-pp128-tg8-c4",
        "d0-pp128-tg8-c1",
        "d0-pp128-tg16-c4",
        "d0-pp128-tg16-c1",
        "d64-pp128-tg8-c4",
        "d64-pp128-tg8-c1",
        "d64-pp128-tg16-c4",
        "d64-pp128-tg16-c1",
    ]
    assert work.seed == work.sampling.seed == 7
    assert [cell.warmup for cell in work.cells[:2]] == [4, 2]


@pytest.mark.parametrize(
    ("percentile", "runs", "concurrency", "requests"),
    [(50, 3, 1, 4), (50, 3, 4, 8), (50, 5, 1, 3), (90, 5, 1, 13), (95, 5, 1, 26), (99, 5, 1, 133), (99, 5, 100, 200)],
)
def test_requests_are_enough_for_the_percentile(percentile: int, runs: int, concurrency: int, requests: int) -> None:
    found = cells.requests(Profile(percentile=percentile, runs=runs), concurrency)
    assert found == requests
    assert found * runs >= PERCENTILE_FLOORS[percentile]
    assert found >= 2 * concurrency


def test_requests_as_the_profile_says() -> None:
    assert cells.requests(Profile(requests=7), 4) == 7
    assert cells.requests(Profile(requests_per_slot=1), 4) == 4


def test_cells_that_the_context_cannot_hold_are_skipped_and_named() -> None:
    profile = Profile(depth=(0, 1000), pp=(1000,), tg=(100,))
    work = cells.workload("p", profile, seed=0, context_limit=1100)
    assert [cell.id for cell in work.cells] == ["d0-pp1000-tg100-c1"]
    assert [(skipped.cell.id, skipped.reason) for skipped in work.skipped] == [
        ("d1000-pp1000-tg100-c1", "needs 2100 tokens of context, the server has 1100")
    ]
    assert not cells.workload("p", profile, seed=0, context_limit=1099).cells


def test_a_prompt_too_short_to_be_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="profile p: pp 31 is shorter than 32 tokens"):
        cells.workload("p", Profile(pp=(31,)), seed=0, context_limit=None)
    assert cells.workload("p", Profile(pp=(32,)), seed=0, context_limit=None).cells


HUNDRED = tuple(range(32, 132))
MOST = Profile(depth=HUNDRED, concurrency=HUNDRED, pp=(32,), tg=(1,))


@pytest.mark.parametrize(
    "profile",
    [
        Profile(depth=HUNDRED, concurrency=HUNDRED, pp=HUNDRED, tg=HUNDRED),
        replace(MOST, tg=(1, 2)),
        replace(MOST, rate=tuple(range(1, 102))),
        replace(MOST, variants={"a": {}, "b": {}}),
        replace(MOST, points=((0, 32, 1, 1),) * 10_001),
    ],
)
def test_a_grid_that_nobody_can_measure_is_refused_before_it_is_drawn_up(profile: Profile) -> None:
    """Four lists of a thousand are 10^12 cells."""
    assert len(cells.workload("p", MOST, seed=0, context_limit=None).cells) == 10_000
    with pytest.raises(RecipeError, match=r"^profile p: [\d,]+ cells, at most 10,000"):
        cells.workload("p", profile, seed=0, context_limit=None)


def test_overrides_replace_the_grid() -> None:
    quick = catalog.profiles()["quick"]
    changed = cells.override(quick, GridOverrides(depth=(0, 100), concurrency=(2,), runs=7, requests=9))
    assert (changed.depth, changed.pp, changed.concurrency, changed.runs, changed.requests) == ((0, 100), quick.pp, (2,), 7, 9)
    assert changed.max_runs == 7, "a profile that stops after its runs still does"
    assert cells.override(catalog.profiles()["tg128"], GridOverrides(runs=2)).max_runs == 20
    assert cells.override(quick, GridOverrides()) == quick


@pytest.mark.parametrize(
    "grid", [GridOverrides(pp=(0,)), GridOverrides(concurrency=()), GridOverrides(depth=(-1,)), GridOverrides(runs=0)]
)
def test_senseless_overrides(grid: GridOverrides) -> None:
    with pytest.raises(UsageError, match="needs numbers of at least"):
        cells.override(Profile(), grid)


def test_a_schedule_is_the_order() -> None:
    profile = Profile(depth=(0, 1), concurrency=(1, 2), pp=(64,), schedule=((1, 2), (0, 1), (1, 1), (0, 2)))
    assert [(c.depth, c.concurrency) for c in cells.workload("p", profile, seed=0, context_limit=None).cells] == [
        (1, 2),
        (0, 1),
        (1, 1),
        (0, 2),
    ]
    assert cells.override(profile, GridOverrides(depth=(5,))).schedule is None
    with pytest.raises(RecipeError, match="depth 0 at concurrency 2 is only in one of schedule and grid"):
        cells.workload(
            "p",
            Profile(depth=(0, 1), concurrency=(1, 2), pp=(64,), schedule=((1, 2), (0, 1), (1, 1))),
            seed=0,
            context_limit=None,
        )


def test_points_instead_of_a_grid() -> None:
    points = ((0, 64, 8, 1), (512, 128, 16, 4), (0, 64, 8, 1))
    profile = Profile(depth=(9,), pp=(99,), points=points)
    found = cells.workload("p", profile, seed=0, context_limit=None).cells
    assert [cell.id for cell in found] == ["d0-pp64-tg8-c1", "d512-pp128-tg16-c4"]
    assert cells.override(profile, GridOverrides(runs=30)).points == points
    for grid in (GridOverrides(pp=(64,)), GridOverrides(depth=(0,)), GridOverrides(rate=(1.0,))):
        assert cells.override(profile, grid).points == (), "the command line's grid replaces them"


def test_the_estimate_is_its_formula() -> None:
    profile = Profile(pp=(100,), tg=(50,), concurrency=(4,), runs=2, max_runs=2, requests=8)
    work = cells.workload("p", profile, seed=0, context_limit=None)
    recipe = loads("model: m\ncommand: x\nharness:\n  expect: {decode_tok_s: 10, prefill_tok_s: 200, start_s: 5}\n", "x.yaml")
    # 12 requests: 12 · 100 / 200 s of prefill, 3 waves of 50 / (10 / √4) s of decode, twice; and 4 more to warm up; after the start
    assert cells.estimate(recipe, work, "process").seconds == 5 + 2 * (6 + 3 * 10) + (2 + 10)
    assert cells.estimate(recipe, work, None).seconds == 2 * (6 + 3 * 10) + (2 + 10)
    slow = cells.workload("p", Profile(pp=(100,), tg=(50,), min_seconds=600), seed=0, context_limit=None)
    assert cells.estimate(recipe, slow, None).seconds == 600


def test_the_estimate_says_what_it_rests_on() -> None:
    work = cells.workload("p", catalog.profiles()["tg128"], seed=0, context_limit=None)
    assert cells.estimate(PLAIN, work, "docker").basis == (
        "start 300 s, decode 30 tok/s (assumed), prefill 1000 tok/s (assumed); up to 4 times that if speeds scatter"
    )
    figures = "  published:\n" + "".join(
        f"    - {{metric: {metric}, {value}, unit: u, source: {source}, date: 2026-01-01}}\n"
        for metric, value, source in [
            ("ttft_ms", "value: 1", "A"),
            ("decode_tok_s", "value: 41", "B"),
            ("decode_tok_s", "low: 13, high: 31", "C"),
        ]
    )
    recipe = loads(f"model: m\ncommand: x\nharness:\n{figures}", "x.yaml")
    assert "decode 13 tok/s (published: C)" in cells.estimate(recipe, work, None).basis
