"""Runs come out of their columns as they went in, and take far less memory there."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.packed import Packed
from harness.measure.runs import Run
from harness.measure.trials import runs_of
from harness.schema.request import Record
from tests.measure.streams import back_to_back, cell, even, failed, speculative, trial


def run(records: list[Record]) -> Run:
    (made,) = runs_of(cell(), [trial()], {0: records})
    return made


@given(
    st.lists(
        st.sampled_from([even(0), speculative(5.0), failed(9.0, 3.0), even(20.0, index=4), failed(9.5, 1.0, error="reset")])
    )
)
def test_what_goes_in_comes_out(records: list[Record]) -> None:
    made = run(records)
    assert Packed(made).unpack() == made


def test_numbers_keep_their_kind() -> None:
    """1, 1.0 and True are equal, and not the same."""
    records = [msgspec.structs.replace(even(0), index=index, status=status) for index, status in enumerate((200, None, 200))]
    made = run(records)
    again = Packed(made).unpack()
    assert [(type(r.record.status), type(r.timing.decode_tok_s)) for r in again.requests] == [
        (type(r.record.status), type(r.timing.decode_tok_s)) for r in made.requests
    ]


def test_memory() -> None:
    def held(make: Callable[[], object]) -> int:
        gc.collect()
        tracemalloc.start()
        kept = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del kept
        return size

    records = [msgspec.json.decode(msgspec.json.encode(record), type=Record) for record in back_to_back(500)]
    plain = held(lambda: run(records))
    assert held(lambda: Packed(run(records))) < plain / 5
