"""Each finding: one run that has it, and one that just has not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from harness.measure import checks, crosscheck
from harness.measure.trials import runs_of
from harness.schema.request import CONTENT, Record, ServerTimings, Usage
from harness.schema.result import Finding
from harness.schema.run import ClientReport, Trial
from harness.schema.workload import Cell
from tests.measure.streams import CLIENT, MS, NO_HITS, back_to_back, cell, client, even, failed, keyed, stream, trial


def found(
    runs: Sequence[Sequence[Record]],
    *,
    of: Cell | None = None,
    trials: Sequence[Trial] | None = None,
    report: ClientReport = CLIENT,
    counters: dict[str, float] | None = None,
) -> dict[str, Finding]:
    the_cell = of or cell()
    done = trials or [trial(index, report=report, counters=counters) for index in range(len(runs))]
    worked = runs_of(the_cell, done, keyed(runs))
    listed = [*checks.findings(the_cell, worked), *crosscheck.findings(the_cell, worked)]
    assert len({finding.code for finding in listed}) == len(listed)
    return {finding.code: finding for finding in listed}


def severity(findings: dict[str, Finding], code: str) -> str | None:
    return findings[code].severity if code in findings else None


CLEAN = [back_to_back(5)] * 3


def test_a_clean_cell_has_no_findings() -> None:
    assert found(CLEAN) == {}


def test_verdict_is_the_worst() -> None:
    listed = [Finding(code="a", severity=name, text="") for name in ("note", "warning", "unsteady", "invalid")]
    assert [checks.verdict(listed[:n]) for n in range(5)] == ["valid", "valid", "valid", "unsteady", "invalid"]


def test_failed_requests_are_named() -> None:
    result = found([[*back_to_back(5), failed(900, 10, index=7)]])
    assert severity(result, "timeout") == "invalid"
    assert "1 of 6" in result["timeout"].text
    assert "it broke off" in result["timeout"].text
    assert "request 7" in result["timeout"].text


def test_error_rate_limit_is_half_a_percent() -> None:
    many = back_to_back(199)
    assert severity(found([[*many, failed(90_000, 10, index=200)]]), "timeout") == "warning"
    assert severity(found([[*many[:-1], failed(90_000, 10, index=200)]]), "timeout") == "invalid"


def test_wrong_length_is_named_like_an_error() -> None:
    short = even(900, tg=7, asked=8, index=9)
    result = found([[*back_to_back(5), short]])
    assert severity(result, "wrong_length") == "invalid"
    assert "no_valid_requests" not in result


def test_nothing_valid() -> None:
    assert severity(found([[failed(0, 10)]]), "no_valid_requests") == "invalid"
    assert severity(found([[]]), "no_valid_requests") == "invalid"


def test_failed_warm_up_is_told() -> None:
    result = found([[failed(0, 10, phase="warmup"), *back_to_back(5, start=20)]])
    assert severity(result, "preparation_failed") == "warning"
    assert "timeout" not in result


@pytest.mark.parametrize(
    ("lag_ms", "ttft", "at_rate", "expected"),
    [
        (0.99, 20.0, False, None),
        (1.01, 20.0, False, "invalid"),
        (2.6, 200.0, False, None),  # a request takes 270 ms
        (2.8, 200.0, False, "invalid"),
        (0.99, 50.0, True, None),
        (1.01, 50.0, True, "invalid"),
        (1.9, 200.0, True, None),
        (2.1, 200.0, True, "invalid"),
    ],
)
def test_send_lag_limit(lag_ms: float, ttft: float, at_rate: bool, expected: str | None) -> None:
    """1 ms, or 1 % where that is more: median lag of the median request, in open loop p99 of the median TTFT."""
    runs = [back_to_back(5, ttft=ttft)] * 3
    of = msgspec.structs.replace(cell(), concurrency=None, rate=5.0, arrivals="constant") if at_rate else cell()
    assert (
        severity(
            found(runs, of=of, report=client(**{f"send_lag_{'p99' if at_rate else 'p50'}_ns": round(lag_ms * MS)})),
            "client_lag",
        )
        == expected
    )


def test_one_late_trial_is_enough() -> None:
    trials = [trial(0), trial(1, report=client(send_lag_p50_ns=5 * MS)), trial(2)]
    assert "trial 1" in found(CLEAN, trials=trials)["client_lag"].text


def test_connection_cap() -> None:
    four = [[even(k * 170 + slot, index=4 * k + slot) for k in range(6) for slot in range(4)]]
    assert severity(found(four, of=cell(4)), "connection_cap") is None
    assert severity(found(four, of=cell(5)), "connection_cap") == "invalid"
    few = [[even(0, index=0), even(0, index=1)]]  # two requests cannot be four in flight
    assert severity(found(few, of=cell(4)), "connection_cap") is None


def test_clock_step_matters_for_kernel_stamps() -> None:
    for step in (2 * MS, -2 * MS):
        assert severity(found(CLEAN, report=client(clock_step_ns=step)), "clock_step") == "invalid"
    assert severity(found(CLEAN, report=client(clock_step_ns=2 * MS, stamps="user")), "clock_step") is None
    assert severity(found(CLEAN, report=client(clock_step_ns=MS // 2)), "clock_step") is None


def cached(tokens: int | None, prompt: int = 512) -> list[list[Record]]:
    usage = Usage(prompt_tokens=prompt, completion_tokens=8, cached_tokens=tokens)
    return [[msgspec.structs.replace(record, usage=usage, asked_prompt_tokens=prompt) for record in run] for run in CLEAN]


def test_cache_hits_by_usage() -> None:
    assert severity(found(cached(6)), "cache_hits") == "invalid"
    assert severity(found(cached(5)), "cache_hits") is None


def test_cache_hits_by_counters() -> None:
    hits = {"cached_tokens": 100.0, "cache_queries_tokens": 4096.0}
    assert severity(found(cached(None), counters=hits), "cache_hits") == "invalid"
    without_queries = {"cached_tokens": 50.0, "prompt_tokens": 4096.0}
    assert severity(found(CLEAN, counters=without_queries), "cache_hits") == "invalid"
    assert severity(found(cached(None), counters=NO_HITS), "cache_unverified") is None


def test_cache_unverified() -> None:
    assert severity(found(cached(None), counters={}), "cache_unverified") == "warning"
    assert severity(found(cached(0), counters={}), "cache_unverified") is None


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (4096, {}),
        (4120, {}),
        (3900, {}),
        (3800, {"prefix_lost": "warning"}),
        (2000, {"prefix_lost": "invalid"}),
        (4300, {"cache_hits": "invalid"}),
        (None, {"cache_unverified": "warning"}),
    ],
)
def test_prefix_cells_expect_their_context(tokens: int | None, expected: dict[str, str]) -> None:
    deep = cell(depth=4096, prefix_caching=True)
    result = found(cached(tokens, prompt=4608), of=deep)
    assert {code: finding.severity for code, finding in result.items()} == expected


def test_counters_agree_to_the_token() -> None:
    right = {**NO_HITS, "generation_tokens": 40.0, "requests_finished": 5.0, "ttft_sum_s": 0.5, "ttft_count": 5.0}
    assert found(CLEAN, counters=right) == {}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("generation_tokens", 41.0, "warning"),
        ("generation_tokens", 39.0, "warning"),
        ("generation_tokens", 0.0, "note"),  # brought up to date late
        ("requests_finished", 6.0, "warning"),
        ("requests_finished", 4.0, "warning"),
    ],
)
def test_counters_that_disagree(name: str, value: float, expected: str) -> None:
    assert severity(found(CLEAN, counters={**NO_HITS, name: value}), f"counter_{name}") == expected


def test_counters_include_the_warm_up() -> None:
    warm = [[even(0, phase="warmup", index=9), *back_to_back(5, start=170)]] * 3
    counters = {**NO_HITS, "generation_tokens": 48.0, "requests_finished": 6.0}
    assert found(warm, counters=counters) == {}


def test_failed_requests_may_or_may_not_be_counted() -> None:
    runs = [[*back_to_back(5), failed(900, 10, index=5)]]
    for tokens, requests in ((40.0, 5.0), (44.0, 5.0), (48.0, 6.0)):
        result = found(runs, counters={**NO_HITS, "generation_tokens": tokens, "requests_finished": requests})
        assert not [code for code in result if code.startswith("counter")]


@pytest.mark.parametrize(("engine_s", "expected"), [(0.5, None), (0.4905, None), (0.489, "warning"), (0.511, "warning")])
def test_ttft_of_the_counters(engine_s: float, expected: str | None) -> None:
    """Ours is 100 ms."""
    counters = {**NO_HITS, "ttft_sum_s": engine_s, "ttft_count": 5.0}
    assert severity(found(CLEAN, counters=counters), "counter_ttft") == expected


def test_short_ttft_has_a_millisecond_of_grace() -> None:
    runs = [back_to_back(5, ttft=10)] * 3
    assert found(runs, counters={**NO_HITS, "ttft_sum_s": 0.0455, "ttft_count": 5.0}) == {}
    assert "counter_ttft" in found(runs, counters={**NO_HITS, "ttft_sum_s": 0.0445, "ttft_count": 5.0})


def timed(decode_ms: float, tokens: int = 8) -> list[list[Record]]:
    timings = ServerTimings(prefill_tokens=512, prefill_ms=90.0, decode_tokens=tokens, decode_ms=decode_ms)
    return [[msgspec.structs.replace(record, timings=timings) for record in run] for run in CLEAN]


@pytest.mark.parametrize(("decode_ms", "expected"), [(70.0, None), (71.3, None), (71.6, "warning"), (68.5, "warning")])
def test_engine_timings(decode_ms: float, expected: str | None) -> None:
    """Ours are 7 tokens in 70 ms."""
    assert severity(found(timed(decode_ms)), "engine_timings") == expected


def test_engine_timings_name_another_length() -> None:
    assert severity(found(timed(80.0, tokens=9)), "engine_timings_tokens") == "warning"


def test_retokenized() -> None:
    def counted(again: int) -> list[list[Record]]:
        sample = msgspec.structs.replace(even(0, tg=100), retokenized=again)
        return [[sample]]

    hundred = cell(tg=100)
    assert severity(found(counted(103), of=hundred), "retokenized") == "warning"
    assert severity(found(counted(97), of=hundred), "retokenized") == "warning"
    assert severity(found(counted(102), of=hundred), "retokenized") is None


def test_event_counts_that_do_not_add_up() -> None:
    odd = [[stream((100, CONTENT, 1), (200, CONTENT, 6), send=k * 300, index=k) for k in range(5)]] * 3
    assert severity(found(odd), "event_counts") == "warning"


def test_uncounted_events_are_said() -> None:
    bare = [[stream((100, CONTENT, None), (200, CONTENT, None), send=k * 300, index=k) for k in range(5)]] * 3
    result = found(bare)
    assert severity(result, "steady_by_requests") == "note"
    assert "event_counts" not in result


def test_few_reads() -> None:
    def read(times: int) -> list[list[Record]]:
        return [[msgspec.structs.replace(record, reads=times) for record in run] for run in CLEAN]

    assert severity(found(read(4)), "merged_stamps") == "warning"  # for nine events
    assert severity(found(read(5)), "merged_stamps") is None


def changing(steps: Sequence[float], start: float = 0.0) -> list[Record]:
    records, send = [], start
    for index, step in enumerate(steps):
        records.append(even(send, step=step, index=index))
        send += 100 + 7 * step
    return records


def test_too_few_requests_to_test_steadiness() -> None:
    assert severity(found([back_to_back(4)] * 3), "steadiness_untested") == "note"
    assert severity(found([back_to_back(5)] * 2), "steadiness_untested") == "note"


@pytest.mark.parametrize(
    ("took", "told"),
    [
        ((900, 600, 400, 300, 250), "unsteady"),
        ((900, 600, 400, 300, 295), None),  # flat at last
        ((900, 600, 610, 300, 250), None),  # flat for one round
        ((900, 600, 400, 300), None),  # the limit was not reached
    ],
)
def test_a_server_that_never_got_warm(took: tuple[float, ...], told: str | None) -> None:
    warm = [even(-5000 + 1000 * k, ttft=time - 70, phase="warmup", index=20 + k) for k, time in enumerate(took)]
    assert severity(found([[*warm, *back_to_back(5)], *CLEAN[1:]]), "never_warm") == told
    assert "never_warm" not in found([CLEAN[0], [*warm, *back_to_back(5)], CLEAN[2]]), "only the first run warms up so long"


def test_slower_and_slower_within_the_runs() -> None:
    slowing = [changing([10 + k * (0.4 + 0.02 * run) for k in range(20)]) for run in range(5)]
    assert severity(found(slowing), "never_flat") == "unsteady"


def test_longer_turns_and_shapes_are_no_drift() -> None:
    def turns(grow: float) -> list[list[Record]]:
        runs = [changing([10 + (k % 10) * grow + 0.01 * run for k in range(20)]) for run in range(5)]
        return [[msgspec.structs.replace(r, turn=r.index % 10) for r in run] for run in runs]

    assert not {"never_flat", "warm_up_short"} & found(turns(0.5), of=msgspec.structs.replace(cell(), turns=10)).keys()
    shapes = [changing([10 + (k >= 10) * 5 + 0.01 * run for k in range(20)]) for run in range(5)]
    told = [[msgspec.structs.replace(r, asked_prompt_tokens=512 + (r.index >= 10)) for r in run] for run in shapes]
    assert not {"never_flat", "warm_up_short"} & found(told).keys()
    assert {"never_flat", "warm_up_short"} & found(shapes).keys()


def test_records_may_come_in_any_order() -> None:
    slowing = [changing([10 + k * 0.4 for k in range(20)]) for _ in range(5)]
    assert found([run[10:] + run[:10] for run in slowing]) == found(slowing)
    assert "never_flat" in found(slowing)


def test_warm_up_too_short() -> None:
    late = [changing([30.0 - 0.1 * run] * 5 + [10.0] * 35) for run in range(5)]
    result = found(late)
    assert severity(result, "warm_up_short") == "warning"
    assert "never_flat" not in result


def test_drift_from_run_to_run() -> None:
    assert severity(found([changing([10 + run] * 5) for run in range(5)]), "drifting") == "unsteady"
    assert severity(found([changing([10 + 0.01 * run] * 5) for run in range(5)]), "drifting") is None  # real, but 0.2 %


def test_noise_is_not_drift() -> None:
    rng = np.random.default_rng(5)
    flagged = 0
    for _ in range(60):
        runs = [changing(list(rng.normal(10, 1, 8) + rng.normal(0, 0.3))) for _ in range(5)]
        flagged += bool({"never_flat", "warm_up_short", "drifting"} & found(runs).keys())
    assert flagged <= 4  # two tests at 1 % each: 1.2 expected


def test_more_drafts_accepted_than_the_engine_can_have() -> None:
    """Five answers of eight tokens and drafts of three: 40 generated, at most three too many in each."""
    counters = {**NO_HITS, "generation_tokens": 40.0, "requests_finished": 5.0, "spec_drafts": 20.0, "spec_draft_tokens": 60.0}
    for accepted, expected in ((55.0, None), (57.0, "invalid")):
        result = found([back_to_back(5)], counters={**counters, "spec_accepted_tokens": accepted})
        assert severity(result, "impossible_acceptance") == expected
    without = {name: count for name, count in counters.items() if name != "spec_draft_tokens"}
    assert (
        severity(found([back_to_back(5)], counters={**without, "spec_accepted_tokens": 39.0}), "impossible_acceptance") is None
    )
