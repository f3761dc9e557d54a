"""Options that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import settings

RecipeName = Annotated[
    str | None,
    typer.Argument(help=f"A recipe's name, or the path of its file.  [default: {settings.DEFAULT_RECIPE}]", show_default=False),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", help="What to measure: quick, standard, publish, tg128, … or the recipe's own.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a default of the recipe; may be repeated.")
]
Depth = Annotated[str | None, typer.Option("--depth", metavar="LIST", help="Context tokens before the prompt, such as 0,4096.")]
Pp = Annotated[str | None, typer.Option("--pp", metavar="LIST", help="Prompt tokens.")]
Tg = Annotated[str | None, typer.Option("--tg", metavar="LIST", help="Tokens to generate.")]
Concurrency = Annotated[str | None, typer.Option("--concurrency", metavar="LIST", help="Requests in flight, such as 1,4,16.")]
Rate = Annotated[str | None, typer.Option("--rate", metavar="LIST", help="Open loop: requests per second, such as 0.5,1,2.")]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Open loop: how long requests are sent in each trial.")]
SloName = Annotated[str | None, typer.Option("--slo", metavar="NAME", help="Limits for goodput: see docs/recipes.md.")]
Trace = Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="Open loop: replay the requests of a JSONL file.")]
Runs = Annotated[int | None, typer.Option(min=1, help="Trials of each cell before it may stop.")]
Requests = Annotated[int | None, typer.Option(min=1, help="Measured requests per trial.")]
Seed = Annotated[int, typer.Option(help="Prompts and order follow from it.")]
Pin = Annotated[
    str | None,
    typer.Option(
        "--pin", metavar="LIST", help="Cores for the load driver, or off.  [default: efficiency cores, where there are such]"
    ),
]
LoadHost = Annotated[
    str | None,
    typer.Option("--load-host", metavar="HOST", help="Run the load driver there, by ssh, instead of beside the server."),
]
LoadPython = Annotated[
    str | None, typer.Option("--load-python", metavar="PATH", help="With --load-host: a Python there that has the harness.")
]
SenseHost = Annotated[
    list[str] | None,
    typer.Option("--sense-host", metavar="HOST", help="Read that host's sensors too, by ssh: another node of the server's."),
]
SensePython = Annotated[
    str | None, typer.Option("--sense-python", metavar="PATH", help="With --sense-host: a Python there that has the harness.")
]
MemoryFloor = Annotated[
    str | None,
    typer.Option(
        "--memory-floor",
        metavar="GIB",
        help="Stop the server when less memory is free, or off.  [default: 8 on a GB10, else off]",
    ),
]
DropCaches = Annotated[
    bool, typer.Option("--drop-caches", help="Empty the page cache before the start; needs a sudo rule: see docs/gb10.md.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", metavar="KEY", help="Give the container what its recipe asks for there: privileged, devices, volumes, …"
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch nothing, and say before the start what is missing; so does HF_HUB_OFFLINE=1.")
]
Airtight = Annotated[
    bool,
    typer.Option(
        "--airtight", help="Run the server and the load in a network with nothing in it but loopback; implies --offline."
    ),
]
Url = Annotated[str | None, typer.Option(help="Measure a server that already runs, instead of starting one.")]
Model = Annotated[str | None, typer.Option(help="With --url: the model's name there, if it serves more than one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ApiKeyEnv = Annotated[str | None, typer.Option(metavar="NAME", help="With --url: the environment variable that holds the key.")]
Fx = Annotated[
    list[str] | None,
    typer.Option(
        "--fx", metavar="CODE=RATE[@DAY]", help="What one of that currency is in the answer's.  [default: the facts' newest]"
    ),
]
PriceKwh = Annotated[float | None, typer.Option("--price-kwh", metavar="PRICE", help="Of electricity, in --currency.")]
DollarsKwh = Annotated[float | None, typer.Option("--price-kwh", metavar="USD", help="Of electricity, in US dollars.")]
Country = Annotated[str, typer.Option("--country", metavar="CODE", help="Whose mean price of electricity stands for it.")]
Business = Annotated[bool, typer.Option("--business", help="The price for businesses, not households.")]
HardwarePrice = Annotated[
    float | None, typer.Option("--hardware-price", metavar="PRICE", help="Of one machine, in --currency.")
]
DollarsHardware = Annotated[
    float | None, typer.Option("--hardware-price", metavar="USD", help="Of one machine, in US dollars.")
]
Years = Annotated[float, typer.Option("--years", metavar="N", help="That the machine lasts.")]
Seat = Annotated[
    str | None,
    typer.Option("--seat", metavar="COUNTRY", help="Where a machine of one's own stands and its owner sits: DE, FR, US …"),
]
Results = Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")]
Watts = Annotated[float | None, typer.Option(metavar="W", help="At work.")]
IdleWatts = Annotated[float | None, typer.Option(metavar="W", help="With the server ready and idle.")]
Currency = Annotated[str, typer.Option(metavar="CODE", help="Of the answer, and of prices given here.")]
Hardware = Annotated[str | None, typer.Option(metavar="NAME", help="Whose list price stands for the machine's.")]
PricesOf = Annotated[str | None, typer.Option("--today", metavar="DAY", help="Whose prices count.  [default: today]")]
