"""`harness doctor` and `harness watch`: this machine, and what it can be measured by."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import machines, settings

if TYPE_CHECKING:
    from harness.schema.doctor import Glance
    from harness.sense.base import Source
    from harness.sense.sampler import Sampler

Plug = Annotated[
    list[str] | None,
    typer.Option(
        "--plug", metavar="ADDRESS", help="A power meter at the wall, such as shelly://192.168.1.20: see docs/power.md."
    ),
]
PlugToken = Annotated[
    str | None,
    typer.Option("--plug-token-env", metavar="NAME", help="The environment variable that holds Home Assistant's token."),
]
FRAME_S, LINE_S = 0.25, 1.0
"""Between two pictures on a terminal, and two lines elsewhere."""


def doctor(
    recipe: Annotated[
        str | None, typer.Argument(help="Look at what this recipe needs, too: its name, or the path of its file.")
    ] = None,
    hosts: machines.Hosts = None,
    cluster: machines.ClusterName = None,
    plug: Plug = None,
    plug_token_env: PlugToken = None,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Look whether this machine is fit to be measured, or those of --hosts for a recipe: changes nothing, takes seconds."""
    import msgspec

    from harness.doctor import Patient, examine, require_answer
    from harness.doctor import machines as of_machines
    from harness.errors import MachineError, UsageError
    from harness.hosts.local import LocalHost
    from harness.probe import probe
    from harness.report import doctor_text
    from harness.schema.doctor import FAIL

    chosen = settings.recipe(recipe) if recipe else None
    require_answer()
    host = LocalHost(settings.system_root())
    found = probe(host, engines_home=settings.engines_home(), env=dict(os.environ))
    nodes = machines.nodes(hosts, cluster)
    if nodes and chosen is None:
        raise UsageError(
            "--hosts: no recipe is named that these machines are to run", "name one: harness doctor RECIPE --hosts …"
        )
    if nodes and chosen is not None:
        cache = settings.cache_folder()
        checks = list(of_machines.look(chosen, found, nodes, os.environ, cache=cache, say=_aside))
    else:
        patient = Patient(
            host,
            found,
            chosen,
            results=results_dir or settings.results_root(),
            system_root=settings.system_root(),
            cache=settings.cache_folder(),
            say=_aside,
        )
        checks = list(examine(patient, _sources(plug, plug_token_env)))
    if json:
        print(msgspec.json.format(msgspec.json.encode(checks), indent=2).decode())
    else:
        print(doctor_text.render(checks, width=settings.width(), color=sys.stdout.isatty()))
    if any(check.status == FAIL for check in checks):
        sys.exit(MachineError.exit_code)


def _aside(text: str) -> None:
    """To whoever sits there and waits."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def watch(
    plug: Plug = None,
    plug_token_env: PlugToken = None,
    seconds: Annotated[float | None, typer.Option(help="End after this long.  [default: at Ctrl-C]")] = None,
) -> None:
    """Show this machine's sensors as they are read; a line of JSON each second where there is no terminal."""
    from harness.cli.progress import interruptible
    from harness.doctor import require_answer
    from harness.sense.sampler import Sampler

    require_answer()
    sources = _sources(plug, plug_token_env)
    draw = _draw if sys.stdout.isatty() else _print
    try:
        with interruptible(), Sampler(sources) as sampler:
            draw(sampler, seconds)
    except BrokenPipeError:  # `harness watch | head`: what Python flushes at its end must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sources(plugs: list[str] | None, token_env: str | None) -> tuple[Source, ...]:
    from harness.sense.sources import Named, open_named, open_sources

    named = Named(plugs=tuple(plugs or ()), plug_token=settings.secret("--plug-token-env", token_env))
    return (*open_named(named, os.environ), *open_sources(settings.system_root()))


def _draw(sampler: Sampler, seconds: float | None) -> None:
    from rich.live import Live

    from harness.report import watch_text

    # Not all where the terminal is too short: what has scrolled away cannot be drawn over. At the end rich shows all.
    with Live(auto_refresh=False, vertical_overflow="ellipsis") as live:
        for glance in _glances(sampler, seconds, FRAME_S):
            live.update(watch_text.table(glance), refresh=True)


def _print(sampler: Sampler, seconds: float | None) -> None:
    import msgspec

    for glance in _glances(sampler, seconds, LINE_S):
        print(msgspec.json.encode(glance).decode(), flush=True)


def _glances(sampler: Sampler, seconds: float | None, every_s: float) -> Iterator[Glance]:
    """The first after one period, so that everything was read by then."""
    from harness import clock

    start = clock.now()
    while seconds is None or clock.since(start) < seconds:
        clock.sleep(every_s if seconds is None else min(every_s, max(0.0, seconds - clock.since(start))))
        yield _glance(sampler)


def _glance(sampler: Sampler) -> Glance:
    from harness import clock
    from harness.schema.doctor import Glance, Shown
    from harness.schema.sensors import POWER_SCOPES
    from harness.units import seconds

    now = clock.now()
    latest = sorted(
        sampler.latest().values(), key=lambda s: (s.unit != "W", s.scope not in POWER_SCOPES, s.scope, s.source, s.name)
    )
    shown = (
        Shown(source=s.source, scope=s.scope, name=s.name, value=s.value, unit=s.unit, age_s=round(seconds(now - s.t_ns), 2))
        for s in latest
    )
    time = clock.utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Glance(time=time, readings=tuple(shown), absent=sampler.report().absent)
