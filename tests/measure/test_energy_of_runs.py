"""Joules beside the tokens of the same windows, from records and readings to the figures."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure import power
from harness.measure.power_series import first_read
from harness.measure.runs import Run
from harness.measure.trials import run_of, runs_of
from harness.schema.request import CONTENT, Record
from harness.schema.run import Trial
from harness.schema.sensors import EDGE_NS, Idle, Sample
from tests.measure.power_curves import ORIGIN_NS, Sensor, constant
from tests.measure.streams import MS, NO_HITS, PP, TG, cell, even, stream, trial

ORIGIN_MS = ORIGIN_NS / MS
WATTS = 50.0
SENSOR = Sensor(constant(WATTS))
EACH_MS, TTFT_MS = 2000.0, 1300.0
"""Of a request; long beside the sensor's updates."""


def request(number: int) -> Record:
    return even(ORIGIN_MS + number * EACH_MS, ttft=TTFT_MS, step=(EACH_MS - TTFT_MS) / (TG - 1), index=number)


def at_once(number: int) -> Record:
    """All tokens in one event, which the server counts to be fewer."""
    return stream((EACH_MS - 1, CONTENT, TG - 3), send=ORIGIN_MS + number * EACH_MS, end=EACH_MS, index=number)


def spanning(count: int, index: int = 0, start: int = 0) -> Trial:
    first = round((ORIGIN_MS + start * EACH_MS) * MS)
    return msgspec.structs.replace(
        trial(index, counters=NO_HITS), t_start_ns=first, t_end_ns=first + round(count * EACH_MS * MS)
    )


def figures(*runs: Run) -> dict[str, float | None]:
    return {name: found.value for name, found in power.estimates(runs, {"gpu": 10.0}).items()}


def test_one_stream_at_constant_power() -> None:
    run = run_of(cell(1), spanning(8), [request(k) for k in range(8)], SENSOR.power())
    found = figures(run)
    assert found["gpu_w"] == pytest.approx(WATTS, rel=0.01)
    assert found["gpu_j_tok"] == pytest.approx(WATTS * EACH_MS / 1e3 / TG, rel=0.01)
    assert found["gpu_net_j_tok"] == pytest.approx((WATTS - 10) * EACH_MS / 1e3 / TG, rel=0.01)
    assert found["gpu_j_request"] == pytest.approx(WATTS * EACH_MS / 1e3, rel=0.01)
    assert found["gpu_wh_mtok"] == pytest.approx(WATTS * EACH_MS / TG * 1e3 / 3600, rel=0.01)
    assert found["gpu_prefill_j_tok"] == pytest.approx(WATTS * TTFT_MS / 1e3 / PP, rel=0.02)
    assert run.split["gpu"].decode.code == "window_short", "0.7 s are fewer than ten updates"


def test_an_answer_that_came_at_once_is_in_neither_sum_of_the_phases() -> None:
    """Its joules are not in them, so its prompt must not be either."""
    records = [at_once(k) if k % 2 else request(k) for k in range(12)]
    run = run_of(cell(1), spanning(12), records, SENSOR.power())
    assert len(run.valid) == 12
    assert figures(run)["gpu_prefill_j_tok"] == pytest.approx(WATTS * TTFT_MS / 1e3 / PP, rel=0.02)
    assert run.decode_tokens == 6 * (TG - 1)
    assert figures(run)["gpu_j_tok"] == pytest.approx(WATTS * EACH_MS / 1e3 / TG, rel=0.01)


def with_power(**changes: object) -> Run:
    run = run_of(cell(1), spanning(8), [request(k) for k in range(8)], SENSOR.power())
    return msgspec.structs.replace(run, power={"gpu": msgspec.structs.replace(run.power["gpu"], **changes)})


def test_one_run_does_not_hide_what_is_said_of_another() -> None:
    told = power.findings([with_power(passed_over="counter_fell"), with_power(passed_over="disagreement", disagreement=-0.4)])
    assert "40%" in next(found.text for found in told if found.code == "energy_counter_disagrees")
    flat, short = with_power(boundary_error=None, update_s=None), with_power(boundary_error=0.08)
    assert "8%" in next(found.text for found in power.findings([flat, short]) if found.code == "short_power_window")
    assert power.findings([flat, flat]) == []


def test_a_meter_that_is_lost_between_two_trials() -> None:
    """Two meters, one of which says nothing from the second trial on: half of the watts would be no total."""
    trials = [spanning(8), spanning(8, 1, start=12)]
    records = {0: [request(k) for k in range(8)], 1: [request(k + 12) for k in range(8)]}
    silent_ns = trials[0].t_end_ns + EDGE_NS
    one, two = SENSOR.power(), SENSOR._replace(part="gpu1").power()
    samples = sorted([*one, *(s for s in two if s.t_ns < silent_ns)], key=lambda sample: sample.t_ns)
    first, second = runs_of(cell(1), trials, records, samples)
    assert first.power["gpu"].mean_w == pytest.approx(2 * WATTS, rel=0.01)
    assert (second.power["gpu"].mean_w, second.power["gpu"].code) == (None, "not_measured")

    late = [sample for sample in samples if sample.t_ns > trials[1].t_start_ns - EDGE_NS]
    assert {sample.name for sample in late} == {"gpu0.power"}
    again = run_of(cell(1), trials[1], records[1], late, first_read(samples))
    assert again == second, "while it runs, only the newest samples are at hand"


def test_a_meter_that_comes_later_is_not_missed_before() -> None:
    one, two = SENSOR.power(), SENSOR._replace(part="gpu1").power()
    begin = spanning(8).t_end_ns + EDGE_NS
    samples: list[Sample] = sorted([*one, *(s for s in two if s.t_ns > begin)], key=lambda sample: sample.t_ns)
    (found,) = runs_of(cell(1), [spanning(8)], {0: [request(k) for k in range(8)]}, samples)
    assert found.power["gpu"].mean_w == pytest.approx(WATTS, rel=0.01)


def test_the_idle_machine_without_one_of_two_meters() -> None:
    one, two = SENSOR.power(), SENSOR._replace(part="gpu1").power()
    idle = Idle(when="after", t_start_ns=ORIGIN_NS + 40 * 10**9, t_end_ns=ORIGIN_NS + 50 * 10**9)
    whole = sorted(one + two, key=lambda sample: sample.t_ns)
    assert power.idle_w(idle, whole) == {"gpu": pytest.approx(2 * WATTS, rel=0.01)}
    lost = [s for s in whole if s.name == "gpu0.power" or s.t_ns < ORIGIN_NS + 20 * 10**9]
    assert power.idle_w(idle, lost) == {}
