"""Counting: the template's share, estimates, and the counts of answers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EngineError
from harness.load.tokens import Measured, Ruler, estimate, exact, fill_first, retokenize
from harness.schema.request import CONTENT, REASONING, ROLE, Event, Record, Usage


def words(text: str) -> int:
    return len(text.split())


def measured(*pairs: tuple[str, int]) -> list[Measured]:
    return [Measured((text,), tokens) for text, tokens in pairs]


def record(index: int, *events: Event, error: str | None = None) -> Record:
    return Record(
        index=index, phase="measure", slot=0, t_sched_ns=0, t_send_ns=0, t_end_ns=9, status=200, error=error, events=events
    )


def event(text: str, kind: str = CONTENT, tokens: int | None = None, t_ns: int = 1) -> Event:
    return Event(t_ns, kind, text, tokens)


WORDS = Ruler(count=words, exact=True, overheads={1: 5})


def test_the_templates_share_by_number_of_messages() -> None:
    with_system = [Measured(("a b", "c"), 12), Measured(("a b c", "d e f"), 15)]
    ruler = exact(words, [*measured(("one two", 33), ("one two three", 34)), *with_system])
    assert ruler.exact
    assert (ruler.overhead(1), ruler.overhead(2)) == (31, 9)
    with pytest.raises(EngineError, match="not measured with 3 messages"):
        ruler.overhead(3)


@pytest.mark.parametrize("second", [33, 35])
def test_a_template_that_changes_the_text_is_an_error_of_two_lines(second: int) -> None:
    with pytest.raises(EngineError, match=r"1 message\(s\): the chat template seems to add 31 or (30|32) tokens") as caught:
        exact(words, measured(("one two", 33), ("one two three", second)))
    assert len(str(caught.value).splitlines()) == 2


def test_a_share_below_nothing_is_an_error() -> None:
    with pytest.raises(EngineError, match="add -1 or -1 tokens"):
        exact(words, measured(("one two", 1), ("one two three", 2)))


def test_one_length_cannot_be_checked() -> None:
    for learn in (estimate, lambda pairs: exact(words, pairs)):
        with pytest.raises(EngineError, match="only one length of text"):
            learn(measured(("one two", 33), ("six ten", 33)))


@given(rate=st.floats(0.05, 1.0), overhead=st.integers(0, 80))
def test_an_estimate_comes_close_to_a_server_of_constant_density(rate: float, overhead: int) -> None:
    texts = [("x" * 300,), ("x" * 2000,), ("x" * 200, "y" * 300), ("x" * 200, "y" * 2000)]
    usage = [overhead * len(one) + round(rate * sum(map(len, one))) for one in texts]
    ruler = estimate([Measured(one, tokens) for one, tokens in zip(texts, usage, strict=True)])
    assert not ruler.exact
    assert abs(ruler.count("z" * 1000) - 1000 * rate) <= 2
    assert abs(ruler.overhead(1) - overhead) <= 2
    assert abs(ruler.overhead(2) - 2 * overhead) <= 2


@pytest.mark.parametrize("second", [40, 20])
def test_usage_that_does_not_grow_is_an_error(second: int) -> None:
    with pytest.raises(EngineError, match="does not grow"):
        estimate(measured(("x" * 100, 40), ("x" * 1000, second)))


def test_first_tokens_only_where_no_event_says() -> None:
    silent = record(0, event("", ROLE), event("one two"), event(" three", t_ns=2))
    thinking = record(1, event("a b c", REASONING), event("d", t_ns=2))
    told = record(2, event("one two", tokens=1), event("three", tokens=1, t_ns=2))
    failed = record(3, error="connect")
    together = record(4, event("", ROLE), event("one two"), event(" three"), event("four", t_ns=2))
    filled = fill_first([silent, thinking, told, failed, together], WORDS)
    assert [one.first_tokens for one in filled] == [2, 3, None, None, 3]
    assert filled[2:4] == [told, failed]
    assert msgspec.structs.replace(filled[0], first_tokens=None) == silent


def test_an_estimate_fills_nothing_in() -> None:
    guess = Ruler(count=words, exact=False, overheads={1: 5})
    silent = [record(0, event("one two"))]
    assert fill_first(silent, guess) == silent
    assert retokenize(silent, guess, sample=1, seed=0) == silent


def test_retokenized_joins_events_before_it_counts() -> None:
    split = record(0, event("", ROLE), event("on"), event("e tw"), event("o"))
    thought = record(1, event("a b", REASONING), event("c", REASONING), event("d e"))
    cut_short = record(2, event("one"), error="reset")
    empty = record(3)
    counted = retokenize([split, thought, cut_short, empty], WORDS, sample=10, seed=0)
    assert [one.retokenized for one in counted] == [2, 4, None, None]  # "one two"; "a bc" and "d e"


def test_the_sample_is_seeded_and_of_the_asked_size() -> None:
    told = Usage(prompt_tokens=1, completion_tokens=2)
    records = [msgspec.structs.replace(record(index, event("one two")), usage=told) for index in range(100)]

    def chosen(seed: int) -> list[int]:
        return [one.index for one in retokenize(records, WORDS, sample=20, seed=seed) if one.retokenized == 2]

    assert len(chosen(1)) == 20
    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)


def test_what_nobody_counted_is_counted_whole() -> None:
    silent = [record(index, event("one two")) for index in range(20)]
    told = [record(20 + index, event("one two", tokens=2)) for index in range(20)]
    assert [one.retokenized for one in retokenize(silent + told, WORDS, sample=0, seed=1)] == [2] * 20 + [None] * 20
