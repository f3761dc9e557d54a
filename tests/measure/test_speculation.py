from __future__ import annotations

import msgspec
import pytest

from harness.measure import speculation
from harness.measure.trials import runs_of
from harness.schema.request import Record, ServerTimings
from tests.measure.streams import cell, even, speculative, trial


def test_acceptance_over_the_cell() -> None:
    """1 + 190/100, not the mean of the trials' 3 and 1.5."""
    one = {"spec_accepted_tokens": 180.0, "spec_drafts": 80.0}
    two = {"spec_accepted_tokens": 10.0, "spec_drafts": 20.0}
    runs = runs_of(cell(), [trial(0, counters=one), trial(1, counters=two)], {})
    found = speculation.acceptance_length(runs)
    assert found.value == pytest.approx(2.9)
    assert found.low is not None
    assert speculation.run_acceptance_length(runs[1]) == pytest.approx(1.5)


@pytest.mark.parametrize("counters", [{}, {"spec_drafts": 5.0}, {"spec_accepted_tokens": 0.0, "spec_drafts": 0.0}])
def test_no_drafts(counters: dict[str, float]) -> None:
    found = speculation.acceptance_length(runs_of(cell(), [trial(counters=counters)], {}))
    assert found.value is None
    assert found.reason == "the engine counted no drafts"


def test_where_drafts_are_not_counted_the_engines_gauge_stands_in_and_says_so() -> None:
    low, high = (msgspec.structs.replace(trial(), counters_after={"spec_accept_length_gauge": value}) for value in (2.0, 3.0))
    found = speculation.acceptance_length(runs_of(cell(), [low, high], {}))
    assert (found.value, found.low, found.reason) == (2.5, None, speculation.GAUGE)


def test_tokens_per_event() -> None:
    runs = runs_of(cell(), [trial()], {0: [speculative(0), even(500, index=1)]})
    assert speculation.tokens_per_event(runs).value == pytest.approx(16 / 11)


def with_timings(record: Record, drafted: int | None, accepted: int | None) -> Record:
    timings = ServerTimings(
        prefill_tokens=512, prefill_ms=100, decode_tokens=8, decode_ms=100, draft_tokens=drafted, accepted_tokens=accepted
    )
    return msgspec.structs.replace(record, timings=timings)


def test_acceptance_by_timings() -> None:
    """7 tokens after the first, 4 of them accepted drafts: 3 steps."""
    runs = runs_of(cell(), [trial()], {0: [with_timings(speculative(), 6, 4)]})
    assert speculation.acceptance_length_timings(runs).value == pytest.approx(7 / 3)


@pytest.mark.parametrize("drafted", [None, 0])
def test_no_drafts_in_timings(drafted: int | None) -> None:
    runs = runs_of(cell(), [trial()], {0: [with_timings(speculative(), drafted, None)]})
    assert speculation.acceptance_length_timings(runs).value is None


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["vllm", "serve", "--speculative-config", '{"method": "mtp", "rejection_sample_method": "synthetic"}'], {}),
        (["vllm", "serve", "--speculative-config.rejection-sample-method", "synthetic"], {}),
        (["docker", "run", "img", "bash", "-c", r"vllm serve m --speculative-config {\"rejection_sample_method\":\"synthetic\"}"], {}),
        (["vllm", "serve", "--speculative-config", '{"synthetic_acceptance_length": 3.2}'], {}),
        (["python3", "-m", "sglang.launch_server"], {"SGLANG_SIMULATE_ACC_LEN": "3"}),
        (["docker", "run", "-e", "SGLANG_SIMULATE_ACC_LEN=2.5", "img"], {}),
        (["bash", "-c", "export SIMULATE_ACC_LEN=4; sglang serve"], {}),
    ],
)  # fmt: skip
def test_faked_acceptance_is_found(argv: list[str], env: dict[str, str]) -> None:
    found = speculation.synthetic_acceptance(argv, env)
    assert found is not None
    assert (found.code, found.severity) == ("synthetic_acceptance", "invalid")


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["vllm", "serve", "--speculative-config", '{"method": "ngram", "rejection_sample_method": "standard"}'], {}),
        (["python3", "-m", "sglang.launch_server", "--speculative-algorithm", "EAGLE"], {"SGLANG_SIMULATE_ACC_LEN": "-1"}),
        (["vllm", "serve", "synthetic-model"], {"SGLANG_SIMULATE_ACC_METHOD": "match-expected"}),
        ([], {}),
    ],
)
def test_honest_commands_pass(argv: list[str], env: dict[str, str]) -> None:
    assert speculation.synthetic_acceptance(argv, env) is None
