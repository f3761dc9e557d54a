"""`harness observe`: the same small plan on several servers, again and again for days."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.order import Order
    from harness.schema.observation import Asked, Endpoint


def observe(
    file: Annotated[Path, typer.Argument(help="A YAML file of endpoints: see docs/observe.md.")],
    every: Annotated[str, typer.Option(metavar="DURATION", help="How often each is visited.")] = "15m",
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long, from the first visit.")] = "7d",
    once: Annotated[bool, typer.Option("--once", help="Only what is due now: for cron, and systemd timers.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Visit nobody; show what was seen so far.")] = False,
    root: Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")] = None,
    json: Annotated[bool, typer.Option("--json", help="With --report: print JSON for programs.")] = False,
) -> None:
    """Visit several servers for days: availability, errors, drift of latency, and cost, local beside cloud."""
    from harness import observe as observing
    from harness.cli.progress import interruptible
    from harness.store.observations import Journal

    folder = root or settings.results_root()
    journal = Journal(folder, file.stem)
    if not report:
        asked = observing.read(file)
        with journal.alone():
            observation = observing.Observation(asked, journal, folder, _order, observing.duration_s(every))
            with interruptible():
                if once:
                    observation.look(print)
                else:
                    observation.run(observing.duration_s(for_), print)
    visits = journal.visits()
    if json:
        import msgspec

        from harness.measure.observation import seen

        print(msgspec.json.encode(seen(visits)).decode())
    elif report or not once:
        from harness.report.observation import summary

        print(summary(visits, width=settings.width(), color=sys.stdout.isatty()))


def _order(endpoint: Endpoint, asked: Asked, left_usd: float | None) -> Order:
    return settings.order(
        None,
        "quick",
        None,
        pp=str(asked.pp),
        tg=str(asked.tg),
        concurrency="1",
        requests=asked.requests,
        runs=1,
        url=endpoint.url,
        model=endpoint.model,
        api_key_env=endpoint.api_key_env,
        price=",".join(map(str, endpoint.price)) if endpoint.price else None,
        max_usd=left_usd,
    )
