"""How an entry of the board is read: its digits, and the mark that says where it is from."""

from __future__ import annotations

import pytest

from harness.report import board
from harness.schema.board import Entry


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (Entry(value=13.062089, low=13.062088, high=13.06209, origin="computed"), "13.1"),
        (Entry(value=13.062089, low=12.9, high=13.2, origin="computed"), "13.06"),
        (Entry(value=0.128, low=0.072, high=0.582, origin="computed"), "0.1"),
        (Entry(value=104.2871, low=104.28, high=104.29, origin="measured"), "104.287"),
    ],
)
def test_a_sum_has_no_more_digits_than_its_prices(entry: Entry, shown: str) -> None:
    assert board.value(entry) == shown


def test_what_was_computed_of_nothing_measured_is_marked_as_published() -> None:
    assert board.mark(Entry(value=1.0, origin="computed")) == "*"
    assert board.mark(Entry(value=1.0, origin="computed", result="aaaaaa")) == ""
