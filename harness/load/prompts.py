"""What is asked: chat messages of an exact length in the served model's tokens, made of real text, none like another.

A prompt is `#` and eight digits, unique within its trial, then a passage of the corpus, then a task that suits it.

- The digits come first, so two prompts share nothing but the chat template (and `#`), and no prefix cache helps. All prompts
  begin with `#` and end with `.`, so whatever merges at the template's edges does so alike in all of them.
- Passages follow from seed, trial and position, and are spread over the corpus; the digits follow from the run too. So two runs
  of one plan read the same passages (speculation fares alike) under other digits (no cache of one run serves the other).
- The tasks ask for a long new answer of the passage's own kind, as people do: an explanation in plain words, a program.
  Repeating the passage would flatter n-gram speculation, and mixed answers would blur the class.

Passages longer than the corpus wrap round. Not covered: other languages, images, tool calls, conversations of many turns.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import gcd
from pathlib import Path

import msgspec

from harness.errors import EngineError, RecipeError, did_you_mean
from harness.load.tokens import Counter, Ruler
from harness.schema.workload import Sampling

CORPUS = Path(__file__).parent / "corpus"

LEAST_PASSAGE = 8
"""Tokens of corpus text that every prompt has at the least."""

MOST_TURNS = 48
"""Lengths of one passage that are tried; 3 to 6 are usual."""

MOST_DOTS = 4
"""Ellipses that may stand at a passage's end."""

PASSAGES = 8
"""Passages tried for one prompt before giving up: at some, no end has exactly the asked number of tokens."""

SEAM = re.compile(r"\b(?<=\S)|(?<=[^\w\s])")

SALT_DIGITS = 8
SALT_STEP = 61_803_399  # the golden section of 10^8, and coprime to it: successive salts differ from their first digit on


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt class."""

    file: str
    start: str
    """A passage may begin after each match of this pattern."""
    opening: str
    closing: str
    task: str
    context_end: str


KINDS = {
    "prose": Kind(
        file="prose.txt",
        start=r"\n\n",
        opening="",
        closing="",
        task="Explain in plain words, point by point, what this text says.",
        context_end="This is the end of the text.",
    ),
    "code": Kind(
        file="code.txt",
        start=r"\n\n(?=\S)",
        opening="```c\n",
        closing="\n```",
        task="Write a C program that tests this.",
        context_end="This is the end of the code.",
    ),
}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What prompts follow from, besides their length: equal sources give equal bytes."""

    prompt_class: str
    """A key of `KINDS`."""
    seed: int
    trial: int
    run: str
    """Different for every run, so that no two runs send the same prompt."""


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str


class Reply(msgspec.Struct, frozen=True):
    """Where the server's own answer goes: see `harness.schema.job.Ask.body`."""

    role: str = "assistant"
    content: msgspec.Raw = msgspec.Raw(b"\0")


class Prompt(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    salt: str
    """Unique per request: for engines that take a cache salt."""

    @property
    def texts(self) -> tuple[str, ...]:
        """For `tokens.Measured`."""
        return tuple(message.content for message in self.messages)


class Primed(msgspec.Struct, frozen=True):
    """Two requests for a prefix-cache test, to be sent in this order: `prime` loads the context, `ask` has the same context and
    the prompt that is measured."""

    prime: Prompt
    ask: Prompt


class Frame(msgspec.Struct, frozen=True):
    """One message around a passage of any length."""

    corpus: str
    start: int
    head: str
    tail: str

    def passage(self, length: int) -> str:
        end = self.start + length
        text = self.corpus if end <= len(self.corpus) else self.corpus * (1 + end // len(self.corpus))
        return text[self.start : end]

    def text(self, length: int, dots: int = 0) -> str:
        """The message with `length` characters of the corpus, and so many ellipses after them."""
        return f"{self.head}{self.passage(length).rstrip()}{' ...' * dots}{self.tail}"

    def seam(self, length: int) -> int:
        """The first length from `length` on at which a word or sign ends; `length` itself where none is near."""
        near = SEAM.search(self.passage(length + 40), max(1, length))
        return near.start() if near else length

    def later(self) -> Frame:
        """The same message from the next word of the corpus on."""
        word = re.search(r"(?<=\s)\S", self.passage(len(self.corpus)))
        return msgspec.structs.replace(self, start=(self.start + (word.start() if word else 1)) % len(self.corpus))


def build(ruler: Ruler, source: Source, lengths: Sequence[int]) -> list[Prompt]:
    """Prompts of one user message; with the chat template each has exactly so many tokens (`usage.prompt_tokens`).

    Raises `RecipeError` when they are too few or the class is unknown, `EngineError` when the counter allows no such text.
    """
    overhead = ruler.overhead(1)
    frames = [_frame(source, index) for index in range(len(lengths))]
    texts = _fitted(ruler.count, frames, [length - overhead for length in lengths], "a prompt", overhead)
    return [Prompt((Message("user", text),), _salt(source, index)) for index, text in enumerate(texts)]


def primed(ruler: Ruler, source: Source, *, depth: int, tokens: int, number: int) -> list[Primed]:
    """`number` pairs whose system message is exactly `depth` tokens of context; each `ask` is exactly `depth + tokens` tokens
    (`usage.prompt_tokens`), the chat template being part of `tokens`. The context is the same text in both requests of a pair.

    Raises as `build` does.
    """
    overhead = ruler.overhead(2)
    contexts = [_frame(source, 2 * index, context=True) for index in range(number)]
    asks = [_frame(source, 2 * index + 1) for index in range(number)]
    systems = _fitted(ruler.count, contexts, [depth] * number, "a context", 0)
    users = _fitted(ruler.count, asks, [tokens - overhead] * number, "a prompt", overhead)
    pairs = []
    for index, (system, user) in enumerate(zip(systems, users, strict=True)):
        salt, context = _salt(source, 2 * index), Message("system", system)
        prime = Prompt((context, Message("user", "Reply with OK.")), salt)
        pairs.append(Primed(prime, Prompt((context, Message("user", user)), salt)))
    return pairs


def conversation(ruler: Ruler, source: Source, *, first: int, depth: int, tokens: int, turns: int) -> tuple[list[Message], str]:
    """The messages that a user sends in one conversation, and its salt: a system message of `depth` tokens of context where that is
    not 0, then `turns` of `tokens` each. With the chat template the first request is exactly `depth + tokens` tokens.

    `first` numbers the conversation: others of one source have others. Raises as `build` does.
    """
    place = first * (turns + 1)
    overhead = ruler.overhead(2 if depth else 1)
    context = [_frame(source, place, context=True)] if depth else []
    asks = [_frame(source, place + 1 + turn) for turn in range(turns)]
    made = [Message("system", text) for text in _fitted(ruler.count, context, [depth] * len(context), "a context", 0)]
    made += [Message("user", text) for text in _fitted(ruler.count, asks, [tokens - overhead] * turns, "a prompt", overhead)]
    return made, _salt(source, place)


def probes(source: Source, *, context: bool = False) -> list[Prompt]:
    """Two prompts of different lengths (below 1,000 tokens), whose usage tells what the chat template adds: see `tokens.exact`.

    With `context` they have a system message, as the prompts of `primed`. Give them a trial of their own, such as -1.
    """
    made = []
    for index, length in enumerate((300, 2000)):
        frame = _frame(source, 2 * index + 1)
        messages = [Message("user", frame.text(frame.seam(length)))]
        if context:
            before = _frame(source, 2 * index, context=True)
            messages.insert(0, Message("system", before.text(before.seam(200))))
        made.append(Prompt(tuple(messages), _salt(source, 2 * index + 1)))
    return made


def body(
    messages: Sequence[Message | Reply],
    *,
    model: str,
    tokens: int,
    sampling: Sampling,
    fields: Mapping[str, object],
    refused: Mapping[str, str | None] = {},
) -> str:
    """The JSON of a streamed chat completion. `fields` are the engine's own: they replace ours, objects in them are merged. `refused`: as
    for `accepted`."""
    made: dict[str, object] = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    }
    return msgspec.json.encode(accepted(merged(made, fields), refused)).decode()


def accepted(made: Mapping[str, object], refused: Mapping[str, str | None]) -> dict[str, object]:
    """Request fields without those that a server refuses: under the name that it takes instead, or not at all."""
    named = {refused.get(name, name): value for name, value in made.items()}
    return {name: value for name, value in named.items() if name is not None}


def merged(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Request fields in which theirs replace ours; objects are merged."""
    made = dict(ours)
    for name, value in theirs.items():
        before = made.get(name)
        made[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, Mapping) else value
    return made


@cache
def corpus(prompt_class: str) -> str:
    """The text of a prompt class: ASCII. Raises `RecipeError` for an unknown one."""
    if prompt_class not in KINDS:
        near = did_you_mean(prompt_class, list(KINDS))
        hint = f"did you mean {near!r}?" if near else f"choose one of {', '.join(KINDS)}"
        raise RecipeError(f"there is no prompt class {prompt_class!r}", hint)
    return (CORPUS / KINDS[prompt_class].file).read_text(encoding="ascii")


@cache
def _starts(prompt_class: str) -> tuple[int, ...]:
    return tuple(match.end() for match in re.finditer(KINDS[prompt_class].start, corpus(prompt_class)))


def _frame(source: Source, index: int, *, context: bool = False) -> Frame:
    text = corpus(source.prompt_class)
    kind = KINDS[source.prompt_class]
    starts = _starts(source.prompt_class)
    step = round(len(starts) * 0.618)
    while gcd(step, len(starts)) != 1:
        step += 1
    first = random.Random(f"passages/{source.seed}/{source.trial}").randrange(len(starts))
    return Frame(
        corpus=text,
        start=starts[(first + index * step) % len(starts)],
        head=f"#{_salt(source, index)}\n\n{kind.opening}",
        tail=f"{kind.closing}\n\n{kind.context_end if context else kind.task}",
    )


def _salt(source: Source, index: int) -> str:
    first = random.Random(f"salts/{source.seed}/{source.trial}/{source.run}").randrange(10**SALT_DIGITS)
    return f"{(first + index * SALT_STEP) % 10**SALT_DIGITS:0{SALT_DIGITS}d}"


def _fitted(count: Counter, frames: Sequence[Frame], targets: Sequence[int], what: str, overhead: int) -> list[str]:
    """Each frame's message with as much text as makes it its target's number of tokens, besides `overhead` that the template adds."""
    if not frames:
        return []
    floor = count(frames[0].text(0))
    least = min(targets)
    if least < floor + LEAST_PASSAGE:
        raise RecipeError(
            f"{what} of {least + overhead} tokens cannot be made: the chat template takes {overhead}, the unique beginning and the "
            f"task {floor}",
            f"ask for at least {overhead + floor + LEAST_PASSAGE} tokens",
        )
    sample = frames[0].passage(8000)
    rate = len(sample) / max(1, count(sample))
    return [
        _fit(count, frame, target, floor, rate, f"{what} of {target + overhead} tokens")
        for frame, target in zip(frames, targets, strict=True)
    ]


def _fit(count: Counter, frame: Frame, target: int, floor: int, rate: float, what: str) -> str:
    for nudge in range(PASSAGES):
        if nudge:
            frame = frame.later()
        text = _search(count, frame, target, floor, rate)
        if text is not None:
            return text
    raise EngineError(
        f"{what} cannot be made: the server's tokenizer gave no text of {target} tokens in {PASSAGES} passages",
        "its counts do not follow the text: check that /tokenize is of the model that is served",
    )


def _search(count: Counter, frame: Frame, target: int, floor: int, rate: float) -> str | None:
    """The frame's message with exactly `target` tokens, or None.

    Each turn narrows the interval between a length that is too short and one that is too long, so it ends. Ends of words are tried
    before cuts within them. Where one more character is several more tokens (the first after an indentation), ellipses fill up.
    """
    low, under = 0, floor
    high = 64 * target + 1000  # only keeps a nonsensical counter from asking for gigabytes
    length = round((target - floor) * rate)
    known: dict[str, int] = {}  # lengths that differ by blanks at the end are one text
    before = (0, floor)
    for _ in range(MOST_TURNS):
        near = frame.seam(max(0, length - 2))
        length = near if low < near < high else min(max(length, low + 1), high - 1)
        text = frame.text(length)
        counted = known[text] = known[text] if text in known else count(text)
        if counted == target:
            return text
        if counted < target:
            low, under = length, counted
        else:
            high = length
        if high - low < 2:
            break
        if abs(counted - before[1]) > 2:  # characters per token hereabouts
            rate = (length - before[0]) / (counted - before[1])
        before = (length, counted)
        length += round((target - counted) * rate)
    filled = frame.text(low, dots=min(target - under, MOST_DOTS))
    return filled if count(filled) == target else None
