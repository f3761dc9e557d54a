"""`harness cost`: what a measured or described system costs to run, beside what others ask."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness.cli import assumed, options, settings
from harness.errors import UsageError

FORMATS = ("table", "md", "json")


def cost(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="RESULT", help="A stored result; without one and without --tok-s the latest.", show_default=False
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(metavar="CELL", help="Which of its cells, by id or load such as c8.  [default: most tokens a second]"),
    ] = None,
    requests_per_day: Annotated[
        float | None, typer.Option(metavar="N", help="Requests a day.  [default: as many as fit]")
    ] = None,
    input_tokens: Annotated[float | None, typer.Option(metavar="N", help="Of one request.  [default: as measured]")] = None,
    output_tokens: Annotated[float | None, typer.Option(metavar="N", help="Of one request.  [default: as measured]")] = None,
    cached_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the input that a prefix cache answers, 0 to 1."),
    ] = None,
    tok_s: Annotated[
        float | None,
        typer.Option("--tok-s", metavar="N", help="Output tokens a second of all streams."),
    ] = None,
    prefill_tok_s: Annotated[float | None, typer.Option("--prefill-tok-s", metavar="N", help="Input tokens a second.")] = None,
    watts: options.Watts = None,
    idle_watts: options.IdleWatts = None,
    machines: Annotated[int | None, typer.Option(min=1, metavar="N", help="Of one server.  [default: as measured]")] = None,
    copies: Annotated[int, typer.Option(min=1, metavar="N", help="Servers that share the work.")] = 1,
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="What it serves, by harness facts list models.")] = None,
    currency: options.Currency = "USD",
    fx: options.Fx = None,
    price_kwh: options.PriceKwh = None,
    country: options.Country = "EU",
    business: options.Business = False,
    hardware: options.Hardware = None,
    hardware_price: options.HardwarePrice = None,
    years: options.Years = 3.0,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Compare with this model at its maker's price."),
    ] = None,
    hosted: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROVIDER:MODEL", help="Compare with that offer.  [default: all known offers of the same weights]"
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="table, md or json.")] = "table",
    today: options.PricesOf = None,
    root: options.Results = None,
) -> None:
    """What a result's system, or one described by --tok-s and --watts, costs to run, and when it has paid for itself."""
    if format_ not in FORMATS:
        raise UsageError(f"--format: there is no '{format_}'", f"one of {', '.join(FORMATS)}")
    said = {
        "--requests-per-day": requests_per_day,
        "--input-tokens": input_tokens,
        "--output-tokens": output_tokens,
        "--cached-share": cached_share,
        "--tok-s": tok_s,
        "--prefill-tok-s": prefill_tok_s,
        "--watts": watts,
        "--idle-watts": idle_watts,
        "--price-kwh": price_kwh,
        "--hardware-price": hardware_price,
        "--years": years,
    }
    assumed.amounts(said)
    if tok_s == 0 or prefill_tok_s == 0:
        raise UsageError("--tok-s and --prefill-tok-s are above 0", "give another number")
    if cached_share is not None and cached_share > 1:
        raise UsageError(f"--cached-share: {cached_share:g} is more than all", "give a share from 0 to 1")
    from harness import costs
    from harness.facts import load

    day = settings.day(today)
    ask = costs.Ask(
        currency=currency.upper(),
        rates=assumed.rates(fx, day),
        requests_per_day=requests_per_day,
        input_tokens_per_request=input_tokens,
        output_tokens_per_request=output_tokens,
        cached_input_share=cached_share,
        cell=cell,
        output_tok_s=tok_s,
        prefill_tok_s=prefill_tok_s,
        active_w=watts,
        idle_w=idle_watts,
        electricity_per_kwh=price_kwh,
        country=assumed.country_code(country),
        customer=assumed.customer(business),
        hardware=hardware,
        machine_price=hardware_price,
        machines=machines,
        copies=copies,
        lifetime_years=years,
        model=model,
        against=tuple(against or ()),
        hosted=tuple(hosted or ()),
    )
    facts = load.load(settings.user_facts())
    if which is None and tok_s is not None:
        found = costs.of_words(ask, facts, day)
    else:
        from harness.store import query

        path = query.find(root or settings.results_root(), which or "latest")
        found = costs.of_result(path, ask, facts, day)
    if format_ == "json":
        import msgspec

        print(msgspec.json.encode(found).decode())
        return
    from harness.report import cost as report

    if format_ == "md":
        print(report.markdown(found))
    else:
        print(report.render(found, width=settings.width(), color=sys.stdout.isatty()))
