"""What one's own machines cost on the board: the sums of `harness cost`, and each of them unknown without what it rests on."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import costs
from harness.board import join, measured, published
from harness.board.costs import UNITS
from harness.board.own import Own
from harness.facts import load
from harness.measure.entries import number
from harness.schema.board import Entry, Row
from harness.schema.cost import Assumed
from harness.schema.facts import Fact, Facts
from harness.schema.machine import Gpu
from harness.schema.recipe import Published
from harness.schema.result import CellResult, Reading, Summary
from harness.store import index
from harness.store.folder import ResultFolder
from tests.board.systems import figure, point, recipe, summary
from tests.measure import test_cost_inputs as cells
from tests.store import sample_run

DAY = datetime.date(2026, 11, 25)
MISTRAL = "mistralai/Mistral-Small-4-119B-2603-NVFP4"
ONE = cells.measured(1, output_tok_s=40, prefill_tok_s=2000, system_w=100, system_idle_w=30)
EIGHT = cells.measured(
    8,
    output_tok_s=160,
    prefill_tok_s=700,
    gpu_w=60,
    gpu_idle_w=5,
    system_w=110,
    system_idle_w=30,
    prompt_tokens=2050.37,
    completion_tokens=127.3,
    cached_share=0.0125,
)
PER_DAY_MTOK = 160 * 86400 / 1e6
ELECTRICITY, IDLE, HARDWARE, CLOSED, HOSTED = UNITS


@cache
def facts() -> Facts:
    return load.load()


def stored(root: Path, *found: CellResult, **changes: Any) -> Path:
    made = ResultFolder.create(root, "sample", sample_run.RECIPE, sample_run.plan())
    result = sample_run.result()
    machine = msgspec.structs.replace(result.machine, gpus=(Gpu(index=0, name="NVIDIA GB10"),))
    base = {"cells": found, "machine": machine, "model": MISTRAL}
    made.save(msgspec.structs.replace(result, **base | changes))
    return made.path


def listed(root: Path, known: Facts | None = None, assumed: Assumed | None = None) -> dict[str, Entry]:
    """The only row's."""
    own = Own(known or facts(), DAY, assumed or Assumed())
    (row,) = measured.rows(index.summaries(root), own)
    return row.entries


def exact(**changes: float | None) -> Summary:
    """Eight streams at 160 tok/s and 110 W, without intervals: a day is 24 hours of work."""
    figures = {"output_tok_s": 160.0, "system_w": 110.0, "system_idle_w": 30.0} | changes
    plain = {name: Reading(value) for name, value in figures.items() if value is not None}
    return summary(point(1, prefill_tok_s=2000.0), msgspec.structs.replace(point(8), figures=plain), model=MISTRAL)


def entries(found: Summary, known: Facts | None = None, **assumed: Any) -> dict[str, Entry]:
    (row,) = measured.rows([found], Own(known or facts(), DAY, Assumed(**assumed)))
    return row.entries


def test_it_is_what_harness_cost_says_of_the_same_cell(tmp_path: Path) -> None:
    """Lengths that are no whole numbers, an interval of everything that was measured."""
    path = stored(tmp_path, ONE, EIGHT)
    board = listed(tmp_path)
    here = costs.of_result(path, costs.Ask(cell="c8"), facts(), DAY)
    sums = here.local.electricity, here.local.with_idle, here.local.with_hardware
    for name, theirs in zip((ELECTRICITY, IDLE, HARDWARE), sums, strict=True):
        assert board[name] == msgspec.structs.replace(theirs.per_mtok_output, unit="$/M")
    assert board[ELECTRICITY].low is not None
    cheapest = min(here.offers, key=lambda each: number(each.cost.per_day))
    days = cheapest.break_even_days
    assert board[HOSTED] == msgspec.structs.replace(days, unit="d", how=f"against {cheapest.name}: {days.how}")
    opus = costs.of_result(path, costs.Ask(cell="c8", against=("claude-opus-4.7",)), facts(), DAY).offers[0].break_even_days
    assert (board[CLOSED].value, board[CLOSED].low, board[CLOSED].high) == (opus.value, opus.low, opus.high)
    assert board[CLOSED].how == f"against anthropic: claude-opus-4-7: {opus.how}"
    assert set(opus.sources) < set(board[CLOSED].sources), "and of the ratings that chose it"
    requests = 24 * 3600 * board_low_speed(EIGHT) / 127.3
    fresh, cached = 2050.37 * (1 - 0.0125), 2050.37 * 0.0125
    there = requests * (fresh * 0.15 + cached * 0.015 + 127.3 * 0.6) / 1e6
    busy = requests * 127.3 / 160 / 3600
    kwh = (110 * busy + 30 * (24 - busy)) / 1000 * 0.2872 * 1.1172
    assert number(board[HOSTED]) == pytest.approx(4699 / (there - kwh)), (
        "by hand: the index keeps the lengths that were measured"
    )


def board_low_speed(cell: CellResult) -> float:
    low = cell.figures["output_tok_s"].low
    assert low is not None
    return low


def test_what_is_assumed_is_the_same_too(tmp_path: Path) -> None:
    path = stored(tmp_path, ONE, EIGHT, nodes=2)
    said: dict[str, Any] = {
        "country": "DE",
        "rates": {"EUR": (1.5, DAY)},
        "machine_price": 3000.0,
        "lifetime_years": 5.0,
    }
    here = costs.of_result(path, costs.Ask(cell="c8", **said), facts(), DAY).local.with_hardware.per_mtok_output
    board = listed(tmp_path, assumed=Assumed(**said))[HARDWARE]
    assert (board.value, board.how) == (here.value, here.how)
    assert "0.3835 EUR/kWh × 1.5 USD/EUR + 3,000 USD × 2 machines / (365 days × 5 years)" in board.how


def test_the_sums_by_hand() -> None:
    """24 h at 110 W are 2.64 kWh at 0.2872 × 1.1172; 4,699 over 1,095 days; Opus 4.7 is 5 and 25 a million, Mistral's own 0.15 and 0.60."""
    found = entries(exact())
    kwh = 110 * 24 / 1000 * 0.2872 * 1.1172
    assert number(found[ELECTRICITY]) == pytest.approx(kwh / PER_DAY_MTOK)
    assert number(found[IDLE]) == pytest.approx(kwh / PER_DAY_MTOK)
    assert number(found[HARDWARE]) == pytest.approx((kwh + 4699 / 1095) / PER_DAY_MTOK)
    opus, mistral = ((out + 16 * into) * PER_DAY_MTOK for into, out in ((5, 25), (0.15, 0.6)))
    assert number(found[CLOSED]) == pytest.approx(4699 / (opus - kwh))
    assert number(found[HOSTED]) == pytest.approx(4699 / (mistral - kwh))
    assert found[CLOSED].how.startswith("against anthropic: claude-opus-4-7: 4,699 USD / (")
    assert {name: found[name].unit for name in UNITS} == UNITS
    assert {found[name].origin for name in UNITS} == {"computed"}


def test_the_cheapest_offer_of_the_same_weights_counts() -> None:
    """Of gpt-oss-120b DeepInfra's 0.037 and 0.17 is the lowest; whose machine costs more to run never pays back."""
    oss = msgspec.structs.replace(exact(), model="openai/gpt-oss-120b")
    assert entries(oss)[HOSTED].how.startswith("against deepinfra: openai/gpt-oss-120b: ")
    slow = msgspec.structs.replace(exact(output_tok_s=4.0), model="openai/gpt-oss-120b")
    assert entries(slow)[HOSTED].why.startswith("never: saves nothing per day")


def test_two_machines_cost_two_prices_and_words_come_first() -> None:
    one, two = entries(exact()), entries(msgspec.structs.replace(exact(), nodes=2))
    assert number(two[HARDWARE]) - number(one[HARDWARE]) == pytest.approx(4699 / 1095 / PER_DAY_MTOK)
    said = entries(exact(), electricity_per_kwh=0.0, machine_price=1095.0, lifetime_years=1.0)
    assert number(said[ELECTRICITY]) == 0
    assert number(said[HARDWARE]) == pytest.approx(3 / PER_DAY_MTOK)
    assert "0.3835 EUR/kWh" in entries(exact(), country="DE")[ELECTRICITY].how


def test_what_must_be_known_of_it_is_said() -> None:
    gpu = entries(exact(system_w=None, system_idle_w=None, gpu_w=60.0, gpu_idle_w=5.0))
    assert gpu[ELECTRICITY].how.endswith("; the watts are of the GPU alone: the machine draws more")
    alone = entries(summary(point(1, decode_tok_s=60.0, prefill_tok_s=2000.0, system_w=100.0), model=MISTRAL))
    assert "the speed is one stream's decode, since the cell has no throughput" in alone[ELECTRICITY].how


def without(table: str, field: str) -> Facts:
    """Facts with one thing unknown in every row of a table."""
    unknown: Fact[Any] = Fact(why="no source")
    rows = tuple(msgspec.structs.replace(row, **{field: unknown}) for row in getattr(facts(), table))
    return msgspec.structs.replace(facts(), **{table: rows})


def unpriced(name: str) -> Facts:
    """As if nobody had a price for it."""
    free: dict[str, Any] = {"own_price": "", "hosted": ()}
    models = tuple(msgspec.structs.replace(model, **free) if model.id == name else model for model in facts().models)
    return msgspec.structs.replace(facts(), models=models)


@pytest.mark.parametrize(
    ("known", "gone", "why"),
    [
        (lambda: without("electricity", "per_kwh"), UNITS.keys(), "electricity per kwh: no source"),
        (lambda: without("exchange", "rate"), UNITS.keys(), "electricity rate: no source"),
        (lambda: without("hardware_prices", "price"), {HARDWARE, CLOSED, HOSTED}, "machine price: no source"),
        (lambda: without("ratings", "rating"), {CLOSED}, "no closed model is rated"),
        (lambda: without("models", "open_weights"), {CLOSED}, "no closed model is rated"),
        (lambda: unpriced("claude-opus-4.7"), {CLOSED}, "no price of its maker is known of claude-opus-4.7"),
        (lambda: unpriced("mistral-small-4"), {HOSTED}, "nobody is known to serve the same weights"),
    ],
)
def test_without_its_facts_a_figure_is_unknown(known: Callable[[], Facts], gone: set[str], why: str) -> None:
    before, after = entries(exact()), entries(exact(), known())
    for name in UNITS:
        assert before[name].value is not None
        assert (after[name].value is None) == (name in gone), name
        if name in gone:
            assert why in after[name].why, name


def test_without_a_rating_of_its_own_it_is_compared_with_no_closed_model() -> None:
    ratings = tuple(
        msgspec.structs.replace(one, rating=Fact(why="no source")) if one.model == "mistral-small-4" else one
        for one in facts().ratings
    )
    after = entries(exact(), msgspec.structs.replace(facts(), ratings=ratings))[CLOSED]
    assert (after.value, after.why) == (None, "no source")


@pytest.mark.parametrize(
    ("lacking", "gone", "why"),
    [
        ({"output_tok_s": None}, UNITS.keys(), "output speed: "),
        ({"system_w": None}, UNITS.keys(), "active watts: "),
        ({"system_idle_w": None}, UNITS.keys() - {ELECTRICITY}, "idle watts: not measured"),
    ],
)
def test_without_a_measurement_a_figure_is_unknown(lacking: dict[str, None], gone: set[str], why: str) -> None:
    after = entries(exact(**lacking))
    for name in UNITS:
        assert (after[name].value is None) == (name in gone), name
        if name in gone:
            assert why in after[name].why, name


def test_why_nothing_is_reckoned() -> None:
    unsound = summary(point(8, verdict="unsteady", output_tok_s=160.0, system_w=110.0))
    assert {entries(unsound)[name].why for name in UNITS} == {"no cell of this kind was valid"}
    cpu = msgspec.structs.replace(exact(), hardware="AMD EPYC")
    assert entries(cpu)[HARDWARE].why == "no price is known of a machine with AMD EPYC: --hardware-price"
    assert entries(cpu)[ELECTRICITY].value is not None
    unnamed = entries(msgspec.structs.replace(exact(), model="org/mine"))
    assert {unnamed[name].why for name in (CLOSED, HOSTED)} == {
        "no model of the facts has this name: harness facts list models"
    }
    elsewhere = summary(point(8, output_tok_s=9.0), server="https://llm.example.org", hardware="")
    assert UNITS.keys().isdisjoint(entries(elsewhere)), "somebody else's machine"


def of_published(*figures: Published, nodes: int = 1) -> dict[str, Entry]:
    own = Own(facts(), DAY)
    (row,) = published.rows([(recipe(*figures, nodes=nodes), "vllm")], own)
    return row.entries


def load_of(name: str, value: float, unit: str = "tok/s", **changes: Any) -> Published:
    return msgspec.structs.replace(figure(name, value, unit, tg=256, concurrency=None), **{"pp": 512} | changes)


def test_published_watts_of_the_same_load_are_used() -> None:
    """256 tokens at 54.33 and 512 of the prompt at 2143 take 4.951 s: at 44 W 217.8 Ws."""
    figures = (load_of("decode_tok_s", 54.33), load_of("prefill_tok_s", 2143), load_of("gpu_w", 44, "W"))
    found = of_published(*figures)
    joules = 44 * (256 / 54.33 + 512 / 2143)
    assert number(found[ELECTRICITY]) == pytest.approx(joules / 3.6e6 * 0.2872 * 1.1172 / 256 * 1e6)
    assert "of published watts and speed, not measured here" in found[ELECTRICITY].how
    assert "how many streams there were is not said" in found[ELECTRICITY].how
    assert "example.org, a post" in {source.url for source in found[ELECTRICITY].sources}
    assert found[IDLE].why == "idle watts: not published"
    idle = load_of("gpu_idle_w", 5, "W", pp=None, tg=None)
    whole = of_published(*figures, idle, nodes=2)
    output_mtok = 256 / (256 / 54.33 + 512 / 2143) * 86400 / 1e6
    assert number(whole[HARDWARE]) - number(whole[IDLE]) == pytest.approx(2 * 4699 / 1095 / output_mtok)
    assert of_published(*figures, msgspec.structs.replace(idle, date="2026-05-01"))[IDLE].value is None
    several = of_published(*(msgspec.structs.replace(each, concurrency=4) for each in figures))
    assert several[ELECTRICITY].value is None, "one of four streams' decode is not what the machine made"
    all_four = load_of("output_tok_s", 120.0, concurrency=4), load_of("wall_w", 90, "W", concurrency=4)
    assert number(of_published(*all_four)[ELECTRICITY]) == pytest.approx(90 / 120 / 3.6e6 * 0.2872 * 1.1172 * 1e6)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"date": "2026-04-30"}, "44 W of gpu scope were published, but not with a speed of the same load"),
        ({"source": "example.org, another"}, "44 W of gpu scope were published, but not with a speed of the same load"),
        ({"concurrency": 5}, "44 W of gpu scope were published, but not with a speed of the same load"),
        ({"not_tested": "another image"}, "but not with a speed of the same load: another image"),
        ({"metric": "power_w"}, "140 W were published without saying of what"),
    ],
)
def test_published_watts_of_another_load_are_not(other: dict[str, Any], why: str) -> None:
    value = 140 if "metric" in other else 44
    found = of_published(load_of("decode_tok_s", 54.33), load_of("prefill_tok_s", 2143), load_of("gpu_w", value, "W", **other))
    assert {found[name].value for name in UNITS} == {None}
    assert all(why in found[name].why for name in UNITS)
    assert of_published(load_of("decode_tok_s", 54.33))[ELECTRICITY].why == "no watts were published"


def test_published_costs_do_not_stand_for_measured_ones() -> None:
    own = Own(facts(), DAY)
    figures = (load_of("decode_tok_s", 54.33), load_of("prefill_tok_s", 2143), load_of("gpu_w", 44, "W"))
    theirs = published.rows([(recipe(*figures), "vllm")], own)
    board = join.board(measured.rows([exact(system_w=None)], own), theirs, day=DAY, facts=facts())
    (row,) = (row for row in board.rows if row.id == "mistral")
    assert (row.entries[ELECTRICITY].value, row.entries[ELECTRICITY].why) == (None, "active watts: not measured")
    assert [each.value for each in row.entries[ELECTRICITY].also] == [_only(theirs).entries[ELECTRICITY].value]


def _only(rows: list[Row]) -> Row:
    (row,) = rows
    return row
