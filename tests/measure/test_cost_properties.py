"""What must hold whatever the numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import cost
from harness.measure.cost_local import Work, local_cost, saturated
from harness.measure.entries import is_number, number
from harness.measure.money import api_cost
from harness.schema import cost as nouns
from harness.schema.board import Entry
from harness.schema.cost import Demand, Exchange, Local, LocalCost
from tests.measure.spark import demand, local, of, price


def some(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    return demand(
        draw(some(1, 5000)),
        draw(some(0.1, 5000)),
        input_tokens=draw(st.one_of(st.just(0.0), some(1, 50_000))),
        cached=draw(some(0, 1)),
    )


@st.composite
def wide(draw: st.DrawFn, low: float, high: float, unit: str) -> Entry:
    value, half = draw(some(low, high)), draw(some(0, 0.3))
    return of(value, unit, value * (1 - half), value * (1 + half)) if draw(st.booleans()) else of(value, unit)


@st.composite
def locals_(draw: st.DrawFn) -> Local:
    return local(
        tok_s=draw(wide(1, 2000, "tok/s")),
        prefill=draw(wide(10, 20_000, "tok/s")),
        active_w=draw(wide(5, 400, "W")),
        idle_w=draw(wide(1, 100, "W")),
        kwh=draw(some(0.01, 1)),
        price=draw(some(100, 20_000)),
        years=draw(some(0.5, 10)),
        machines=draw(st.integers(1, 4)),
        copies=draw(st.integers(1, 3)),
        input_per_output=draw(st.one_of(st.just(0.0), some(0, 50))),
    )


def entries(found: object) -> Iterator[Entry]:
    if isinstance(found, Entry):
        yield found
    elif isinstance(found, msgspec.Struct):
        for name in found.__struct_fields__:
            yield from entries(getattr(found, name))
    elif isinstance(found, (tuple, list)):
        for each in found:
            yield from entries(each)
    elif isinstance(found, dict):
        yield from entries(list(found.values()))


def rises(less: Entry, more: Entry) -> bool:
    return not is_number(less) or not is_number(more) or number(less) <= number(more) * (1 + 1e-9)


def money(found: LocalCost) -> list[Entry]:
    return [found.electricity.per_day, found.with_idle.per_day, found.with_hardware.per_day]


@given(demands(), locals_(), some(1, 100), some(0, 20))
def test_a_figure_or_a_reason(asked: Demand, here: Local, output: float, input_: float) -> None:
    """Each has a unit, words of its arithmetic and its date, and lies in its interval; without a value there is a why and no interval."""
    found = cost.compare(asked, here, [price(output, input_, input_ / 10)], "USD")
    for entry in entries((found.local, found.offers, [step.break_even_days for step in found.sensitivity], found.mixtures)):
        if entry.value is None:
            assert entry.why
            assert (entry.low, entry.high) == (None, None)
            continue
        assert entry.how
        assert not entry.why
        assert entry.unit or entry.how.endswith("× 0.5")
        if entry.low is not None and entry.high is not None:
            assert entry.low - 1e-9 * abs(entry.low) <= number(entry) <= entry.high + 1e-9 * abs(entry.high)
            assert entry.date is not None


@given(demands(), locals_(), st.sampled_from(["electricity_per_kwh", "active_w", "idle_w", "machine_price"]), some(1, 3))
def test_dearer_inputs_cost_more(asked: Demand, here: Local, name: str, factor: float) -> None:
    entry: Entry = getattr(here, name)
    more = msgspec.structs.replace(here, **{name: of(number(entry) * factor, entry.unit)})
    for less, after in zip(money(local_cost(asked, here, "USD")), money(local_cost(asked, more, "USD")), strict=True):
        assert rises(less, after)
    offers = [cost.offer(asked, each, price(10, 1, 0.1), "USD").break_even_days for each in (here, more)]
    assert rises(*offers)


@given(demands(), locals_(), some(1, 3))
def test_use_spreads_the_price(asked: Demand, here: Local, factor: float) -> None:
    """More requests: more a day, less a token with hardware, more hours; and electricity alone is the same for each token."""
    more = msgspec.structs.replace(asked, requests_per_day=asked.requests_per_day * factor)
    less, after = local_cost(asked, here, "USD"), local_cost(more, here, "USD")
    assert rises(less.busy_h_per_day, after.busy_h_per_day)
    assert rises(less.electricity.per_day, after.electricity.per_day)
    if is_number(less.electricity.per_day) and is_number(after.electricity.per_day):
        assert number(after.electricity.per_mtok) == pytest.approx(number(less.electricity.per_mtok))
    assert rises(after.with_hardware.per_mtok, less.with_hardware.per_mtok)
    assert rises(less.copies_needed, after.copies_needed)


@given(demands(), locals_())
def test_the_three_ways_add_up(asked: Demand, here: Local) -> None:
    electricity, idle, hardware = money(local_cost(asked, here, "USD"))
    assert is_number(electricity) == is_number(idle) == is_number(hardware)
    if is_number(electricity):
        assert 0 < number(electricity) <= number(idle) < number(hardware)


@given(demands(), locals_(), some(0.1, 200), some(0.2, 5))
def test_break_even_is_where_both_have_cost_the_same(asked: Demand, here: Local, output: float, rate: float) -> None:
    """In another currency than any of its inputs, too, and it is never exactly where nothing is saved."""
    rates = [Exchange(of="EUR", to="USD", rate=of(rate, "USD/EUR"))]
    for currency in ("USD", "EUR"):
        found = cost.offer(asked, here, price(output, 1, 0.1), currency, rates)
        running = local_cost(asked, here, currency, rates).with_idle.per_day
        bought = Work(asked, here, currency, rates).hardware(
            {"machine_price": number(here.machine_price)} | ({"hardware_rate": 1 / rate} if currency == "EUR" else {})
        )
        if not is_number(running):
            assert found.break_even_days.why == running.why
        elif is_number(found.break_even_days):
            days = number(found.break_even_days)
            assert bought + number(running) * days == pytest.approx(number(found.cost.per_day) * days), (
                "what has been paid by then"
            )
            assert rises(found.break_even_days_electricity, found.break_even_days)
        else:
            assert found.break_even_days.why.startswith("never: saves nothing per day")
            assert number(found.cost.per_day) <= number(running)


@given(demands(), locals_(), st.data())
def test_an_interval_holds_what_any_values_within_give(asked: Demand, here: Local, data: st.DataObject) -> None:
    """The corners are the extremes: no point between the ends of the inputs' intervals is beyond them."""
    within: dict[str, Any] = {}
    for name in ("output_tok_s", "prefill_tok_s", "active_w", "idle_w"):
        entry: Entry = getattr(here, name)
        if entry.low is not None and entry.high is not None:
            within[name] = of(data.draw(some(entry.low, entry.high)), entry.unit)
    offered = [cost.offer(asked, each, price(40, 2, 0.2), "USD") for each in (here, msgspec.structs.replace(here, **within))]
    both = [local_cost(asked, each, "USD") for each in (here, msgspec.structs.replace(here, **within))]
    for whole, one in zip(entries((both[0], offered[0])), entries((both[1], offered[1])), strict=True):
        if whole.low is None or whole.high is None:
            continue
        assert is_number(one)
        slack = 1e-9 * (abs(whole.low) + abs(whole.high))
        assert whole.low - slack <= number(one) <= whole.high + slack


@given(demands(), locals_(), some(0, 1), some(0, 1))
def test_a_mixture_lies_between(asked: Demand, here: Local, share: float, won: float) -> None:
    def mixed(share: float) -> nouns.Mixture:
        return cost.mixture(asked, here, price(10, 1, 0.1), share, "USD", win_rate=of(won, "share"))

    ends, between = (mixed(0.0), mixed(1.0)), mixed(share)
    assert min(won, 0.5) - 1e-9 <= number(between.win_rate) <= max(won, 0.5) + 1e-9
    costs = [each.cost.per_day for each in (*ends, between)]
    if all(is_number(each) for each in costs):
        assert min(map(number, costs[:2])) - 1e-6 <= number(costs[2]) <= max(map(number, costs[:2])) * (1 + 1e-9) + 1e-6
    assert number(between.output_tokens_from_outside_per_day) == pytest.approx(share * asked.output_tokens_per_day)


@given(demands(), st.integers(0, 100_000))
def test_a_cheaper_cache_never_costs_more(asked: Demand, limit: int) -> None:
    uncached = msgspec.structs.replace(asked, cached_input_share=0.0)
    full, part = (api_cost(each, price(10, 2, 0.2), "USD").per_day for each in (uncached, asked))
    assert rises(part, full)


def test_every_name_says_its_unit() -> None:
    """Of plain numbers by the last words; an entry carries its unit, and is named by what it is per."""
    plain = {
        name
        for kind in (Demand, Local, nouns.Step, nouns.Mixture)
        for name, hint in kind.__annotations__.items()
        if hint in ("float", "float | None")
    }
    units = ("_per_day", "_per_request", "_share", "_years", "_per_output_token")
    assert {name for name in plain if not name.endswith(units)} == {"concurrency", "factor"}  # requests, and a bare number
    said = ("_h_per_day", "_wh_per_day", "_j_per_output_token", "j_per_output_token", "_needed")
    figures = {name for name, hint in LocalCost.__annotations__.items() if hint == "Entry"}
    assert {name for name in figures if not name.endswith(said)} == set()


@given(some(1, 50_000), some(1, 5000), some(0, 1))
def test_a_demand_of_the_cells_own_shape_needs_no_prefill(prompt: float, answer: float, cached: float) -> None:
    """Its prompts are in the speed, however their lengths round."""
    here = local(tok_s=100.0, prefill=None, input_per_output=prompt * (1 - cached) / answer)
    asked = saturated(here, input_tokens=prompt, output_tokens=answer, cached_input_share=cached)
    assert asked.output_tokens_per_day == pytest.approx(100 * 86400)
