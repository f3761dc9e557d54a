"""Whether what answers talks as a language model does: a few questions, and very weak demands on the answers. Pure.

Every demand is one that a 135M model keeps and a broken server does not. SmolLM2-135M (Q4_1, llama.cpp) misses the capital of
France, but of its words 27 to 49 % are among `COMMON` (37 times all questions, temperatures 0 to 1). Of tokens drawn at random from its
vocabulary at most 3 % are (200 times), from its 2,000 commonest tokens 5 % on average, and at temperatures 2.5 and 5, as of a model
with broken weights, at most 5 % (24 times). Whether answers are right is recorded, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

import msgspec

from harness.measure import speculation
from harness.schema.result import Answer, Finding


class Question(msgspec.Struct, frozen=True):
    text: str
    tokens: int
    """Of the answer, at most."""
    expected: str | None = None
    """A pattern that a right answer has."""


QUESTIONS = (
    Question("What is the capital of France?", 16, r"\bParis\b"),
    Question("How much is two plus two?", 16, r"\b(4|four)\b"),
    Question("What colour is fresh snow?", 16, r"\bwhite\b"),
    Question("Explain in a few sentences why it rains.", 48),
)
"""The last asks for prose, since the others may be answered with a word."""

COMMON = frozenset(
    re.findall(
        r"\w+",
        "a all an and are as at be but by can do does for from had has have he i if in is it its my not of on one or so that the their "
        "there they this to was we what when which will with you",
    )
)
"""English words that hardly a sentence is without, whatever it says."""
LEAST_COMMON = 0.15
WHOLE_QUESTION, MOST_COPIED = 0.8, 0.5
"""An answer is an echo when it has that much of the question in one piece, and this much of the answer is that piece, again and again
perhaps. `The capital of France is Paris.` has two thirds of its question; reasoning quotes it and goes on."""
STUCK = re.compile(r"(.{1,16}?)\1{7,}$", re.DOTALL)
"""The same few characters eight times and more, to the end. A small model that repeats its sentences is not stuck."""
STUCK_ANSWERS = 2
SAME_CHARACTERS = 8
LONGEST = 2000
"""Characters of an answer that are kept, should the server not keep to its limit."""


def answered(question: Question, text: str, tokens: int | None) -> Answer:
    right = None if question.expected is None else re.search(question.expected, text, re.IGNORECASE) is not None
    return Answer(question=question.text, text=text[:LONGEST], tokens=tokens, right=right)


def judge(answers: Sequence[Answer], moved: Mapping[str, float], faked: str | None) -> tuple[Finding, ...]:
    """What is wrong with a server that answered so; nothing: it is sane. `moved` is how far its counters moved over the answers, `faked`
    a switch of its settings that fakes the acceptance of drafts."""
    wrong = (*_words(answers), *_acceptance(answers, moved, faked))
    return tuple(Finding(code=code, severity="invalid", text=text) for code, text in wrong)


def _words(answers: Sequence[Answer]) -> Iterator[tuple[str, str]]:
    texts = [" ".join(answer.text.split()) for answer in answers]
    spoken = [text for text in texts if text]
    if not spoken:
        yield "silent", f"the server answers {len(answers)} questions without a word"
        return
    stuck = [match for answer in answers if (match := STUCK.search(answer.text)) and 2 * len(match[0]) >= len(answer.text)]
    words = re.findall(r"[^\W\d_]+", " ".join(spoken).lower())
    common = sum(word in COMMON for word in words)
    shortest = min(map(len, texts))
    if all(_echoes(answer.question, text) for answer, text in zip(answers, texts, strict=True)):
        yield "echo", f"the server repeats what it is asked: {_shown(texts[0])}"
    elif len(stuck) >= STUCK_ANSWERS:
        yield "stuck", f"the server repeats {_shown(stuck[0][1])} without end, in {len(stuck)} of {len(answers)} answers"
    elif shortest >= SAME_CHARACTERS and len({text[:shortest] for text in texts}) == 1:
        yield "same_answers", f"the server answers {len(answers)} different questions alike: {_shown(texts[0])}"
    elif common < LEAST_COMMON * len(words) or not words:
        yield (
            "nonsense",
            f"the server talks nonsense: of {len(words)} words in its answers {common} are common English: {_shown(texts[-1])}",
        )


def _acceptance(answers: Sequence[Answer], moved: Mapping[str, float], faked: str | None) -> Iterator[tuple[str, str]]:
    if faked is not None:
        yield "fake_acceptance", f"the server was told to fake the acceptance of drafts ({faked}): it has no model's speed"
    if (text := speculation.impossible(moved, len(answers))) is not None:
        yield "impossible_acceptance", text


def _echoes(question: str, text: str) -> bool:
    one, two = question.casefold(), text.casefold()
    match = SequenceMatcher(None, one, two, autojunk=False).find_longest_match()
    copied = two.count(one[match.a : match.a + match.size]) * match.size if match.size else 0
    return match.size >= WHOLE_QUESTION * len(one) and copied >= MOST_COPIED * len(two)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
