"""The cost model against sums done by hand: the article's claims (each line of docs/cost.md's table), input tokens, tiers, currencies."""

from __future__ import annotations

import datetime

import pytest

from harness.measure import cost
from harness.measure.cost_local import copies, local_cost, saturated
from harness.measure.entries import Undefined, is_number, number
from harness.measure.money import api_cost
from harness.schema.board import Entry
from harness.schema.cost import Exchange, Offer
from harness.schema.facts import Tier
from tests.measure.spark import DAY, demand, local, of, price

OPUS_47, GPT_55, OPUS_55, GEMINI_31, SMALL_4 = 25.0, 30.0, 20.0, 12.0, 0.60
"""USD per million output tokens."""


def value(entry: Entry) -> float:
    assert is_number(entry), entry.why
    return number(entry)


def offered(output: float, **of_local: float) -> Offer:
    return cost.offer(demand(), local(**of_local), price(output), "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize(("listed", "day", "month"), [(75, 37.50, 1125), (OPUS_47, 12.50, 375), (SMALL_4, 0.30, 9)])
def test_what_an_api_charges(listed: float, day: float, month: float) -> None:
    found = api_cost(demand(), price(listed), "USD")
    assert (value(found.per_day), value(found.per_month)) == pytest.approx((day, month))
    assert value(found.per_mtok_output) == pytest.approx(listed)
    assert value(found.per_request) == pytest.approx(listed * 500 / 1e6)


def test_hours_and_electricity() -> None:
    """500,000 / 41 / 3600 = 3.3875 h; × 140 W = 474.25 Wh; × 0.30 = 0.14228; per million tokens twice that."""
    found = local_cost(demand(), local(), "USD")
    assert value(found.busy_h_per_day) == pytest.approx(3.3875, abs=1e-4)
    assert value(found.active_wh_per_day) == pytest.approx(474.25, abs=0.01)
    assert value(found.electricity.per_day) == pytest.approx(0.142276, abs=1e-6)
    assert value(found.electricity.per_mtok_output) == pytest.approx(0.284553, abs=1e-6)
    assert value(found.active_j_per_output_token) == pytest.approx(140 / 41)
    assert value(found.copies_needed) == 1


@pytest.mark.parametrize(("idle_w", "wh", "euros"), [(25, 515.3, 0.1546), (37, 762.7, 0.2288)])
def test_idle_hours(idle_w: float, wh: float, euros: float) -> None:
    """20.6125 h of idling cost more than the work's 0.1423."""
    found = local_cost(demand(), local(idle_w=idle_w), "USD")
    assert value(found.idle_wh_per_day) == pytest.approx(wh, abs=0.05)
    assert value(found.with_idle.per_day) - value(found.electricity.per_day) == pytest.approx(euros, abs=1e-4)
    assert value(found.j_per_output_token) == pytest.approx((474.2547 + wh) * 3600 / 500_000, abs=1e-3)


def test_hardware() -> None:
    """4699 / 1095 d = 4.2913 a day, 8.5826 per million output tokens; with 0.2846 of electricity 8.867, 2.8 times less than Opus 4.7."""
    idle_free = local_cost(demand(), local(idle_w=0.0), "USD")
    assert value(idle_free.with_hardware.per_mtok_output) == pytest.approx(8.5826 + 0.2846, abs=1e-3)
    assert value(offered(OPUS_47, idle_w=0.0).times_with_hardware) == pytest.approx(2.82, abs=0.005)
    assert value(offered(SMALL_4, idle_w=0.0).times_with_hardware) == pytest.approx(0.068, abs=5e-4)
    with_idle = local_cost(demand(), local(), "USD")
    assert value(with_idle.with_hardware.per_day) == pytest.approx(4.2913 + 0.1423 + 0.1546, abs=1e-3)


def test_saturated() -> None:
    """41 tok/s all day are 3.5424 M: 4.2913 / 3.5424 = 1.2114 for hardware, 0.2846 for electricity; Opus 4.7 is 16.7 times that."""
    full = saturated(local(), input_tokens=0, output_tokens=500)
    assert full.output_tokens_per_day == pytest.approx(3.5424e6)
    found = local_cost(full, local(), "USD")
    assert value(found.busy_h_per_day) == pytest.approx(24)
    assert value(found.idle_wh_per_day) == pytest.approx(0, abs=1e-6)
    assert value(found.with_hardware.per_mtok_output) == pytest.approx(1.2114 + 0.2846, abs=2e-4)
    assert value(cost.offer(full, local(), price(OPUS_47), "USD").times_with_hardware) == pytest.approx(16.71, abs=0.01)


@pytest.mark.parametrize(
    ("listed", "hardware", "days"),
    [(75, 3999, 107.0), (OPUS_47, 4699, 380.2), (GPT_55, 4699, 316.3), (OPUS_55, 4699, 476.7), (GEMINI_31, 4699, 802.2)],
)
def test_break_even(listed: float, hardware: float, days: float) -> None:
    """hardware / (listed / 2 - 0.1423): idle hours left out, as the article does."""
    assert value(offered(listed, price=hardware).break_even_days_electricity) == pytest.approx(days, abs=0.06)


def test_an_offer_that_costs_what_the_electricity_does_never_pays() -> None:
    here = local_cost(demand(), local(), "USD").with_idle.per_day
    assert cost.break_even(demand(), local(), here, "p", "USD").why.startswith("never: saves nothing")


def test_break_even_against_the_same_weights() -> None:
    """4699 / (0.30 - 0.142276) = 29,793 d; with idle hours it is never, since electricity alone is 0.2969 at 25 W, and 0.371 at 37 W."""
    found = offered(SMALL_4)
    assert value(found.break_even_days_electricity) == pytest.approx(29_793, abs=1)
    assert "after the end of their 3 years" in found.break_even_days_electricity.how
    assert value(found.break_even_days) == pytest.approx(4699 / (0.30 - 0.142276 - 0.154594), rel=1e-3)
    never = offered(SMALL_4, idle_w=37.0).break_even_days
    assert never.value is None
    assert never.why == "never: saves nothing per day (0.3711 USD of electricity here, 0.3 at p: m)"


@pytest.mark.parametrize(
    ("listed", "times"), [(75, 263.6), (OPUS_47, 87.9), (GPT_55, 105.4), (GEMINI_31, 42.2), (SMALL_4, 2.11)]
)
def test_times_as_dear_by_electricity(listed: float, times: float) -> None:
    assert value(offered(listed).times_electricity) == pytest.approx(times, abs=0.06)


def test_what_the_claims_would_need() -> None:
    """10 cents a day are 98 W, 0.05 a million 25 W, 11,250 to one 3.3 W."""
    tenth = local_cost(demand(), local(active_w=98.4), "USD").electricity
    assert value(tenth.per_day) == pytest.approx(0.10, abs=1e-4)
    cheap = local_cost(demand(), local(active_w=24.6), "USD").electricity
    assert value(cheap.per_mtok_output) == pytest.approx(0.05, abs=1e-4)
    assert value(offered(75, active_w=3.28).times_electricity) == pytest.approx(11_250, rel=1e-3)


def test_input_takes_time_and_money() -> None:
    """4,000 tokens in, half of them cached, at 2,000 tok/s: 1,000 × 2,000 / 2,000 = 1,000 s more."""
    asked = demand(input_tokens=4000, cached=0.5)
    found = local_cost(asked, local(prefill=2000.0), "USD")
    assert value(found.busy_h_per_day) == pytest.approx(500_000 / 41 / 3600 + 1000 / 3600)
    assert value(found.electricity.per_mtok) == pytest.approx(value(found.electricity.per_day) / 4.5)
    charged = api_cost(asked, price(25, 5, 0.5), "USD")
    assert value(charged.per_day) == pytest.approx((500 * 25 + 2000 * 5 + 2000 * 0.5) * 1000 / 1e6)
    unknown = local_cost(asked, local(), "USD")
    assert (unknown.busy_h_per_day.value, unknown.with_hardware.per_day.value) == (None, None)
    assert unknown.electricity.per_day.why == "prefill speed: nobody said"


def test_input_that_the_speed_has_in_it() -> None:
    """A cell of 2,048 in and 128 out: its own shape needs no prefill rate, other shapes count the difference."""
    cell = local(input_per_output=16.0)
    same = local_cost(demand(128, input_tokens=2048), cell, "USD")
    assert value(same.busy_h_per_day) == pytest.approx(128_000 / 41 / 3600)
    assert local_cost(demand(128, input_tokens=1024), cell, "USD").busy_h_per_day.value is None
    fast = local(input_per_output=16.0, prefill=2000.0)
    less = local_cost(demand(128, input_tokens=1024), fast, "USD")
    assert value(less.busy_h_per_day) == pytest.approx((128_000 / 41 - 1_024_000 / 2000) / 3600)
    assert "- 1,024,000 fewer input tok/day / 2,000 tok/s" in less.busy_h_per_day.how
    slow = local_cost(demand(128, input_tokens=1024), local(input_per_output=16.0, prefill=600.0), "USD")
    assert "would take all its time" in slow.busy_h_per_day.why


def test_what_does_not_fit() -> None:
    """10 M tokens are 67.75 h of a day: three copies."""
    found = local_cost(demand(requests=20_000), local(), "USD")
    assert value(found.busy_h_per_day) == pytest.approx(67.75, abs=0.01)
    assert found.busy_h_per_day.how.endswith("(more than the 24 of a day, it does not fit; 3 copies would do)")
    assert value(found.copies_needed) == 3
    for unknown in (found.electricity, found.with_idle, found.with_hardware):
        assert unknown.per_day.why == "it does not fit: 67.75 h of work a day, and 1 copy has 24; 3 copies would do"
    assert cost.offer(demand(requests=20_000), local(), price(25), "USD").break_even_days.value is None
    three = local_cost(demand(requests=20_000), local(copies=3), "USD")
    assert value(three.busy_h_per_day) == pytest.approx(67.75 / 3, abs=0.01)
    assert value(three.with_hardware.per_day) == pytest.approx(
        3 * 4699 / 1095 + 0.3 / 1000 * (140 * 67.7507 + 25 * (72 - 67.7507)), abs=1e-3
    )
    assert [copies(hours) for hours in (0, 24, 24.1, 48)] == [1, 1, 2, 2]


def test_machines_of_one_copy() -> None:
    """Two machines cost twice as much; their watts are given together."""
    one, two = (local_cost(demand(), local(machines=n), "USD").with_hardware for n in (1, 2))
    assert value(two.per_day) - value(one.per_day) == pytest.approx(4699 / 1095)


def test_tiers() -> None:
    """Above 272,000 tokens all of a request is charged by the higher price."""
    gpt = price(30, 5, tiers=(Tier(above_tokens=272_000, input_mtok=10, output_mtok=45),))
    at, above = (api_cost(demand(1000, 1, input_tokens=n), gpt, "USD").per_day for n in (272_000, 272_001))
    assert value(at) == pytest.approx(272_000 * 5 / 1e6 + 0.03)
    assert value(above) == pytest.approx(272_001 * 10 / 1e6 + 0.045)
    assert "prices above 272,000 input tokens" in above.how
    cached = api_cost(demand(1000, 1, input_tokens=300_000, cached=0.1), gpt, "USD").per_day
    assert cached.why == "cached input price: not listed above 272,000 input tokens"
    day = value(api_cost(demand(1, 1000, input_tokens=1000), gpt, "USD").per_day)
    assert day == pytest.approx(5.03), "a day's tokens are not one request's"
    assert "whether long inputs cost more is not known" in api_cost(demand(), price(30, tiers=None), "USD").per_day.how


def test_currencies_are_never_taken_for_one_another() -> None:
    euros = local(kwh_unit="EUR/kWh")
    lost = local_cost(demand(), euros, "USD")
    assert lost.electricity.per_day.why == "electricity rate: no rate from EUR to USD is given"
    rate = Exchange(of="EUR", to="USD", rate=of(1.10, "USD/EUR"))
    dollars, back = local_cost(demand(), euros, "USD", [rate]), local_cost(demand(), euros, "EUR", [rate])
    assert value(dollars.electricity.per_day) == pytest.approx(0.142276 * 1.1, abs=1e-6)
    assert dollars.electricity.per_day.unit == "USD/day"
    assert "× 1.1 USD/EUR" in dollars.electricity.per_day.how
    assert value(back.with_hardware.per_day) == pytest.approx(4699 / 1.1 / 1095 + 0.142276 + 0.154594, abs=1e-5)
    assert value(api_cost(demand(), price(25), "EUR", [rate]).per_day) == pytest.approx(12.5 / 1.1)


def test_what_is_unknown_stays_so() -> None:
    """Nothing but what needs it."""
    found = local_cost(demand(), local(idle_w=None, price=None), "USD")
    assert value(found.electricity.per_day) > 0
    assert found.with_idle.per_day.why == "idle watts: nobody said"
    assert found.with_hardware.per_month.why == "idle watts: nobody said; machine price: nobody said"
    assert api_cost(demand(), price(None), "USD").per_day.why == "output price: not listed"
    assert value(api_cost(demand(), price(25, None), "USD").per_day) == 12.5  # no input is asked for
    none = local_cost(demand(0, 10, input_tokens=100), local(prefill=100.0), "USD").electricity
    assert (none.per_mtok_output.value, none.per_mtok_output.why) == (None, "no output tokens are asked for")
    assert local_cost(demand(requests=0), local(), "USD").with_idle.per_request.why == "no requests are asked for"


def test_dates_and_sources_are_carried() -> None:
    old = datetime.date(2025, 10, 29)
    tariff = Entry(value=0.3, unit="USD/kWh", origin="published", date=old)
    found = local_cost(demand(), local(kwh=tariff), "USD").electricity.per_mtok_output
    assert (found.origin, found.date, found.unit) == ("computed", old, "USD/Mtok")
    assert api_cost(demand(), price(25), "USD").per_month.date == DAY
    assert [source.url for source in api_cost(demand(), price(25), "USD").per_month.sources] == ["https://example.org/prices"]


def test_intervals_by_hand() -> None:
    """41 ± 1 tok/s and 140 ± 7 W: 133 W at 42 tok/s to 147 W at 40 tok/s."""
    wide = local(tok_s=of(41, "tok/s", 40, 42), active_w=of(140, "W", 133, 147))
    found = local_cost(demand(), wide, "USD")
    day = found.electricity.per_day
    assert (day.low, day.high) == pytest.approx((500_000 / 42 / 3600 * 0.133 * 0.3, 500_000 / 40 / 3600 * 0.147 * 0.3))
    assert found.busy_h_per_day.low == pytest.approx(500_000 / 42 / 3600)
    days = cost.offer(demand(), wide, price(25), "USD").break_even_days
    assert days.low is not None
    assert days.high is not None
    assert days.low < value(days) < days.high


def test_an_end_that_is_never() -> None:
    """0.3 a day hosted, and electricity with idle hours of 0.2969: at 145 W it would be more than 0.3."""
    days = cost.offer(demand(), local(active_w=of(140, "W", 135, 145)), price(SMALL_4), "USD").break_even_days
    assert value(days) == pytest.approx(1.5e6, rel=0.05)
    assert (days.low, days.high) == (None, None)
    assert "at the ends of its inputs' intervals: never" in days.how


def test_saturated_is_what_fits_for_sure() -> None:
    wide = local(tok_s=of(41, "tok/s", 40, 42))
    full = saturated(wide, input_tokens=0, output_tokens=1)
    assert full.output_tokens_per_day == pytest.approx(40 * 86_400)
    assert value(local_cost(full, wide, "USD").with_hardware.per_day) > 0
    with pytest.raises(Undefined, match="prefill"):
        saturated(wide, input_tokens=10, output_tokens=1)


def test_sensitivity() -> None:
    steps = cost.sensitivity(demand(), local(), [price(OPUS_47, ref="opus")], "USD")
    assert steps[0].input == "as it is"
    by = {(step.input, step.factor): step for step in steps}
    counted = {*cost.INPUTS, "requests_per_day", "lifetime_years"} - {"prefill_tok_s"}  # there is no input, and it is not known
    assert {step.input for step in steps[1:]} == counted
    assert {step.input for step in cost.sensitivity(demand(), local(prefill=2000.0), [], "USD")[1:]} == counted
    assert "prefill_tok_s" in {
        each.input for each in cost.sensitivity(demand(input_tokens=9), local(prefill=2000.0), [], "USD")
    }
    base, dear = value(steps[0].with_hardware_per_mtok_output), by["machine_price", 2.0]
    assert value(dear.with_hardware_per_mtok_output) - base == pytest.approx(8.5826, abs=1e-3)
    assert value(dear.break_even_days["p: opus"]) == pytest.approx(2 * value(steps[0].break_even_days["p: opus"]))
    assert (dear.value.value, dear.value.unit) == (9398.0, "USD")
    assert value(by["lifetime_years", 0.5].with_hardware_per_mtok_output) - base == pytest.approx(8.5826, abs=1e-3)
    assert value(by["requests_per_day", 0.5].value) == 500
    wide = cost.sensitivity(demand(), local(tok_s=of(41, "tok/s", 40, 42)), [], "USD")
    doubled = next(step.value for step in wide if (step.input, step.factor) == ("output_tok_s", 2.0))
    assert (doubled.low, doubled.high) == (80, 84)
    eight = cost.sensitivity(demand(), local(), [], "USD", factors=(8.0,))
    assert "does not fit" in next(s for s in eight if s.input == "requests_per_day").with_idle_per_mtok_output.why


def test_mixture() -> None:
    """A quarter of 500 requests' 500,000 tokens to Opus 4.7: 3.125 there; here 375,000 tokens are 2.5407 h."""
    rate = of(0.387, "share")
    found = cost.mixture(demand(input_tokens=0), local(), price(OPUS_47), 0.25, "USD", win_rate=rate)
    here = 4699 / 1095 + (140 * 2.54065 + 25 * (24 - 2.54065)) / 1000 * 0.30
    assert value(found.cost.per_day) == pytest.approx(here + 3.125, abs=1e-4)
    assert value(found.win_rate) == pytest.approx(0.25 * 0.5 + 0.75 * 0.387)
    assert (value(found.output_tokens_from_outside_per_day), value(found.input_tokens_leaving_per_day)) == (125_000, 0)
    alone = cost.mixture(demand(), local(), price(None), 0.0, "USD")
    assert value(alone.cost.per_day) == pytest.approx(4.5882, abs=1e-3)
    assert alone.win_rate.value is None


def test_a_mixture_makes_fit_what_does_not() -> None:
    """10 M tokens a day want 2.8 copies; with three quarters elsewhere one will do."""
    asked = demand(requests=20_000)
    shares = [cost.mixture(asked, local(), price(1), share, "USD").cost.per_day.value is None for share in cost.SHARES]
    assert shares == [True, True, True, True, False, False]


def test_comparison_has_all_of_it() -> None:
    found = cost.compare(demand(), local(), [price(25, ref="a"), price(0.6, ref="b")], "USD", win_rate=of(0.4, "share"))
    assert [each.name for each in found.offers] == ["p: a", "p: b"]
    assert len(found.mixtures) == len(cost.SHARES)
    assert value(found.mixtures[0].win_rate) == pytest.approx(0.4)
    assert found.inputs["active_w"].value == 140
    assert cost.compare(demand(), local(), [], "USD").mixtures == ()
