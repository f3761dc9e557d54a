"""The most that requests can cost is never less than what they do cost."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import bill
from harness.schema.bill import Bill, Rates
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record, Usage
from harness.schema.workload import Cell, Profile, Sampling, Workload
from harness.spending import Meter

RATES = Rates(usd_mtok_in=5.0, usd_mtok_out=25.0, source="a list")


def _job(*asks: Ask) -> Job:
    return Job(host="h", port=1, path="/v1/chat/completions", stages=(Stage(1, asks),))


def _ask(prompt: int | None, tokens: int, turn: int = 0, name: str = "max_tokens") -> Ask:
    body = msgspec.json.encode({"messages": [{"role": "user", "content": "word " * 20}], name: tokens}).decode()
    return Ask("measure", body, asked_tokens=tokens, asked_prompt_tokens=prompt, turn=turn)


def _record(usage: Usage | None, status: int | None = 200) -> Record:
    return Record(index=0, phase="measure", slot=0, t_sched_ns=0, t_send_ns=0, t_end_ns=1, status=status, usage=usage)


def test_by_hand() -> None:
    """Two requests of 1,000 tokens in and 100 out: 2,200 × $5 + 200 × $25 a million, with the prompts' margin of 10 %."""
    found = bill.of_job(_job(_ask(1000, 100), _ask(1000, 100, name="max_completion_tokens")))
    assert found == Bill(requests=2, input_tokens=2200, output_tokens=200)
    assert found.usd(RATES) == (2200 * 5 + 200 * 25) / 1e6


def test_a_prompt_of_unknown_length_has_a_token_a_byte_and_the_answers_before_it() -> None:
    ask = _ask(None, 100, turn=3)
    assert bill.of_job(_job(ask)).input_tokens == len(ask.body) + 300


def test_what_has_no_usage_may_have_cost_the_most_but_not_if_it_was_refused() -> None:
    job = _job(_ask(1000, 100))
    assert bill.of_records([_record(None)], job) == Bill(requests=1, input_tokens=1100, output_tokens=100)
    assert bill.of_records([_record(None, status=None)], job).input_tokens == 1100
    assert bill.of_records([_record(None, status=429)], job) == Bill(requests=1)
    told = Usage(prompt_tokens=7, completion_tokens=3)
    assert bill.of_records([_record(told)], job) == Bill(requests=1, input_tokens=7, output_tokens=3)


def test_without_usage_each_side_counts_as_the_longest_of_its_own() -> None:
    """A long prompt with a short answer, and the other way round: the second is the dearer though it has fewer tokens."""
    found = bill.of_records([_record(None)], _job(_ask(1000, 10), _ask(10, 500)))
    assert found == Bill(requests=1, input_tokens=1100, output_tokens=500)


def test_a_trial_that_was_begun_and_not_ended_counts_as_the_most_that_it_can_have_cost() -> None:
    meter = Meter(RATES, 1.0)
    job = _job(_ask(1000, 100))
    meter.begin(job)
    spent = meter.spent()
    assert spent is not None
    assert spent.bill == bill.of_job(job)
    meter.add([_record(Usage(prompt_tokens=7, completion_tokens=3))], job)
    spent = meter.spent()
    assert spent is not None
    assert spent.bill == Bill(requests=1, input_tokens=7, output_tokens=3)


@given(
    st.integers(1, 64),
    st.integers(32, 4096),
    st.integers(1, 512),
    st.integers(0, 8192),
    st.integers(1, 8),
    st.integers(1, 20),
    st.booleans(),
)
def test_a_plan_costs_at_least_its_trials(
    concurrency: int, pp: int, tg: int, depth: int, requests: int, runs: int, caching: bool
) -> None:
    cell = Cell(
        id="c",
        depth=depth,
        pp=pp,
        tg=tg,
        concurrency=concurrency,
        prompt_class="prose",
        prefix_caching=caching,
        requests=requests,
        warmup=2,
    )
    work = Workload(
        profile_name="p",
        profile=Profile(runs=runs, max_runs=runs),
        cells=(cell,),
        skipped=(),
        seed=0,
        sampling=Sampling(),
    )
    first = _job(*(_ask(depth + pp, tg) for _ in range(requests + 10)))
    later = _job(*(_ask(depth + pp, tg) for _ in range(requests + 2)))
    trials = bill.of_job(first).usd(RATES) + (runs - 1) * bill.of_job(later).usd(RATES)
    assert bill.of_workload(work).usd(RATES) >= trials
