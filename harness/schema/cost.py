"""What serving costs: what is asked, what serves it, and what that comes to. Every figure is a board's `Entry`, since a sum of money means
little without its arithmetic, its oldest date and its sources; its unit names the currency: `EUR/day`, `USD/Mtok`."""

from __future__ import annotations

import datetime

import msgspec

from harness.schema.board import Entry
from harness.schema.facts import Price, Rating


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a model, on average."""

    requests_per_day: float
    input_tokens_per_request: float
    output_tokens_per_request: float
    """Reasoning among them."""
    cached_input_share: float = 0.0
    """Of the input tokens that a prefix cache answers, here as there."""

    @property
    def input_tokens_per_day(self) -> float:
        return self.requests_per_day * self.input_tokens_per_request

    @property
    def output_tokens_per_day(self) -> float:
        return self.requests_per_day * self.output_tokens_per_request

    @property
    def computed_input_tokens_per_day(self) -> float:
        """Those that no cache answers."""
        return self.input_tokens_per_day * (1 - self.cached_input_share)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the currency `to` one unit of `of` is; ISO 4217."""

    of: str
    to: str
    rate: Entry


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """What machines of one's own cost, as far as no run can tell. None: the facts have it."""

    currency: str = "USD"
    """Of every bare number here, and of what comes out."""
    rates: dict[str, tuple[float, datetime.date]] = {}
    """What one of another currency is in it, and since when; before those of the facts."""
    electricity_per_kwh: float | None = None
    country: str = "EU"
    customer: str = "household"
    hardware: str | None = None
    machine_price: float | None = None
    lifetime_years: float = 3.0


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a system at home: a server on one machine, or on several together."""

    name: str
    output_tok_s: Entry
    """Of all streams together while it is busy."""
    concurrency: float | None
    """Requests in flight at that speed; None: not known."""
    input_tokens_per_output_token: float = 0.0
    """Whose prefill `output_tok_s` already has in it, as a cell's aggregate has; 0: it is of decoding alone."""
    prefill_tok_s: Entry
    active_w: Entry
    """Of all its machines, at that load, as `idle_w` is with the server ready."""
    idle_w: Entry
    power_scope: str
    """Of both: `wall`, `system`, `soc`, `gpu`."""
    electricity_per_kwh: Entry
    """`EUR/kWh`."""
    machine_price: Entry
    """Of one machine: `USD`."""
    machines: int = 1
    copies: int = 1
    """Of the whole system, between which the requests are divided."""
    lifetime_years: float = 3.0
    notes: tuple[str, ...] = ()
    """What must be known of these inputs."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The same money, divided in five ways."""

    per_day: Entry
    per_month: Entry
    """Of 30 days."""
    per_request: Entry
    per_mtok_output: Entry
    """All of it, that for input too, per million output tokens."""
    per_mtok: Entry
    """Per million of all tokens, input and output."""


class LocalCost(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    currency: str
    busy_h_per_day: Entry
    """Of one copy. Above 24 it does not fit, and nothing that depends on it is known."""
    copies_needed: Entry
    active_wh_per_day: Entry
    idle_wh_per_day: Entry
    """Both of all copies."""
    active_j_per_output_token: Entry
    j_per_output_token: Entry
    """Idle hours too: joules per token that is used."""
    electricity: Cost
    """While it works."""
    with_idle: Cost
    """Electricity of the whole day."""
    with_hardware: Cost
    """And the machines' price over their lifetime."""
    notes: tuple[str, ...] = ()


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The same demand served by an API, beside what it costs here."""

    name: str
    """`provider: reference`."""
    cost: Cost
    times_electricity: Entry
    """How many times as much as here, hosts' output tokens against ours: electricity alone, and with hardware."""
    times_with_hardware: Entry
    break_even_days: Entry
    """After how many days the machines are paid by what is saved, idle hours counted."""
    break_even_days_electricity: Entry
    """The same without the idle hours: the least that it can be."""
    note: str = ""
    """What its list says besides, such as prices at other hours."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One input changed, all others as they are."""

    input: str
    factor: float
    value: Entry
    """The input as it is then."""
    with_idle_per_mtok_output: Entry
    with_hardware_per_mtok_output: Entry
    break_even_days: dict[str, Entry]
    """By the offer's name."""


class Mixture(msgspec.Struct, frozen=True, kw_only=True):
    """A share of the requests to an API, drawn without looking at them; the rest here, on machines that stand here in any case."""

    cloud_share: float
    cost: Cost
    """With hardware."""
    win_rate: Entry
    """Expected against the API's model, a tie counted as half: 0.5 is as good."""
    input_tokens_leaving_per_day: Entry
    output_tokens_from_outside_per_day: Entry
    provider: str
    """Whom they go to."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All that `harness cost` says."""

    demand: Demand
    local: LocalCost
    inputs: dict[str, Entry]
    """What the local figures rest on, by name."""
    offers: tuple[Offer, ...]
    sensitivity: tuple[Step, ...]
    mixtures: tuple[Mixture, ...] = ()
    """Of the first offer."""
    notes: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A system at home or an offer, one of the two, with what may be asked of it."""

    name: str
    local: Local | None = None
    price: Price | None = None
    rating: Rating | None = None
    terms: dict[str, Entry] = {}
    """`residency_eu`, `trains_on_data`, …: words of `schema.facts.Provider`, and `leaves_desk`."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a term must be: one of the words, or a number that is not above."""

    asked: str
    """As it was said: `trains=no`."""
    term: str
    words: tuple[str, ...] = ()
    at_most: float | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked, of one part of a way."""

    part: str
    """The candidate's name; empty: of the whole."""
    asked: str
    """`trains=no`, `quality`, `cost`."""
    kept: bool
    said: str
    """What is known, or why nothing is."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve a demand, or why it is none."""

    verdict: str
    """`self-host`, `cloud` or `hybrid`."""
    names: tuple[str, ...]
    """Of a hybrid the one at home first."""
    cloud_share: float
    provider: str = ""
    """Whom that share goes to."""
    per_day: Entry
    """With hardware."""
    loss_elo: Entry
    """How far below the best candidate: of a mixture, what its expected win rate against it stands for."""
    checks: tuple[Check, ...] = ()

    @property
    def against(self) -> list[Check]:
        """Empty: it may be chosen."""
        return [check for check in self.checks if not check.kept]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Ways that are alike and not listed."""

    verdict: str
    fails: tuple[str, ...]
    """What was asked that they do not keep; empty: they may be chosen, and cost more."""
    count: int


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """All that `harness advise` says."""

    verdict: str
    """Of the cheapest way that may be chosen; `none`: no way may."""
    demand: Demand
    currency: str
    conditions: tuple[Condition, ...]
    max_loss_elo: float | None
    best: Rating | None
    """The highest, which quality is counted from; None: no candidate is rated."""
    ways: tuple[Way, ...]
    """Those that may be chosen from the cheapest up, then the others."""
    rest: tuple[Rest, ...] = ()
    """Of ways that `ways` leaves out."""
    arithmetic: dict[str, Entry]
    """Of the first of them."""
    inputs: dict[str, Entry]
    """That it rests on."""
    terms: dict[str, dict[str, Entry]]
    """By the name of each candidate in `ways`."""
    notes: tuple[str, ...] = ()
