"""Facts from outside: what others charge, promise, draw, or were voted to be. Each has sources with a date, or is unknown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

T = TypeVar("T")

NO_SOURCE = "no source"
"""Why a value that stands in a file counts as unknown."""
NOT_FOUND = "nothing was found"
ONLY_A_RANGE = "only a range was said"

OLD_DAYS = 180
"""From then on whoever shows a fact says how old it is."""

KINDS = ("primary", "mirror", "secondary", "package")
"""Of sources: the party's own text, a dated copy of it, somebody else's reading, data that an installed package carries."""
MEASURED, ASKED = "measured", "asked"
"""Kinds that stand in no file: a result of this harness, and what its user said."""


COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH
    CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI
    LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM
    PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD
    TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905
)
"""ISO 3166 alpha-2."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where something was read."""

    url: str
    quote: str = ""
    """Verbatim, 30 words at the most; empty where a figure was taken from a table or a data file."""
    kind: str
    """One of `KINDS`."""
    date: datetime.date
    """The day that it speaks of: its own date, or the day it was read where it bears none."""
    dated: str = ""
    """What else is said of its date: `effective 2025-06-17; copy of 2026-03-11`, `undated, read on that day`."""


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing known of a row, or why it is not."""

    value: T | None = None
    low: float | None = None
    """With `high` its 95 % interval, or the range that was said instead of a value."""
    high: float | None = None
    sources: tuple[Source, ...] = ()
    note: str = ""
    """What the value leaves out: `opt-in only`, a conflict between sources."""
    why: str = ""
    """Why there is no value; empty when there is one."""

    @property
    def date(self) -> datetime.date | None:
        """Of its newest source."""
        return max((source.date for source in self.sources), default=None)

    def is_old(self, day: datetime.date) -> bool:
        """Whether none of its sources is from the last `OLD_DAYS`."""
        return self.date is not None and (day - self.date).days > OLD_DAYS


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of one offering over an API. They differ by product, endpoint and model, so all four are the key; None: all."""

    KEY: ClassVar[tuple[str, ...]] = ("provider", "product", "endpoint", "model")

    provider: str
    product: str
    endpoint: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    """`Model.id`, of those that `model` speaks of."""
    price_lists: tuple[str, ...] = ()
    """What price lists call it: `Price.provider`, or with the reference behind it (`google/gemma-…-maas`) where two of its products share
    one list."""
    parent_seat: Fact[str]
    """Country of the company that decides, ISO 3166 alpha-2."""
    contract_law: Fact[str]
    """Under whose law the contract stands, in words."""
    contract_eu: Fact[bool]
    """Whether a customer in the EU contracts under the law of a member state."""
    residency: Fact[str]
    """Where prompts are processed and kept, in words."""
    residency_eu: Fact[str]
    """`yes` (default), `option`, or `no`: whether processing and storage can be confined to the EU."""
    retention_days: Fact[float]
    """Of prompts and answers of stateless calls, by default; 0: not kept."""
    zero_retention: Fact[str]
    """`default`, `self-serve`, `approval` or `no`."""
    trains_on_data: Fact[str]
    """`no`, `opt-in`, `opt-out` or `yes`, of what is sent through the API by a paying customer."""
    dpa: Fact[str]
    """The data processing agreement, in words."""
    certifications: Fact[tuple[str, ...]]
    weights_self_hostable: Fact[str]
    """`yes`, `some` or `no`."""
    weights_licence: Fact[str]
    cloud_act: Fact[str]
    """Exposure to 18 U.S.C. 2713, derived from the seat: `direct`, `indirect` (a US company among its processors) or `none`."""
    note: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model as it is voted on and paid for: where the arena lists efforts apart, each is one. Its names elsewhere are matched exactly."""

    KEY: ClassVar[tuple[str, ...]] = ("id",)

    id: str
    name: str
    maker: str
    arena: tuple[str, ...] = ()
    """Its names in the arena's tables."""
    weights: tuple[str, ...] = ()
    """What recipes call it: repositories of its weights, quantised by whomever."""
    own_price: str = ""
    """`provider/reference` of its maker's own price, as the package genai-prices calls it; empty: none is known."""
    hosted: tuple[str, ...] = ()
    """The same of others who serve these weights."""
    open_weights: Fact[bool]
    licence: Fact[str]
    """Of the weights."""
    params_b: Fact[float]
    """Parameters in thousand millions."""
    active_params_b: Fact[float]
    """Of these, at work for each token."""


class Rating(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the arena on one day. Ratings of different days, categories or configurations are not comparable."""

    KEY: ClassVar[tuple[str, ...]] = ("arena_name", "config", "category", "date")

    arena_name: str
    model: str | None = None
    """`Model.id`; None: no model of ours has that name."""
    config: str
    """`text`, `text_style_control`, …: which of the dataset's tables."""
    category: str
    """`overall`, `coding`, …"""
    date: datetime.date
    rating: Fact[float]
    """On the Elo scale, with its 95 % interval."""
    votes: int | None = None
    rank: int | None = None
    organization: str = ""
    licence: str = ""
    """Of the model, as the arena has it."""


class HardwarePrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one machine costs, from a day on."""

    KEY: ClassVar[tuple[str, ...]] = ("machine", "since")

    machine: str
    since: datetime.date
    currency: str
    """ISO 4217."""
    price: Fact[float]


class HardwareWatts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one machine draws."""

    KEY: ClassVar[tuple[str, ...]] = ("machine", "scope", "state", "conditions")

    machine: str
    state: str
    """`idle`, `load` or `rated`."""
    scope: str
    """Where it is measured: `wall`, `system`, `soc`, `gpu`, `adapter`."""
    conditions: str
    watts: Fact[float]


class Electricity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    KEY: ClassVar[tuple[str, ...]] = ("country", "customer", "period")

    country: str
    """ISO 3166 alpha-2, or `EU`."""
    customer: str
    """`household` or `business`."""
    period: str
    """`2025-H1`: the half year that it is the mean of."""
    currency: str
    per_kwh: Fact[float]


class ExchangeRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the currency `to` one unit of `of` was on a day; ISO 4217."""

    KEY: ClassVar[tuple[str, ...]] = ("of", "to", "day")

    of: str
    to: str
    day: datetime.date
    rate: Fact[float]


class PublishedFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A speed somebody published for a system that is no recipe of ours. What recipes carry is not said here again."""

    KEY: ClassVar[tuple[str, ...]] = (
        "model",
        "machine",
        "nodes",
        "engine",
        "quantization",
        "metric",
        "depth",
        "pp",
        "tg",
        "concurrency",
        "conditions",
    )

    model: str
    """`Model.id`, or its name where it is none of ours."""
    machine: str
    nodes: int
    engine: str
    quantization: str
    metric: str
    """A name of `docs/metrics.md`."""
    unit: str
    depth: int | None = None
    pp: int | None = None
    tg: int | None = None
    concurrency: int | None = None
    conditions: str = ""
    value: Fact[float]


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other prices for requests with more input than that. None: not listed."""

    above_tokens: int
    input_mtok: float | None = None
    cached_input_mtok: float | None = None
    output_mtok: float | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider lists for a model, per million tokens."""

    KEY: ClassVar[tuple[str, ...]] = ("model", "provider", "ref")

    provider: str
    ref: str
    """The model's name there."""
    model: str
    """`Model.id`."""
    currency: str
    input_mtok: Fact[float]
    cached_input_mtok: Fact[float]
    """Of input tokens that are read from a cache."""
    output_mtok: Fact[float]
    tiers: Fact[tuple[Tier, ...]]
    """By rising `above_tokens`; an empty tuple: one price for all lengths."""
    note: str = ""
    """Other prices at other hours."""

    def tier(self, prompt_tokens: float) -> Tier | None:
        """What all of a request with so many input tokens is charged by; None: the prices above."""
        return max(
            (tier for tier in self.tiers.value or () if prompt_tokens > tier.above_tokens),
            key=lambda t: t.above_tokens,
            default=None,
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something the article says, to be held against what is known. `docs/article.md` is made from these."""

    KEY: ClassVar[tuple[str, ...]] = ("table", "row", "column")

    table: str
    """`leaderboards`, `top five`, `three columns`, `this stack`, `sizes`, or `text`."""
    row: str
    column: str
    said: Fact[str]
    """Verbatim."""
    value: Fact[float]
    """The number in it."""
    unit: str = ""
    model: str = ""
    """`Model.id`."""
    recipe: str = ""
    """The recipe that stands for the row's system."""
    known: Fact[str]
    """What else was found of it, where no figure here speaks of it."""
    verdict: str | None = None
    """One of `measure.verdict.VERDICTS`, by what is `known`; it counts only with that."""


class Weighting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published way to weigh the objectives of a sovereignty framework."""

    KEY: ClassVar[tuple[str, ...]] = ("framework", "profile")

    framework: str
    profile: str
    since: datetime.date
    weights: Fact[tuple[float, ...]]
    """Per cent, of SOV-1, SOV-2 and so on."""


class Criterion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question of a sovereignty framework, with as many answers as it has points, the worst first."""

    KEY: ClassVar[tuple[str, ...]] = ("framework", "id")

    framework: str
    id: str
    """`2.3`: the third one of SOV-2."""
    title: str
    factor: int
    """Which of the objective's contributing factors it belongs to, from 1."""
    points: Fact[tuple[float, ...]]
    seals: Fact[tuple[int, ...]]
    """The assurance level that each answer allows, 0 to 4."""


class Chip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a GPU is from."""

    KEY: ClassVar[tuple[str, ...]] = ("gpu",)

    gpu: str
    """As its driver calls it."""
    maker_seat: Fact[str]
    """ISO 3166 alpha-2."""
    made_in_eu: Fact[bool]
    software_open: Fact[bool]
    """Whether all that a program needs to compute on it is under open licences."""


class EngineCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    KEY: ClassVar[tuple[str, ...]] = ("engine",)

    engine: str
    """As `harness.engines.ENGINES` has it."""
    open_source: Fact[bool]
    licence: Fact[str]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; `providers` of a harness without facts is empty, and so on."""

    providers: tuple[Provider, ...] = ()
    models: tuple[Model, ...] = ()
    ratings: tuple[Rating, ...] = ()
    hardware_prices: tuple[HardwarePrice, ...] = ()
    hardware_watts: tuple[HardwareWatts, ...] = ()
    electricity: tuple[Electricity, ...] = ()
    exchange: tuple[ExchangeRate, ...] = ()
    published: tuple[PublishedFigure, ...] = ()
    prices: tuple[Price, ...] = ()
    claims: tuple[Claim, ...] = ()
    weightings: tuple[Weighting, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    chips: tuple[Chip, ...] = ()
    engine_code: tuple[EngineCode, ...] = ()


def row_id(row: msgspec.Struct) -> str:
    """What tells a row from the others of its table (its `KEY`), as a person writes it: `anthropic/claude-api`."""
    words = (str(getattr(row, name)) for name in row.KEY if getattr(row, name) is not None)  # type: ignore[attr-defined]
    return "/".join(filter(None, (re.sub(r"[^\w.]+", "-", word.lower()).strip("-") for word in words)))


def claims(row: msgspec.Struct) -> Iterator[tuple[str, Fact[Any]]]:
    """Its facts, by their names."""
    yield from ((name, value) for name in row.__struct_fields__ if isinstance(value := getattr(row, name), Fact))
