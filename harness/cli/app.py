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
    advise,
    board,
    collect,
    cost,
    exports,
    facts,
    machine,
    machines,
    observe,
    options,
    packs,
    recipes,
    results,
    settings,
    share,
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
results.app.command("export")(exports.export)
results.app.command("import")(exports.import_)
results.app.command("imports")(exports.imports)
app.add_typer(facts.app, name="facts")
app.add_typer(share.app, name="share")
app.add_typer(collect.app, name="collect")
app.command("board")(board.board)
app.command("site")(site.site)
app.command("plot")(site.plot)
app.command("observe")(observe.observe)
app.command("verify")(results.verify)
app.command("cost")(cost.cost)
app.command("advise")(advise.advise)
app.command("sovereignty")(sovereignty.sovereignty)
app.command("pack")(packs.pack)
app.command("unpack")(packs.unpack)
app.command("doctor")(machine.doctor)
app.command("watch")(machine.watch)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False) -> None:
    if show:
        from harness import __version__

        print(f"harness {__version__}")
        raise typer.Exit


@app.command()
def bench(
    recipe: options.RecipeName = None,
    profile: options.ProfileName = None,
    set_: options.Set = None,
    depth: options.Depth = None,
    pp: options.Pp = None,
    tg: options.Tg = None,
    concurrency: options.Concurrency = None,
    rate: options.Rate = None,
    seconds: options.Seconds = None,
    slo: options.SloName = None,
    trace: options.Trace = None,
    runs: options.Runs = None,
    requests: options.Requests = None,
    seed: options.Seed = 0,
    pin: options.Pin = None,
    load_host: options.LoadHost = None,
    load_python: options.LoadPython = None,
    allow: options.Allow = None,
    offline: options.Offline = False,
    airtight: options.Airtight = False,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    url: options.Url = None,
    model: options.Model = None,
    api_key_env: options.ApiKeyEnv = None,
    price: spending.Price = None,
    max_usd: spending.MaxUsd = None,
    plug: machine.Plug = None,
    plug_token_env: machine.PlugToken = None,
    sense_host: options.SenseHost = None,
    sense_python: options.SensePython = None,
    memory_floor: options.MemoryFloor = None,
    drop_caches: options.DropCaches = False,
    results_dir: options.Results = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and stop; touches no disk, and no network but for --hosts.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Launch a recipe's server, measure it, and store the result."""
    if airtight and not dry_run:
        from harness.hosts.airtight import enter

        enter()
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
        airtight=airtight,
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
    recipe: options.RecipeName = None,
    profile: options.ProfileName = None,
    set_: options.Set = None,
    depth: options.Depth = None,
    pp: options.Pp = None,
    tg: options.Tg = None,
    concurrency: options.Concurrency = None,
    rate: options.Rate = None,
    seconds: options.Seconds = None,
    slo: options.SloName = None,
    trace: options.Trace = None,
    runs: options.Runs = None,
    requests: options.Requests = None,
    seed: options.Seed = 0,
    pin: options.Pin = None,
    load_host: options.LoadHost = None,
    load_python: options.LoadPython = None,
    allow: options.Allow = None,
    offline: options.Offline = False,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    url: options.Url = None,
    model: options.Model = None,
    json: options.Json = False,
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
    set_: options.Set = None,
    runs: options.Runs = None,
    seed: Annotated[int | None, typer.Option(help="Prompts and order follow from it.  [default: 0]")] = None,
    pin: options.Pin = None,
    load_host: options.LoadHost = None,
    load_python: options.LoadPython = None,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    allow: options.Allow = None,
    offline: options.Offline = False,
    url: options.Url = None,
    model: options.Model = None,
    api_key_env: options.ApiKeyEnv = None,
    price: spending.Price = None,
    max_usd: spending.MaxUsd = None,
    plug: machine.Plug = None,
    plug_token_env: machine.PlugToken = None,
    sense_host: options.SenseHost = None,
    sense_python: options.SensePython = None,
    memory_floor: options.MemoryFloor = None,
    drop_caches: options.DropCaches = False,
    measured: Annotated[
        str | None, typer.Option("--with", metavar="RESULT", help="Compare with this stored result instead of measuring.")
    ] = None,
    results_dir: options.Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    json: options.Json = False,
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
    profile: options.ProfileName = None,
    set_: options.Set = None,
    set_b: Annotated[
        list[str] | None, typer.Option("--set-b", metavar="KEY=VALUE", help="As --set, for B only (repeatable).")
    ] = None,
    pp: options.Pp = None,
    tg: options.Tg = None,
    concurrency: options.Concurrency = None,
    runs: options.Runs = None,
    requests: options.Requests = None,
    seed: options.Seed = 0,
    pin: options.Pin = None,
    allow: options.Allow = None,
    offline: options.Offline = False,
    memory_floor: options.MemoryFloor = None,
    drop_caches: options.DropCaches = False,
    results_dir: options.Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print how often what is measured, and stop.")] = False,
    json: options.Json = False,
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
    recipe: options.RecipeName = None,
    profile: options.ProfileName = None,
    concurrency: options.Concurrency = None,
    rate: options.Rate = None,
    pin: options.Pin = None,
    results_dir: Annotated[Path | None, typer.Option("--results", help="Where it is stored.  [default: ./results]")] = None,
    json: options.Json = False,
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
    recipe: options.RecipeName = None,
    set_: options.Set = None,
    allow: options.Allow = None,
    offline: options.Offline = False,
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
