"""What a trial asks for: schedules, mixtures, conversations, traces. Everything follows from the seed."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pstdev

import msgspec
import pytest

from harness.load import arrivals, prompts, stages
from harness.load.prompts import Source
from harness.load.tokens import Ruler
from harness.schema.job import Ask, Stage
from harness.schema.workload import WARMUP_ROUNDS, Cell, Sampling, Shape, TraceRow

RULER = Ruler(count=lambda text: len(text.split()), exact=True, overheads={1: 4, 2: 8})
SECOND = 1_000_000_000


def cell(**changes: object) -> Cell:
    plain = Cell(
        id="x", depth=0, pp=100, tg=8, concurrency=2, prompt_class="prose", prefix_caching=False, requests=6, warmup=2
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def at_rate(**changes: object) -> Cell:
    return cell(concurrency=None, rate=10.0, arrivals="poisson", requests=40, warmup=5, **changes)


def made(what: Cell, *, trial: int = 0, first: bool = False, trace: tuple[TraceRow, ...] = (), seed: int = 1) -> list[Stage]:
    source = Source(prompt_class="prose", seed=seed, trial=trial, run="r")
    asked = stages.Trial(cell=what, source=source, first=first, trace=trace)

    def make(phase: str, messages: object, salt: str, tokens: int) -> Ask:
        text = prompts.body(messages, model="m", tokens=tokens, sampling=Sampling(), fields={"salt": salt})  # type: ignore[arg-type]
        return Ask(phase, text, asked_tokens=tokens)

    return list(stages.stages(asked, RULER, make))


def content(ask: Ask) -> list[str]:
    messages = msgspec.json.decode(ask.body.replace("\0", '"ANSWER"'))["messages"]
    return [message["content"] for message in messages]


def gaps(kind: str, burstiness: float = 1.0, seed: str = "a") -> list[float]:
    due = arrivals.offsets(kind, 100.0, burstiness, 20_000, seed)
    return [(b - a) / SECOND for a, b in pairwise(due)]


def test_constant_arrivals_are_even() -> None:
    assert arrivals.offsets("constant", 4.0, 1.0, 4, "a") == [0, SECOND // 4, SECOND // 2, SECOND * 3 // 4]


@pytest.mark.parametrize(
    ("kind", "burstiness", "scatter"), [("poisson", 9.0, 1.0), ("gamma", 1.0, 1.0), ("gamma", 0.25, 2.0), ("gamma", 4.0, 0.5)]
)
def test_random_arrivals_have_their_rate_and_their_scatter(kind: str, burstiness: float, scatter: float) -> None:
    """The coefficient of variation of gamma gaps is 1/√shape; that of a Poisson process is 1."""
    found = gaps(kind, burstiness)
    assert fmean(found) == pytest.approx(0.01, rel=0.002)
    assert pstdev(found) / fmean(found) == pytest.approx(scatter, rel=0.05)


def test_arrivals_follow_from_the_seed() -> None:
    assert gaps("poisson", seed="a") == gaps("poisson", seed="a") != gaps("poisson", seed="b")


def test_every_seed_offers_the_same_rate_in_the_same_time() -> None:
    for seed in "abcdef":
        due = arrivals.offsets("poisson", 20.0, 1.0, 100, seed)
        assert due == sorted(due)
        assert 0 <= due[0] <= due[-1] <= 5 * SECOND


@pytest.mark.parametrize("first", [False, True])
def test_closed_loop(first: bool) -> None:
    (stage,) = made(cell(), first=first)
    assert (stage.concurrency, stage.warmup_round) == (2, 2)
    assert [ask.phase for ask in stage.warmup] == ["warmup"] * 2 * (WARMUP_ROUNDS if first else 1)
    assert [ask.phase for ask in stage.asks] == ["measure"] * 6
    assert {(ask.asked_tokens, ask.asked_prompt_tokens) for ask in stage.asks} == {(8, 100)}
    assert len({ask.body for ask in (*stage.warmup, *stage.asks)}) == 6 + len(stage.warmup)


def test_what_is_measured_does_not_depend_on_the_warm_up() -> None:
    (short,), (long,) = made(cell(), first=False), made(cell(), first=True)
    assert short.asks == long.asks


def test_open_loop_begins_with_its_warm_up() -> None:
    (stage,) = made(at_rate())
    assert stage.concurrency is None
    assert [ask.phase for ask in stage.asks] == ["warmup"] * 5 + ["measure"] * 40
    due = [ask.due_ns for ask in stage.asks]
    assert due == sorted(due)
    assert 0 < due[-1] <= 4.5 * SECOND


def test_trials_have_schedules_of_their_own() -> None:
    one, two = ([ask.due_ns for ask in made(at_rate(), trial=trial)[0].asks] for trial in (0, 1))
    assert one != two


def test_a_mixture_has_its_kinds_in_their_shares() -> None:
    mix = (Shape(pp=100, tg=8, weight=3), Shape(pp=200, tg=16, weight=1))
    (stage,) = made(msgspec.structs.replace(at_rate(), mix=mix, requests=400))
    kinds = [(ask.asked_prompt_tokens, ask.asked_tokens) for ask in stage.asks]
    assert set(kinds) == {(100, 8), (200, 16)}
    assert kinds.count((100, 8)) / len(kinds) == pytest.approx(0.75, abs=0.08)
    for ask in stage.asks[:20]:
        assert RULER.count(content(ask)[0]) + 4 == ask.asked_prompt_tokens


def test_conversations_in_open_loop_take_turns() -> None:
    what = msgspec.structs.replace(at_rate(), turns=3, sessions=2, depth=50, requests=15, warmup=3)
    (stage,) = made(what)
    assert [ask.turn for ask in stage.asks] == [0, 0, 1, 1, 2, 2] * 3
    assert [ask.after for ask in stage.asks[:6]] == [None, None, 0, 1, 2, 3]
    asked = [ask.asked_prompt_tokens for ask in stage.asks[:4]]
    assert asked == [150, 150, None, None]
    first, second, third = (content(stage.asks[place]) for place in (0, 2, 4))
    assert RULER.count(first[0]) == 50
    assert RULER.count(first[1]) == 100 - 8
    assert second == [*first, "ANSWER", second[-1]]
    assert third == [*second, "ANSWER", third[-1]]
    assert len({content(stage.asks[place])[0] for place in (0, 1, 6, 7)}) == 4, "conversations have contexts of their own"
    salts = [msgspec.json.decode(ask.body.replace("\0", "0"))["salt"] for ask in stage.asks[:4]]
    assert salts[0] == salts[2] != salts[1] == salts[3]


def test_conversations_in_closed_loop_go_to_their_end() -> None:
    (stage,) = made(cell(turns=3, requests=7))
    assert [ask.turn for ask in stage.asks] == [0, 1, 2, 0, 1, 2, 0]
    assert [ask.after for ask in stage.asks] == [None, 2, 3, None, 5, 6, None], "places count the warm-up"
    assert [ask.turn for ask in stage.warmup] == [0, 0]


def test_a_trace_is_replayed_as_it_is() -> None:
    rows = (
        TraceRow(offset_s=7.5, prompt_tokens=80, output_tokens=3),
        TraceRow(offset_s=5.0, prompt_tokens=60, output_tokens=9),
    )
    warm, replayed = made(cell(concurrency=None, arrivals="trace", requests=2), trace=rows)
    assert {ask.phase for ask in warm.warmup} == {"warmup"}
    assert [(ask.phase, ask.due_ns, ask.asked_prompt_tokens, ask.asked_tokens) for ask in replayed.asks] == [
        ("measure", 0, 60, 9),
        ("measure", round(2.5 * SECOND), 80, 3),
    ]
