"""The most that requests can cost is never less than what they do cost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.load import prompts, stages
from harness.load.prompts import Message, Reply, Source
from harness.load.tokens import Ruler
from harness.measure import bill
from harness.schema.bill import Bill, Rates
from harness.schema.job import Ask, Job, Stage
from harness.schema.request import Record, Usage
from harness.schema.workload import Cell, Profile, Sampling, Shape, TraceRow, Workload
from harness.spending import Meter, require

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


def test_a_later_turn_has_as_many_tokens_to_a_byte_as_the_first() -> None:
    """The same text as that of 1,000 tokens, with their margin, and two answers of 100 in it."""
    assert bill.of_job(_job(_ask(1000, 100), _ask(None, 100, turn=2))).input_tokens == 1100 + 1100 + 200


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


RULER = Ruler(count=lambda text: len(text.split()), exact=True, overheads={1: 4, 2: 8})
PLAIN = Cell(
    id="x", depth=0, pp=100, tg=8, concurrency=2, prompt_class="prose", prefix_caching=False, requests=6, warmup=2
)  # fmt: skip
TRACE = tuple(TraceRow(offset_s=float(n), prompt_tokens=50 + 100 * n, output_tokens=20 - n) for n in range(10))


def _trial(work: Workload, number: int) -> Job:
    """As the run makes it."""
    (cell,) = work.cells
    source = Source(prompt_class="prose", seed=1, trial=number, run="r")

    def make(phase: str, messages: Sequence[Message | Reply], salt: str, tokens: int) -> Ask:
        body = prompts.body(messages, model="m", tokens=tokens, sampling=Sampling(), fields={})
        return Ask(phase, body, asked_tokens=tokens)

    what = stages.Trial(cell=cell, source=source, first=number == 0, trace=work.trace)
    return Job(host="h", port=1, path="/", stages=tuple(stages.stages(what, RULER, make)))


@pytest.mark.parametrize(
    ("changes", "trace"),
    [
        ({}, ()),
        ({"turns": 4, "depth": 400, "requests": 16}, ()),
        ({"turns": 4, "depth": 400, "concurrency": None, "rate": 4.0, "sessions": 3, "requests": 20}, ()),
        ({"prefix_caching": True, "depth": 400}, ()),
        ({"concurrency": None, "rate": 2.0, "requests": 500}, ()),
        ({"mix": (Shape(pp=100, tg=2), Shape(pp=30, tg=8))}, ()),
        ({"concurrency": None, "arrivals": "trace", "pp": 950, "tg": 20, "requests": 10, "warmup": 8}, TRACE),
    ],
    ids=["closed", "conversations", "conversations in open loop", "primed", "open", "mix", "trace"],
)
def test_the_sum_of_a_plan_is_enough_for_its_trials(changes: dict[str, object], trace: tuple[TraceRow, ...]) -> None:
    """Else a run ends early though somebody agreed to what was proposed."""
    work = Workload(
        profile_name="p",
        profile=Profile(runs=3, max_runs=3, seconds=10),
        cells=(msgspec.structs.replace(PLAIN, **changes),),
        skipped=(),
        seed=0,
        sampling=Sampling(),
        trace=trace,
    )
    trials = sum((bill.of_job(_trial(work, number)) for number in range(3)), Bill())
    whole = bill.of_workload(work)
    assert whole.requests - bill.BESIDE.requests >= trials.requests
    assert whole.input_tokens - bill.BESIDE.input_tokens >= trials.input_tokens
    assert whole.output_tokens - bill.BESIDE.output_tokens >= trials.output_tokens


def _work(**changes: object) -> Workload:
    return Workload(
        profile_name="p",
        profile=Profile(runs=1, max_runs=1),
        cells=(msgspec.structs.replace(PLAIN, **changes),),
        skipped=(),
        seed=0,
        sampling=Sampling(),
    )


GATEWAY, CLOUD = "http://127.0.0.1:4000", "https://api.example.org"
TIERED = Rates(usd_mtok_in=5.0, usd_mtok_out=25.0, up_to_tokens=108, source="a list")


@pytest.mark.parametrize(
    ("url", "rates", "cap_usd", "said"),
    [
        (None, None, None, None),
        (GATEWAY, None, None, None),
        (GATEWAY, RATES, None, "may cost up to"),
        (GATEWAY, RATES, 0.01, r"the questions before a run alone may cost \$0.20"),
        (GATEWAY, RATES, 1.0, None),
        (GATEWAY, None, 1.0, "what it charges is not known"),
        (CLOUD, None, None, "what it charges is not known"),
        (CLOUD.replace("https", "HTTPS"), None, None, "what it charges is not known"),
        (CLOUD, RATES, None, "may cost up to"),
        (CLOUD, TIERED, 1.0, None),
        (CLOUD, msgspec.structs.replace(TIERED, up_to_tokens=107), 1.0, "listed at another price than those up to 107"),
    ],
)
def test_what_may_charge_needs_a_price_and_a_sum(
    url: str | None, rates: Rates | None, cap_usd: float | None, said: str | None
) -> None:
    """A gateway on one's own machine, too, once it has a price or a sum. The cell's requests have 108 tokens, answer and all."""
    with nullcontext() if said is None else pytest.raises(UsageError, match=said):
        require(url, rates, cap_usd, _work())


def test_the_sum_that_is_proposed_is_enough() -> None:
    """The worst case is less than a tenth of a cent, and rounded to the cent nothing."""
    cheap = Rates(usd_mtok_in=0.01, usd_mtok_out=0.02, source="a list")
    with pytest.raises(UsageError, match=r"up to \$0.01 ") as refused:
        require(CLOUD, cheap, None, _work())
    proposed = float(refused.value.hint.partition("--max-usd ")[2].partition(";")[0])
    assert bill.of_workload(_work()).usd(cheap) <= proposed == 0.01
    require(CLOUD, cheap, proposed, _work())


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
