"""What a run on a server that charges may cost: shown, and asked, before anything is sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.order import Order

Price = Annotated[
    str | None,
    typer.Option(
        metavar="IN,OUT", help="With --url: dollars per million tokens.  [default: the list price, where it is known]"
    ),
]
MaxUsd = Annotated[
    float | None,
    typer.Option("--max-usd", min=0.0, help="With --url: agree to this sum; no trial begins that could pass it."),
]


def agreed(order: Order) -> Order:
    """The order with the sum that a person at a terminal agreed to. Elsewhere as it is: then a run without --max-usd is refused."""
    import msgspec

    from harness import spending
    from harness.measure import bill

    if order.rates is None or order.cap_usd is not None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return order
    worst = bill.of_workload(order.plan().workload)
    if (usd := worst.usd(order.rates)) == 0:
        return order
    print(f"This run may cost up to {spending.dollars(usd)}: {spending.said(worst, order.rates)}.", file=sys.stderr)
    typer.confirm("Send it?", abort=True, err=True)
    return msgspec.structs.replace(order, cap_usd=usd)
