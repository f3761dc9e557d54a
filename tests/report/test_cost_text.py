"""What people read of costs: golden texts, with intervals, a figure that is unknown, never, and what does not fit."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure import cost
from harness.report import cost as report
from harness.schema.cost import Comparison
from tests.measure.spark import demand, local, of, price
from tests.report.test_report import matches


def comparison() -> Comparison:
    """A measured system with intervals, three offers: dearer, cheaper than its electricity, and without a price."""
    here = local(
        tok_s=of(160, "tok/s", 157, 163),
        prefill=of(2000, "tok/s", 1980, 2020),
        active_w=of(110, "W", 108, 112),
        idle_w=30.0,
        input_per_output=4.0,
    )
    prices = [
        price(25, 5, 0.5, provider="anthropic", ref="opus"),
        price(0.01, 0.01, 0.01, provider="cheap", ref="[small]"),
        price(None, provider="dear", ref="unknown"),
    ]
    found = cost.compare(
        demand(500, 2000, input_tokens=4000, cached=0.5), here, prices, "USD", win_rate=of(0.383, "share", 0.37, 0.396)
    )
    return msgspec.structs.replace(found, notes=("watts of a meter",))


@pytest.mark.parametrize("width", [80, 160])
def test_text(width: int) -> None:
    shown = report.render(comparison(), width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    matches(f"cost-{width}.txt", shown)


def test_markdown() -> None:
    matches("cost.md", report.markdown(comparison()))


def test_nothing_is_lost_where_it_does_not_fit() -> None:
    found = cost.compare(demand(requests=20_000), local(), [price(25)], "USD")
    shown = report.render(found, width=100, color=False)
    assert "3 copies would do" in shown
    why = "at work, + idle, + hardware, break-even, p: m, break-even without idle hours, p: m: it does not fit"
    assert why in shown.replace("\n    ", " ")
