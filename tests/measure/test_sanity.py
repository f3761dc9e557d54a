"""Real answers of a small model pass; what broken servers say does not, each for its own reason."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.paced.behaviours import SAYS
from harness.engines.paced.text import spoken
from harness.measure import sanity, speculation
from harness.measure.sanity import QUESTIONS
from harness.schema.plan import Launch
from harness.schema.result import Answer

SMOLLM2 = (  # SmolLM2-135M-Instruct.Q4_1 by xllamacpp 2026.10.11549, temperature 0, 2026-11-25
    "L'Étoile, la Marseillaise, la femme,",
    "Two plus two is a classic math problem that has been debated for centuries. In",
    "Fresh snow is a type of snow that is pure and unblemished, with",
    "The rain is a natural phenomenon that occurs when water from the Earth's oceans and atmosphere condenses and falls back to the "
    "Earth's surface, creating a cycle that sustains life on our planet.",
)


def answers(*texts: str) -> list[Answer]:
    return [sanity.answered(question, text, None) for question, text in zip(QUESTIONS, texts, strict=True)]


def codes(*texts: str) -> list[str]:
    return [finding.code for finding in sanity.judge(answers(*texts), {}, None)]


def each(text: str) -> list[str]:
    return [text] * len(QUESTIONS)


def test_a_small_model_passes_though_it_knows_nothing() -> None:
    assert codes(*SMOLLM2) == []
    assert [answer.right for answer in answers(*SMOLLM2)] == [False, False, False, None]


@pytest.mark.parametrize(
    "said",
    [
        ("Paris.", "4", "White.", "Warm air carries water up, where it is cold, and the water falls down again."),
        (
            "The capital of France is Paris.",
            "Two plus two is four.",
            "Fresh snow is white.",
            "It rains because clouds grow heavy.",
        ),
        (
            'The user asks: "What is the capital of France?" The answer is',
            'The user asks: "How much is two plus two?" That is simple',
            'The user asks: "What colour is fresh snow?" The answer is',
            'The user asks: "Explain in a few sentences why it rains." I need a short explanation in plain words, of evaporation, of '
            "condensation, and of drops that grow until they fall.",
        ),
        (
            "<think>\nOkay, the user is asking what the capital of France is. I",
            "<think>\nOkay, the user is asking how much two plus two is. That",
            "<think>\nOkay, the user is asking about the colour of fresh snow. I",
            "<think>\nOkay, the user is asking why it rains. I should say it in a few sentences. First, the water",
        ),
        ("What is the capital of France? Paris.", *SMOLLM2[1:]),
        ("", "", "", SMOLLM2[3]),
        (
            *SMOLLM2[:3],
            "It rains. It rains because it rains. It rains because it rains. It rains because it rains. It rains because it rains.",
        ),
        ("Paris", "2 + 2 + 2 + 2 + 2 + 2 + 2 + 2 + 2 + 2", "white", SMOLLM2[3]),
    ],
    ids=["terse", "whole sentences", "quotes", "thinks", "echoes once", "silent but once", "loops", "stuck once"],
)
def test_manners_of_real_models_pass(said: tuple[str, ...]) -> None:
    assert codes(*said) == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (each(" \n"), "silent"),
        ([question.text for question in QUESTIONS], "echo"),
        ([f"user: {question.text}" for question in QUESTIONS], "echo"),
        ([(question.text + "\n") * 4 for question in QUESTIONS], "echo"),
        (each("!" * 16), "stuck"),
        (["Paris is the" + " the" * 16, *each(" ogog" * 9)[1:]], "stuck"),
        (each("I am a helpful assistant, and what can I do for you?"), "same_answers"),
        (
            [*each("Sorry, I can not help with that.")[1:], "Sorry, I can not help with that. Ask me something else."],
            "same_answers",
        ),
        (each("ví 组件 $(document licensefungal çözüm เมื่อ"), "same_answers"),
        (
            [
                "組件 ví",
                "çözüm licensefungal",
                "$(document",
                "Assess Compact Const datasetTypicallyWas liquorIFTatts blockchain",
            ],
            "nonsense",
        ),
        (["\ufffd\x01", "\ufffd\x02", "\ufffd\x03\ufffd", "\ufffd\ufffd\x04 12 % {"], "nonsense"),
    ],
)
def test_broken_servers_do_not(said: list[str], code: str) -> None:
    assert codes(*said) == [code]


SAID = {
    "words": [],
    "echo": ["echo"],
    "stuck": ["stuck"],
    "same": ["same_answers"],
    "salad": ["nonsense"],
    "nothing": ["silent"],
}


@pytest.mark.parametrize("says", SAYS)
def test_the_paced_server_says_what_it_is_told_to(says: str) -> None:
    assert codes(*(spoken(says, question.text, question.tokens) for question in QUESTIONS)) == SAID[says]


@given(st.text(min_size=1), st.integers(20, 60))
def test_the_paced_server_is_sane_by_itself(prompt: str, tokens: int) -> None:
    text = spoken("words", prompt, tokens)
    assert len(text.split()) == tokens
    assert codes(*SMOLLM2[:3], text) == []
    assert codes(*(spoken("words", prompt + question.text, question.tokens) for question in QUESTIONS)) == []


@given(st.integers())
def test_words_of_no_language_are_nonsense(seed: int) -> None:
    draw = random.Random(seed)

    def salad(count: int) -> str:
        return " ".join("".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9))) for _ in range(count))

    assert codes(*(salad(question.tokens) for question in QUESTIONS)) == ["nonsense"]


def test_an_answer_that_keeps_to_no_limit_is_cut() -> None:
    (answer, *_) = answers(*each("x" * 10**6))
    assert len(answer.text) == sanity.LONGEST


def moved(accepted: float, drafted: float | None, drafts: float, generated: float) -> dict[str, float]:
    found = {"spec_accepted_tokens": accepted, "spec_drafts": drafts, "generation_tokens": generated}
    return found if drafted is None else {**found, "spec_draft_tokens": drafted}


@pytest.mark.parametrize(
    ("counters", "text"),
    [
        (moved(60, 90, 30, 96), None),
        (moved(105, 105, 35, 96), None),  # drafts of three, all accepted: each of four requests had up to three tokens too many
        (moved(0, 90, 30, 96), None),
        (moved(97, None, 30, 96), None),  # within what counters lag
        (moved(200, None, 30, 96), "200 accepted tokens, and generated 96"),
        (moved(120, 90, 30, 96), "120 accepted tokens, and drafted 90"),
        (moved(150, 180, 60, 96), "150 accepted tokens, and generated 96"),
        (moved(150, 180, 60, 0), None),  # not brought up to date
        ({}, None),
    ],
)
def test_more_accepted_than_there_can_be(counters: dict[str, float], text: str | None) -> None:
    found = speculation.impossible(counters, requests=4)
    assert (found is None) if text is None else (text in (found or ""))
    said = [finding.code for finding in sanity.judge(answers(*SMOLLM2), counters, None)]
    assert said == (["impossible_acceptance"] if text else [])


@pytest.mark.parametrize(
    ("launch", "settings"),
    [
        (Launch(executor="process", argv=("vllm", "--speculative-config", '{"synthetic_acceptance_length": 3}'), env={}), {}),
        (Launch(executor="process", argv=("sglang",), env={"SGLANG_SIMULATE_ACC_LEN": "3"}), {}),
        (None, {"vllm_config.speculative_config.rejection_sample_method": "synthetic"}),
    ],
)
def test_a_server_that_was_told_to_fake_acceptance(launch: Launch | None, settings: dict[str, str]) -> None:
    switch = speculation.faked(launch, settings)
    (finding,) = sanity.judge(answers(*SMOLLM2), {}, switch)
    assert finding.code == "fake_acceptance"
    assert speculation.faked(None, {"speculative_algorithm": "EAGLE", "rejection_sample_method": "strict"}) is None


@pytest.mark.parametrize(("common", "expected"), [(14, ["nonsense"]), (15, [])])
def test_how_many_common_words_are_enough(common: int, expected: list[str]) -> None:
    """Of a hundred in all four answers."""
    words = ["the"] * common + [f"blo{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(100 - common)]
    random.Random(1).shuffle(words)
    assert codes(*(" ".join(words[start : start + 25]) for start in range(0, 100, 25))) == expected


def test_an_end_that_repeats_is_not_stuck_while_most_was_said() -> None:
    """Two answers that trail off in dots: the share of the answer that repeats decides."""
    assert codes(SMOLLM2[0], f"{SMOLLM2[1]}........", f"{SMOLLM2[2]}........", SMOLLM2[3]) == []
    assert codes(SMOLLM2[0], f"{SMOLLM2[1]}{'.' * 200}", f"{SMOLLM2[2]}{'.' * 200}", SMOLLM2[3]) == ["stuck"]
