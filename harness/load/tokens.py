"""How long a text is for the served model: its tokenizer's counts, and what the chat template adds. Pure but for the counter.

A request's `usage.prompt_tokens` is the tokens of its messages' texts plus the template's. Tokens may merge where text and
template meet, so the template's share is measured with texts that begin and end as all our prompts do (`prompts.probes`), and
with two of different lengths: if they disagree, lengths cannot be exact, and that is an error rather than a number.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from statistics import fmean

import msgspec

from harness.errors import EngineError
from harness.schema.request import TOKEN_KINDS, Record

Counter = Callable[[str], int]
"""Tokens of a raw text by the served model, special tokens not included."""


class Measured(msgspec.Struct, frozen=True):
    """The texts of one request's messages, and the server's `usage.prompt_tokens` for it."""

    texts: tuple[str, ...]
    prompt_tokens: int


class Ruler(msgspec.Struct, frozen=True, kw_only=True):
    """How the served model's tokens are counted."""

    count: Counter
    exact: bool
    """False: `count` is an estimate from text lengths, since the server has no tokenizer to ask."""
    overheads: dict[int, int]
    """Tokens that the chat template adds, by number of messages: 1 is user alone, 2 is system and user."""

    def overhead(self, messages: int) -> int:
        """Raises `EngineError` where that number of messages was not measured."""
        if messages not in self.overheads:
            raise EngineError(
                f"the chat template was not measured with {messages} messages",
                "send prompts.probes of that shape first, and give their usage to the ruler",
            )
        return self.overheads[messages]


def exact(count: Counter, measured: Sequence[Measured]) -> Ruler:
    """A ruler by the server's own tokenizer. Each number of messages needs two texts of different lengths.

    Raises `EngineError` when the template's share is not the same for all of them, or is negative.
    """
    overheads = {}
    for messages, group in _by_messages(measured).items():
        added = [one.prompt_tokens - sum(count(text) for text in one.texts) for one in group]
        if len(set(added)) > 1 or added[0] < 0:
            raise EngineError(
                f"prompts of {messages} message(s): the chat template seems to add {' or '.join(map(str, added))} tokens",
                "/tokenize and usage do not count alike: check that both are of one model, and that no proxy rewrites prompts",
            )
        overheads[messages] = added[0]
    return Ruler(count=count, exact=True, overheads=overheads)


def estimate(measured: Sequence[Measured]) -> Ruler:
    """A ruler from text lengths, for a server that has no tokenizer: least squares of tokens over characters, one slope for all
    numbers of messages. Each number of messages needs two texts of very different lengths.

    Raises `EngineError` when the server's usage does not grow with the text.
    """
    groups = _by_messages(measured)
    centres = {}
    products = squares = 0.0
    for messages, group in groups.items():
        lengths = [float(_characters(one)) for one in group]
        mean_length, mean_tokens = fmean(lengths), fmean(one.prompt_tokens for one in group)
        centres[messages] = (mean_length, mean_tokens)
        for length, one in zip(lengths, group, strict=True):
            products += (length - mean_length) * (one.prompt_tokens - mean_tokens)
            squares += (length - mean_length) ** 2
    if products <= 0:
        raise EngineError(
            "the server's usage.prompt_tokens does not grow with the text of the request",
            "token counts of this server cannot be trusted: measure one that reports usage",
        )
    rate = products / squares
    overheads = {messages: max(0, round(tokens - rate * length)) for messages, (length, tokens) in centres.items()}
    return Ruler(count=lambda text: round(rate * len(text)), exact=False, overheads=overheads)


def fill_first(records: Iterable[Record], ruler: Ruler) -> list[Record]:
    """The records with `first_tokens` [k1] where the first token-bearing event does not carry a count of its own.

    Its text is counted, with that of events that came in the same segment. An estimate is not a count: with one, `first_tokens` stays None.
    """
    return [_with_first(record, ruler.count) for record in records] if ruler.exact else list(records)


def retokenize(records: Iterable[Record], ruler: Ruler, *, sample: int, seed: int) -> list[Record]:
    """The records with `retokenized` for a seeded sample of `sample` whole answers, a check on the server's own count, and for all whose
    tokens nobody else has counted.

    Answer, reasoning and tool calls are counted apart, since the tokens that divide them never appear as text.
    """
    kept = list(records)
    if not ruler.exact:
        return kept
    whole = [place for place, record in enumerate(kept) if record.error is None and _token_texts(record)]
    uncounted = {
        place for place in whole if kept[place].usage is None and not any(event.tokens for event in kept[place].events)
    }
    for place in sorted(uncounted | set(random.Random(seed).sample(whole, min(sample, len(whole))))):
        pieces = groupby(_token_texts(kept[place]), key=lambda piece: piece[0])
        counted = sum(ruler.count("".join(text for _, text in run)) for _, run in pieces)
        kept[place] = msgspec.structs.replace(kept[place], retokenized=counted)
    return kept


def _with_first(record: Record, count: Counter) -> Record:
    bearing = [event for event in record.events if event.kind in TOKEN_KINDS]
    if not bearing or bearing[0].tokens is not None or not bearing[0].text:
        return record
    together = "".join(event.text for event in bearing if event.t_ns == bearing[0].t_ns)
    return msgspec.structs.replace(record, first_tokens=count(together))


def _token_texts(record: Record) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in record.events if event.kind in TOKEN_KINDS and event.text]


def _by_messages(measured: Sequence[Measured]) -> dict[int, list[Measured]]:
    groups: dict[int, list[Measured]] = {}
    for one in measured:
        groups.setdefault(len(one.texts), []).append(one)
    for messages, group in groups.items():
        if len({_characters(one) for one in group}) < 2:
            raise EngineError(
                f"only one length of text was measured with {messages} message(s), so the template's share cannot be checked",
                "measure two texts of different lengths: prompts.probes gives them",
            )
    return groups


def _characters(one: Measured) -> int:
    return sum(map(len, one.texts))
