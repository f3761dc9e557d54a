"""What a result's cell says of a system: its speed and whose prefill is in it, the prefill of one stream, watts of one scope."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from harness.measure import cost_inputs
from harness.measure.cost_local import local_cost
from harness.measure.entries import number
from harness.schema.cost import Local
from harness.schema.result import CellResult, Figure, Finding, Summary
from harness.store import index
from tests.measure.spark import demand, of
from tests.measure.streams import cell
from tests.store import sample_run


def figures(values: Mapping[str, float | None]) -> dict[str, Figure]:
    """Each ± 1, or not measured where it is None."""
    return {
        name: Figure(value=None, unit="", reason=f"no {name}")
        if value is None
        else Figure(value=value, unit="", low=value - 1, high=value + 1, n=3, basis="runs")
        for name, value in values.items()
    }


def measured(concurrency: int, verdict: str = "valid", *, pp: int = 2048, **values: float | None) -> CellResult:
    return CellResult(
        cell=cell(concurrency, pp=pp, tg=128),
        verdict=verdict,
        findings=(Finding(code="x", severity="unsteady", text="it drifted"),) if verdict == "unsteady" else (),
        trials=3,
        stopped_by="runs",
        sent=3,
        valid=3,
        excluded={},
        figures=figures(values),
    )


def summed(*cells: CellResult) -> Summary:
    """As the index keeps them."""
    return index.summary(msgspec.structs.replace(sample_run.result(), cells=cells), Path())


def system(cell: CellResult, *others: CellResult) -> Local:
    found = summed(*others, cell)
    return cost_inputs.of_cell(found, found.points[-1], electricity_per_kwh=of(0.3, "USD/kWh"), machine_price=of(4699, "USD"))


ONE = measured(1, output_tok_s=40, decode_tok_s=60, prefill_tok_s=2000, wall_w=100, wall_idle_w=25, prompt_tokens=2050)
EIGHT = measured(
    8,
    output_tok_s=160,
    prefill_tok_s=700,
    gpu_w=60,
    gpu_idle_w=5,
    system_w=110,
    system_idle_w=30,
    prompt_tokens=2048,
    completion_tokens=128,
    cached_share=0,
)


def test_the_busiest_cell_that_counts() -> None:
    found = summed(ONE, EIGHT, measured(16, "invalid", output_tok_s=900))
    assert cost_inputs.busiest(found) is found.points[1]
    assert cost_inputs.busiest(summed(measured(4, output_tok_s=None, output_tok_s_full=None))) is None
    assert cost_inputs.busiest(summed()) is None


def test_an_aggregate_with_its_own_prefill() -> None:
    found = system(EIGHT, ONE)
    assert (found.output_tok_s.value, found.output_tok_s.low, found.output_tok_s.high) == (160, 159, 161)
    assert (found.concurrency, found.input_tokens_per_output_token) == (8, 16)
    assert found.output_tok_s.origin == "measured"
    assert found.output_tok_s.result == "abc123"
    assert found.output_tok_s.how == "output_tok_s of pp2048 tg128 c8"
    assert found.output_tok_s.date == datetime.date(2026, 11, 23)
    assert found.notes == ()


def test_prefill_is_of_one_stream() -> None:
    """Of eight it has their waiting in it."""
    assert number(system(EIGHT, ONE).prefill_tok_s) == 2000
    assert system(EIGHT).prefill_tok_s.why == "no cell of one stream measured the prefill"
    short = measured(1, pp=128, prefill_tok_s=1500)
    assert number(system(EIGHT, short, ONE).prefill_tok_s) == 2000
    assert number(system(EIGHT, short, measured(1, "invalid", prefill_tok_s=9)).prefill_tok_s) == 1500


def test_watts_are_of_the_widest_scope_alone() -> None:
    found = system(EIGHT, ONE)
    assert (found.power_scope, found.active_w.value, found.idle_w.value) == ("system", 110, 30)
    assert system(ONE).power_scope == "wall"
    gpu = system(measured(4, output_tok_s=90, gpu_w=60, gpu_idle_w=5, system_w=None, system_idle_w=30))
    assert (gpu.power_scope, gpu.active_w.value, gpu.idle_w.value) == ("gpu", 60, 5)
    assert gpu.notes == ("the watts are of the GPU alone: the machine draws more",)
    mixed = system(measured(4, output_tok_s=90, gpu_w=60, gpu_idle_w=None, system_idle_w=30))
    assert mixed.idle_w.why == "no gpu_idle_w"
    none = system(measured(4, output_tok_s=90))
    assert local_cost(demand(), none, "USD").electricity.per_day.value is None


def test_one_stream_is_said() -> None:
    assert system(ONE).notes == ("the speed is one stream's: several at once give more tokens an hour",)
    decode = system(measured(1, output_tok_s=None, decode_tok_s=60, prefill_tok_s=2000, system_w=100))
    assert (decode.output_tok_s.value, decode.input_tokens_per_output_token) == (60, 0)
    assert decode.notes[0].startswith("the speed is one stream's decode, since the cell has no throughput")
    several = system(measured(4, output_tok_s=None, decode_tok_s=60, system_w=100))
    assert several.output_tok_s.why == "no output_tok_s"  # never a single stream's for several
    full = system(measured(4, output_tok_s=None, output_tok_s_full=88, system_w=100))
    assert number(full.output_tok_s) == 88


def test_unsteady_is_said() -> None:
    assert system(measured(4, "unsteady", output_tok_s=90, wall_w=100)).notes == ("the cell is unsteady: it drifted",)


@pytest.mark.parametrize(("values", "lengths"), [
    ({"prompt_tokens": 2100.0, "completion_tokens": 90.0, "cached_share": 0.5}, (2100, 90, 0.5)),
    ({"prompt_tokens": None, "completion_tokens": None, "cached_share": None, "cached_share_counters": 0.25}, (2048, 128, 0.25)),
    ({}, (2048, 128, 0)),
])  # fmt: skip
def test_mean_lengths(values: dict[str, float | None], lengths: tuple[float, float, float]) -> None:
    (cell,) = summed(msgspec.structs.replace(EIGHT, figures=figures(values))).points
    assert cost_inputs.mean_lengths(cell) == lengths


def test_cached_input_is_not_in_the_speed() -> None:
    found = system(measured(4, output_tok_s=90, prompt_tokens=2048, completion_tokens=128, cached_share=0.75))
    assert found.input_tokens_per_output_token == 4
