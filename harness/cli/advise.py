"""`harness advise`: self-host, cloud or hybrid, for a workload and what must hold."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import assumed, options, settings
from harness.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from harness.schema.cost import Demand

FORM = "write it like requests=500,input=2000,output=500,cached=0.5"
WORDS = ("requests", "input", "output", "cached")
NAMED = {
    "article": {"requests": 1000.0, "input": 0.0, "output": 500.0},
    "agentic": {"requests": 96_000.0, "input": 3040.0, "output": 64.0},
}
"""What the article reckons with; its 200 completions a minute for eight hours, each as the profile `agentic` has them on average."""


def advise(
    workload: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="A day's: requests=500,input=2000,output=500,cached=0.5 (tokens of one request, share of its input that a cache answers); "
            "or article, agentic.",
        ),
    ],
    max_quality_loss: Annotated[
        str | None,
        typer.Option(
            metavar="ELO|PERCENT",
            help="How far below the best rated model: 30 points of Elo, or 46%, how often its answers are to be preferred to the best "
            "one's.  [default: any]",
        ),
    ] = None,
    must: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIST",
            help="Conditions, such as residency=EU,trains=no,retention<=30; also zero-retention, seat, law, self-hostable, cloud-act, "
            "leaves-desk.",
        ),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Whose mean price of electricity counts (else the EU's); --seat too, where that is not said."
        ),
    ] = None,
    seat: options.Seat = None,
    watts: options.Watts = None,
    idle_watts: options.IdleWatts = None,
    copies: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of each system, no more.  [default: as many as are needed]")
    ] = None,
    currency: options.Currency = "USD",
    fx: options.Fx = None,
    price_kwh: options.PriceKwh = None,
    business: options.Business = False,
    hardware: options.Hardware = None,
    hardware_price: options.HardwarePrice = None,
    years: options.Years = 3.0,
    today: options.PricesOf = None,
    all_: Annotated[bool, typer.Option("--all", help="List every way, not the cheapest and the nearest alone.")] = False,
    json: options.Json = False,
    root: options.Results = None,
) -> None:
    """Say self-host, cloud or hybrid for a workload, with the arithmetic: the cheapest way that keeps every condition."""
    assumed.amounts(
        {
            "--watts": watts,
            "--idle-watts": idle_watts,
            "--price-kwh": price_kwh,
            "--hardware-price": hardware_price,
            "--years": years,
        }
    )
    country = country and assumed.country_code(country)
    from harness import advising, costs
    from harness.facts import load
    from harness.measure import conditions

    day = settings.day(today)
    wish = advising.Wish(
        demand=demand(workload),
        max_loss_elo=None if max_quality_loss is None else loss(max_quality_loss),
        must=conditions.parse(must or ()),
        seat=assumed.seat(seat) or country,
        more_copies=copies is None,
    )
    ask = costs.Ask(
        currency=currency.upper(),
        rates=assumed.rates(fx, day),
        active_w=watts,
        idle_w=idle_watts,
        electricity_per_kwh=price_kwh,
        country=country or conditions.EU,
        customer=assumed.customer(business),
        hardware=hardware,
        machine_price=hardware_price,
        copies=copies or 1,
        lifetime_years=years,
    )
    found = advising.advised(root or settings.results_root(), ask, wish, load.load(settings.user_facts()), day)
    if json:
        import msgspec

        from harness.measure.advise import brief

        print(msgspec.json.encode(found if all_ else brief(found)).decode())
        return
    from harness.report import advise as report

    print(report.render(found, width=settings.width(), color=sys.stdout.isatty(), every=all_))


def demand(text: str) -> Demand:
    """Raises `UsageError`."""
    from harness.schema.cost import Demand

    first, *rest = (part.strip() for part in text.split(","))
    said = dict(NAMED.get(first, {}))
    for part in rest if said else (first, *rest):
        name, equals, number = (each.strip() for each in part.partition("="))
        if not equals or name not in WORDS:
            near = did_you_mean(name, WORDS if equals else [*NAMED, *WORDS])
            raise UsageError(
                f"--workload {part}: no such word", f"did you mean '{near}'?" if near else f"{FORM}; or {', '.join(NAMED)}"
            )
        said[name] = _amount(part, number)
    lacking = [name for name in ("requests", "output") if not said.get(name)]
    if lacking:
        raise UsageError(f"--workload {text}: {' and '.join(lacking)} must be said, and above 0", FORM)
    if said.get("cached", 0.0) > 1:
        raise UsageError(f"--workload {text}: cached is more than all", "give a share from 0 to 1")
    return Demand(
        requests_per_day=said["requests"],
        input_tokens_per_request=said.get("input", 0.0),
        output_tokens_per_request=said["output"],
        cached_input_share=said.get("cached", 0.0),
    )


def loss(text: str) -> float:
    """In Elo. Raises `UsageError`."""
    from harness.measure.quality import elo_of

    number = _number(text.removesuffix("%"))
    if not text.endswith("%") and (number == 0 or number >= 1):
        return number
    if text.endswith("%") and 0 < number <= 50:
        return 0.0 - elo_of(number / 100)
    raise UsageError(
        f"--max-quality-loss {text}: neither points of Elo nor a percentage up to 50%",
        "write 30 for 30 points below the best, or 46% for how often its answers are to be preferred; 50% is as good",
    )


def _amount(part: str, text: str) -> float:
    number = _number(text)
    if not number >= 0:
        raise UsageError(f"--workload {part}: no amount", "give a number that is not below 0")
    return number


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
