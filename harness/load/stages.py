"""The requests of one trial: their prompts, the order they go in, when they are due, and which turns follow which."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import msgspec

from harness.load import arrivals, prompts
from harness.load.prompts import Message, Reply, Source
from harness.load.tokens import Ruler
from harness.schema.job import Ask, Stage
from harness.schema.workload import WARMUP_ROUNDS, Cell, TraceRow
from harness.units import NS_PER_S

Make = Callable[[str, Sequence[Message | Reply], str, int], Ask]
"""(phase, messages, salt, tokens to generate) → the request."""
PRIMED_TOKENS = 1


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What the stages follow from."""

    cell: Cell
    source: Source
    first: bool
    """Of its cell: it warms up until the server is warm, others for one round."""
    trace: tuple[TraceRow, ...]

    @property
    def warmup(self) -> int:
        return self.cell.warmup * (WARMUP_ROUNDS if self.first else 1)

    def random(self, what: str) -> random.Random:
        return random.Random(f"{what}/{self.source.seed}/{self.source.trial}")


def stages(trial: Trial, ruler: Ruler, make: Make) -> Iterator[Stage]:
    """Raises as `prompts.build` does."""
    cell = trial.cell
    if trial.trace:
        yield from _replayed(trial, ruler, make)
    elif cell.concurrency is None:
        yield _open(trial, ruler, make)
    elif cell.turns > 1:
        yield _conversations(trial, cell.concurrency, ruler, make)
    elif cell.prefix_caching and cell.depth:
        yield from _primed(trial, cell.concurrency, ruler, make)
    else:
        yield _closed(trial, cell.concurrency, ruler, make)


def _closed(trial: Trial, concurrency: int, ruler: Ruler, make: Make) -> Stage:
    """The loop goes on from the warm-up to what is measured without draining."""
    cell = trial.cell
    asks = _single(trial, ["measure"] * cell.requests + ["warmup"] * trial.warmup, ruler, make)
    measured, warmup = asks[: cell.requests], asks[cell.requests :]
    return Stage(concurrency, tuple(measured), warmup=tuple(warmup), warmup_round=cell.warmup)


def _primed(trial: Trial, concurrency: int, ruler: Ruler, make: Make) -> Iterator[Stage]:
    """Rounds of as many requests as there are slots: first their contexts go into the cache, then they are asked. The first
    round is the warm-up."""
    cell = trial.cell
    number = concurrency + cell.requests
    pairs = prompts.primed(ruler, trial.source, depth=cell.depth, tokens=cell.pp, number=number)
    for start in range(0, number, concurrency):
        batch = pairs[start : start + concurrency]
        prime, measure = ("prime", "measure") if start else ("warmup", "warmup")
        yield Stage(concurrency, tuple(make(prime, pair.prime.messages, pair.prime.salt, PRIMED_TOKENS) for pair in batch))
        asks = (_sized(make(measure, pair.ask.messages, pair.ask.salt, cell.tg), cell.prompt_tokens) for pair in batch)
        yield Stage(concurrency, tuple(asks))


def _conversations(trial: Trial, concurrency: int, ruler: Ruler, make: Make) -> Stage:
    """Closed loop: a slot goes through a whole conversation, then takes the next."""
    cell = trial.cell
    number = -(-cell.requests // cell.turns)
    asks: list[Ask] = []
    warmup = []
    for first in range(number + trial.warmup):
        turns = _turns(trial, first, ruler, make)
        if first >= number:
            warmup.append(next(turns)("warmup"))
            continue
        for turn in turns:
            ask = turn("measure")
            after = trial.warmup + len(asks) - 1 if ask.turn else None
            asks.append(msgspec.structs.replace(ask, after=after))
    return Stage(concurrency, tuple(asks[: cell.requests]), warmup=tuple(warmup), warmup_round=cell.warmup)


def _open(trial: Trial, ruler: Ruler, make: Make) -> Stage:
    """Each request is due at its time; the first ones are the warm-up. Turns of as many conversations as there are sessions take
    turns."""
    cell = trial.cell
    number = trial.warmup + cell.requests
    phases = ["warmup"] * trial.warmup + ["measure"] * cell.requests
    assert cell.rate is not None
    due = arrivals.offsets(cell.arrivals, cell.rate, cell.burstiness, number, f"{trial.source.seed}/{trial.source.trial}")
    if cell.turns == 1:
        asks = _single(trial, phases, ruler, make)
        return Stage(None, tuple(msgspec.structs.replace(ask, due_ns=at) for ask, at in zip(asks, due, strict=True)))
    talks: dict[int, Iterator[Callable[[str], Ask]]] = {}
    said = []
    for place, (phase, at) in enumerate(zip(phases, due, strict=True)):
        session, step = place % cell.sessions, place // cell.sessions
        if step % cell.turns == 0:
            talks[session] = _turns(trial, step // cell.turns * cell.sessions + session, ruler, make)
        ask = next(talks[session])(phase)
        said.append(msgspec.structs.replace(ask, due_ns=at, after=place - cell.sessions if ask.turn else None))
    return Stage(None, tuple(said))


def _replayed(trial: Trial, ruler: Ruler, make: Make) -> Iterator[Stage]:
    """The trace as it was recorded, after a warm-up that is none of it."""
    rows = trial.trace
    warm = [rows[index % len(rows)] for index in range(trial.warmup)]
    made = prompts.build(ruler, trial.source, [row.prompt_tokens for row in (*rows, *warm)])
    phases = ["measure"] * len(rows) + ["warmup"] * len(warm)
    asks = [
        _sized(make(phase, prompt.messages, prompt.salt, row.output_tokens), row.prompt_tokens)
        for phase, prompt, row in zip(phases, made, (*rows, *warm), strict=True)
    ]
    yield Stage(1, (), warmup=tuple(asks[len(rows) :]), warmup_round=trial.cell.warmup)
    start = min(row.offset_s for row in rows)
    due = (round((row.offset_s - start) * NS_PER_S) for row in rows)
    replayed = (msgspec.structs.replace(ask, due_ns=at) for ask, at in zip(asks, due, strict=False))
    yield Stage(None, tuple(sorted(replayed, key=lambda ask: ask.due_ns)))


def _single(trial: Trial, phases: Sequence[str], ruler: Ruler, make: Make) -> list[Ask]:
    """Requests that stand alone, of the cell's shape or of its mixture's."""
    cell = trial.cell
    shapes = [(cell.prompt_tokens, cell.tg)] * len(phases)
    if cell.mix:
        weights = [shape.weight for shape in cell.mix]
        drawn = trial.random("mix").choices(cell.mix, weights, k=len(phases))
        shapes = [(cell.depth + shape.pp, shape.tg) for shape in drawn]
    made = prompts.build(ruler, trial.source, [length for length, _ in shapes])
    return [
        _sized(make(phase, prompt.messages, prompt.salt, tokens), length)
        for phase, prompt, (length, tokens) in zip(phases, made, shapes, strict=True)
    ]


def _turns(trial: Trial, first: int, ruler: Ruler, make: Make) -> Iterator[Callable[[str], Ask]]:
    """The turns of one conversation; each, given its phase, is the request with the turns before it."""
    cell = trial.cell
    made, salt = prompts.conversation(ruler, trial.source, first=first, depth=cell.depth, tokens=cell.pp, turns=cell.turns)
    said: list[Message | Reply] = [*made[: len(made) - cell.turns]]
    for turn, message in enumerate(made[len(made) - cell.turns :]):
        said = [*said, Reply(), message] if turn else [*said, message]
        length = cell.prompt_tokens if turn == 0 else None

        def ask(phase: str, turn: int = turn, said: list[Message | Reply] = said, length: int | None = length) -> Ask:
            return msgspec.structs.replace(_sized(make(phase, said, salt, cell.tg), length), turn=turn)

        yield ask


def _sized(ask: Ask, prompt_tokens: int | None) -> Ask:
    return msgspec.structs.replace(ask, asked_prompt_tokens=prompt_tokens)
