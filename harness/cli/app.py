"""The commands. Each one parses its options, calls one function below, and prints what comes back."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import (
    board,
    cost,
    facts,
    machine,
    machines,
    observe,
    packs,
    recipes,
    results,
    settings,
    site,
    sovereignty,
    spending,
)
from harness.cli import compare as comparing
from harness.cli import reproduce as reproducing

if TYPE_CHECKING:
    from harness.order import Order

app = typer.Typer(
    help="Measure LLM servers on a DGX Spark. Results stay on this machine.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
app.add_typer(recipes.app, name="recipes")
app.add_typer(results.app, name="results")
app.add_typer(facts.app, name="facts")
app.command("board")(board.board)
app.command("site")(site.site)
app.command("plot")(site.plot)
app.command("observe")(observe.observe)
app.command("verify")(results.verify)
app.command("cost")(cost.cost)
app.command("sovereignty")(sovereignty.sovereignty)
app.command("pack")(packs.pack)
app.command("unpack")(packs.unpack)
app.command("doctor")(machine.doctor)
app.command("watch")(machine.watch)

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
Url = Annotated[str | None, typer.Option(help="Measure a server that already runs, instead of starting one.")]
Model = Annotated[str | None, typer.Option(help="With --url: the model's name there, if it serves more than one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False) -> None:
    if show:
        from harness import __version__

        print(f"harness {__version__}")
        raise typer.Exit


@app.command()
def bench(
    recipe: RecipeName = None,
    profile: ProfileName = None,
    set_: Set = None,
    depth: Depth = None,
    pp: Pp = None,
    tg: Tg = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    seconds: Seconds = None,
    slo: SloName = None,
    trace: Trace = None,
    runs: Runs = None,
    requests: Requests = None,
    seed: Seed = 0,
    pin: Pin = None,
    load_host: LoadHost = None,
    load_python: LoadPython = None,
    allow: Allow = None,
    offline: Offline = False,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    url: Url = None,
    model: Model = None,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --url: the environment variable that holds the key.")
    ] = None,
    price: spending.Price = None,
    max_usd: spending.MaxUsd = None,
    plug: machine.Plug = None,
    plug_token_env: machine.PlugToken = None,
    sense_host: SenseHost = None,
    sense_python: SensePython = None,
    memory_floor: MemoryFloor = None,
    drop_caches: DropCaches = False,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and stop; touches no disk, and no network but for --hosts.")
    ] = False,
    json: Json = False,
) -> None:
    """Launch a recipe's server, measure it, and store the result."""
    order = settings.order(
        recipe,
        profile,
        set_,
        depth=depth,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        rate=rate,
        seconds=seconds,
        slo=slo,
        trace=trace,
        runs=runs,
        requests=requests,
        seed=seed,
        pin=pin,
        load_host=load_host,
        load_python=load_python,
        allow=allow,
        offline=offline,
        hosts=hosts,
        cluster=cluster,
        url=url,
        model=model,
        api_key_env=api_key_env,
        price=price,
        max_usd=max_usd,
        plug=plug,
        plug_token_env=plug_token_env,
        sense_host=sense_host,
        sense_python=sense_python,
        memory_floor=memory_floor,
        drop_caches=drop_caches,
    )
    if dry_run:
        _print_plan(order, json)
        return
    from harness import bench as conductor
    from harness.cli.progress import Terminal, interruptible

    order = spending.agreed(order)
    with interruptible(), Terminal(quiet=json) as terminal:
        path, result = conductor.bench(order, results_dir or settings.results_root(), terminal)
    results.print_result(path, result, json)
    sys.exit(conductor.exit_code(result))


@app.command()
def plan(
    recipe: RecipeName = None,
    profile: ProfileName = None,
    set_: Set = None,
    depth: Depth = None,
    pp: Pp = None,
    tg: Tg = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    seconds: Seconds = None,
    slo: SloName = None,
    trace: Trace = None,
    runs: Runs = None,
    requests: Requests = None,
    seed: Seed = 0,
    pin: Pin = None,
    load_host: LoadHost = None,
    load_python: LoadPython = None,
    allow: Allow = None,
    offline: Offline = False,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    url: Url = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Print what a run would do: the exact command, cells, and time. Starts nothing."""
    order = settings.order(
        recipe,
        profile,
        set_,
        depth=depth,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        rate=rate,
        seconds=seconds,
        slo=slo,
        trace=trace,
        runs=runs,
        requests=requests,
        seed=seed,
        pin=pin,
        load_host=load_host,
        load_python=load_python,
        allow=allow,
        offline=offline,
        hosts=hosts,
        cluster=cluster,
        url=url,
        model=model,
    )
    _print_plan(order, json)


@app.command()
def reproduce(
    which: Annotated[
        str, typer.Argument(metavar="RECIPE|RESULT", help="A recipe with published figures, or an earlier result.")
    ],
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="How much to measure, and what the publication does not say.  [default: tg128]"),
    ] = None,
    set_: Set = None,
    runs: Runs = None,
    seed: Annotated[int | None, typer.Option(help="Prompts and order follow from it.  [default: 0]")] = None,
    pin: Pin = None,
    load_host: LoadHost = None,
    load_python: LoadPython = None,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    allow: Allow = None,
    offline: Offline = False,
    url: Url = None,
    model: Model = None,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --url: the environment variable that holds the key.")
    ] = None,
    price: spending.Price = None,
    max_usd: spending.MaxUsd = None,
    plug: machine.Plug = None,
    plug_token_env: machine.PlugToken = None,
    sense_host: SenseHost = None,
    sense_python: SensePython = None,
    memory_floor: MemoryFloor = None,
    drop_caches: DropCaches = False,
    measured: Annotated[
        str | None, typer.Option("--with", metavar="RESULT", help="Compare with this stored result instead of measuring.")
    ] = None,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    json: Json = False,
) -> None:
    """Measure again what was published, and say of each figure whether it was reproduced."""
    root = results_dir or settings.results_root()
    what = reproducing.find(which, root)
    if measured is not None:
        sys.exit(reproducing.compared(what, reproducing.stored(root, measured), json))
    ordering = partial(
        settings.order,
        runs=runs,
        pin=pin,
        load_host=load_host,
        load_python=load_python,
        allow=allow,
        offline=offline,
        api_key_env=api_key_env,
        price=price,
        max_usd=max_usd,
        plug=plug,
        plug_token_env=plug_token_env,
        sense_host=sense_host,
        sense_python=sense_python,
        memory_floor=memory_floor,
        drop_caches=drop_caches,
    )
    again = reproducing.order(
        what, ordering, profile=profile, set_=set_, seed=seed, hosts=hosts, cluster=cluster, url=url, model=model
    )
    if dry_run:
        _print_plan(again, json)
        return
    sys.exit(reproducing.compared(what, reproducing.measured(spending.agreed(again), root, quiet=json), json, keep=True))


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A recipe, which is measured, or a stored result, which is read.")],
    two: Annotated[str, typer.Argument(metavar="B", help="What it is held against: a recipe or a result, as A is one.")],
    blocks: Annotated[
        int | None, typer.Option(metavar="N", help="Of recipes: how often ABBA (then BAAB) is measured.  [default: 6]")
    ] = None,
    unlike: Annotated[bool, typer.Option("--unlike", help="Compare even if not the same was asked of the two.")] = False,
    profile: ProfileName = None,
    set_: Set = None,
    set_b: Annotated[
        list[str] | None, typer.Option("--set-b", metavar="KEY=VALUE", help="As --set, for B only (repeatable).")
    ] = None,
    pp: Pp = None,
    tg: Tg = None,
    concurrency: Concurrency = None,
    runs: Runs = None,
    requests: Requests = None,
    seed: Seed = 0,
    pin: Pin = None,
    allow: Allow = None,
    offline: Offline = False,
    memory_floor: MemoryFloor = None,
    drop_caches: DropCaches = False,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print how often what is measured, and stop.")] = False,
    json: Json = False,
) -> None:
    """Say which of two is faster: measure two recipes in turns, or read two results."""
    ordering = partial(
        settings.order,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        runs=runs,
        requests=requests,
        seed=seed,
        pin=pin,
        allow=allow,
        offline=offline,
        memory_floor=memory_floor,
        drop_caches=drop_caches,
    )
    sides = [partial(ordering, profile=profile, set_=words) for words in (set_, [*(set_ or []), *(set_b or [])])]
    root = results_dir or settings.results_root()
    sys.exit(
        comparing.compared((one, two), root, (sides[0], sides[1]), blocks=blocks, unlike=unlike, dry_run=dry_run, json=json)
    )


@app.command()
def calibrate(
    recipe: RecipeName = None,
    profile: ProfileName = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    pin: Pin = None,
    results_dir: Annotated[Path | None, typer.Option("--results", help="Where it is stored.  [default: ./results]")] = None,
    json: Json = False,
) -> None:
    """Measure the load client itself, against a server of known speed, at the loads of a plan."""
    order = settings.order(recipe, profile, None, concurrency=concurrency, rate=rate, pin=pin)
    from harness import calibrate as calibrator
    from harness.cli.progress import Terminal, interruptible
    from harness.store import calibrations

    with interruptible(), Terminal(quiet=json) as terminal:
        found = calibrator.calibrate(order, terminal)
    path = calibrations.save(results_dir or settings.results_root(), found)
    results.print_calibration(path, found, json)


@app.command()
def serve(
    recipe: RecipeName = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
) -> None:
    """Start a recipe's server and keep it until Ctrl-C; measures nothing."""
    order = settings.order(recipe, None, set_, allow=allow, offline=offline, hosts=hosts, cluster=cluster)
    from harness import bench as conductor
    from harness.cli.progress import Terminal, interruptible

    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        with (
            interruptible(),
            Terminal(quiet=False) as terminal,
            conductor.serving(order, folder / "engine.log", terminal) as (plan, server),
        ):
            terminal.say(f"{plan.served_model} answers at {server.url}/v1 until Ctrl-C")
            server.wait()
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)  # where the server failed it stays: its log is in it
        raise


def _print_plan(order: Order, json: bool) -> None:
    from harness import bench as conductor

    plan = conductor.with_image(order).plan()
    if json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
        return
    from harness.report import plan_text

    print(plan_text.render(plan, width=settings.width(), color=sys.stdout.isatty()))
