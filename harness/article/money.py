"""The sums about money: what the cloud asks, what the work costs here, when the machine is paid, how many times as dear the one is."""

from __future__ import annotations

from collections.abc import Iterator

from harness.article.lines import AT_WALL, OWN, judged, output, plain
from harness.article.premises import DOLLAR, EURO, Premises, entry
from harness.board.costs import SPARK
from harness.facts import prices
from harness.measure import cost
from harness.measure.cost_local import saturated
from harness.measure.entries import Undefined, computed, of_fact, scaled, shown
from harness.measure.money import MONTH_DAYS, api_cost
from harness.schema.article import Reckoning, Sum
from harness.schema.board import Entry
from harness.schema.cost import Demand
from harness.schema.facts import Claim, HardwarePrice, Price

OPUS, SMALL = "claude-opus-4.7", "mistral-small-4"
"""Whom the article compares."""
STALE = "anthropic/claude-opus-4-1"
"""Whose price the article's may be."""
AT_LISTED = "at the listed price"
NO_PRICE = Entry(why="no price is known")


def list_price(known: Premises, claim: Claim) -> Reckoning:
    listed = known.own_price(claim.model, known.written)
    how = f"as {listed.provider} listed {listed.ref} on the article's day" if listed else ""
    stale = prices.listed(STALE, known.day) if prices.has(STALE) else None
    same = stale is not None and stale.output_mtok.value == claim.value.value
    more = (plain(f"what {stale.provider} lists for {stale.ref}", output(stale)),) if stale and same else ()
    return Reckoning(claim=claim, found=judged(claim, how, output(listed)), more=more)


def cloud(known: Premises, claim: Claim) -> Reckoning:
    def asked(price: Price | None) -> Entry:
        if price is None:
            return NO_PRICE
        charged = api_cost(known.demand, price, DOLLAR)
        return charged.per_month if claim.column == "a month" else charged.per_day

    return Reckoning(
        claim=claim,
        own=judged(claim, OWN, asked(known.as_claimed(known.claimed_price))),
        found=judged(claim, AT_LISTED, asked(known.own_price(OPUS, known.written))),
    )


def cents(known: Premises, claim: Claim) -> Reckoning:
    ours = known.local(currency=EURO)
    walled = known.local(known.system(watts=known.at_the_wall()), currency=EURO)
    return Reckoning(
        claim=claim,
        own=judged(claim, OWN, ours.electricity.per_day),
        found=judged(claim, AT_WALL, walled.electricity.per_day),
        more=(
            _needed(known, "what it would need", claim, ours.electricity.per_day),
            plain("with the idle hours of the day, which it leaves out", ours.with_idle.per_day),
        ),
    )


def tariff(known: Premises, claim: Claim) -> Reckoning:
    rows = (row for row in known.facts.electricity if (row.country, row.customer) == ("EU", "household"))
    row = max(rows, key=lambda row: row.period, default=None)
    if row is None:
        return Reckoning(claim=claim, found=judged(claim, "", NO_PRICE))
    mean = of_fact(row.per_kwh, f"{row.currency}/kWh", "published")
    return Reckoning(claim=claim, found=judged(claim, f"mean of {row.country} households, {row.period}", mean))


def months(known: Premises, claim: Claim) -> Reckoning:
    """With which machine, against which price: the article names neither, so that all are shown."""
    then, claimed = known.machine(known.written), known.as_claimed(known.claimed_price)
    listed, hosted = known.own_price(OPUS, known.written), known.own_price(SMALL)
    return Reckoning(
        claim=claim,
        own=judged(claim, f"{OWN}, with the machine as it was listed on its day", _paid(known, claimed, then, at_par=True)),
        found=judged(claim, AT_LISTED, _paid(known, listed, then)),
        more=(
            *(
                plain(f"with the machine as it was listed on {row.since}", _paid(known, claimed, row, at_par=True))
                for row in known.facts.hardware_prices
                if row.machine == SPARK and row != then
            ),
            *(plain(f"against {price.ref} as listed", _paid(known, price, then)) for price in _rivals(known, listed)),
            plain("against the same weights, hosted by their maker", _paid(known, hosted, then)),
            plain("and with the idle hours", _paid(known, hosted, then, idle=True)),
        ),
        notes=("Idle hours are left out where nothing is said of them, as in the article.",),
    )


def _paid(
    known: Premises, price: Price | None, machine: HardwarePrice | None, *, at_par: bool = False, idle: bool = False
) -> Entry:
    """Months until then."""
    if price is None:
        return NO_PRICE
    rates = known.at_par if at_par else known.rates
    offer = cost.offer(known.demand, known.system(machine=machine), price, DOLLAR, rates)
    days = offer.break_even_days if idle else offer.break_even_days_electricity
    return scaled(days, 1 / MONTH_DAYS, "months", f"/ {MONTH_DAYS} days")


def _rivals(known: Premises, listed: Price | None) -> Iterator[Price]:
    """The other closed models that the article names, each price once."""
    named = dict.fromkeys(each.model for each in known.facts.claims if known.closed(each.model))
    found = [price for name in named if (price := known.own_price(name))]
    seen = {listed.output_mtok.value} if listed else set()
    for price in found:
        if price.output_mtok.value not in seen:
            seen.add(price.output_mtok.value)
            yield price


def per_token(known: Premises, claim: Claim) -> Reckoning:
    claimed, listed = known.as_claimed(known.claimed_price), known.own_price(OPUS, known.written)
    hosted = known.own_price(SMALL)
    ours = _times(known, claimed, at_par=True)
    slip = _ratio(entry(known.text("cloud cost", "a month")), entry(known.text("local cost", "a day")))
    return Reckoning(
        claim=claim,
        own=judged(claim, f"{OWN}, both of a day", ours),
        found=judged(claim, f"{AT_LISTED}, in one currency", _times(known, listed)),
        more=(
            plain("where its figure may come from, a month there by a day here", slip),
            _needed(known, "what it would need at that speed", claim, ours, rising=False),
            plain("at the listed price with the idle hours", _times(known, listed, form="with_idle")),
            plain("and with the machine over its life", _times(known, listed, form="with_hardware")),
            plain("the same, if it works all day", _times(known, listed, form="with_hardware", demand=_all_day(known))),
            plain("the same weights hosted by their maker, by electricity", _times(known, hosted)),
            plain("and with the machine: below one, hosting is cheaper", _times(known, hosted, form="with_hardware")),
        ),
    )


def _all_day(known: Premises) -> Demand | None:
    try:
        return saturated(known.system(), input_tokens=0.0, output_tokens=known.demand.output_tokens_per_request)
    except Undefined:
        return None


def _times(
    known: Premises, price: Price | None, *, at_par: bool = False, form: str = "electricity", demand: Demand | None = None
) -> Entry:
    """How many times as dear as here."""
    if price is None:
        return NO_PRICE
    there = api_cost(demand or known.demand, price, DOLLAR).per_day
    return _ratio(there, getattr(known.local(at_par=at_par, demand=demand), form).per_day)


def in_table(known: Premises, claim: Claim) -> Reckoning:
    dear = entry(known.claim("three columns", "Claude Opus 4.7", prices.CLAIMED))
    cheap = known.claim("three columns", "Mistral Small 4 119B NVFP4 + EAGLE (this stack)", prices.CLAIMED)
    listed, hosted = known.own_price(OPUS, known.written), known.own_price(SMALL)
    ours = known.local(at_par=True).electricity.per_mtok_output
    other = known.text("ratio per token", "local to cloud")
    return Reckoning(
        claim=claim,
        own=judged(claim, "by its table", _ratio(dear, entry(cheap))),
        found=judged(claim, "as both are listed by their makers", _ratio(output(listed), output(hosted))),
        more=(
            judged(claim, "by its own watts and speed", _ratio(dear, ours)),
            _needed(known, "what its cheap row would need", cheap, ours),
            plain("its other ratio by this one, of which only one can hold", _ratio(entry(other), entry(claim))),
        ),
    )


def _ratio(above: Entry, below: Entry) -> Entry:
    return computed(
        "to one",
        lambda v: v["above"] / v["below"],
        {"above": above, "below": below},
        lambda v, _: f"{shown(v['above'])} {above.unit} / {shown(v['below'])} {below.unit}",
    )


def _needed(known: Premises, what: str, claim: Claim, ours: Entry, *, rising: bool = True) -> Sum:
    """The watts at which our sum, which rises or falls with them, would come out as claimed."""
    inputs = {"watts": known.system().active_w, "claimed": entry(claim), "ours": ours}
    above, below = ("claimed", "ours") if rising else ("ours", "claimed")
    watts = computed(
        "W",
        lambda v: v["watts"] * v[above] / v[below],
        inputs,
        lambda v, _: f"{shown(v['watts'])} W × {shown(v[above])} / {shown(v[below])}",
    )
    return plain(what, watts)
