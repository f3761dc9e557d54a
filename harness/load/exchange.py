"""One request under way, and afterwards all that is known of it; reading it makes its `Record`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from harness.load import chunks, sse
from harness.load.asks import Turn
from harness.load.wire import Answer
from harness.schema.request import CONTENT, Record

STILL_NS = 1_000
SLICE_EVENTS = 32
"""About 0.1 ms of reading."""


class Exchange:
    """Filled by whoever sends it. Instants of receiving are as that one stamps them."""

    __slots__ = (
        "answer",
        "error",
        "error_detail",
        "index",
        "kernel",
        "reads",
        "slot",
        "t_end",
        "t_send",
        "turn",
        "wire",
    )

    def __init__(self, index: int, turn: Turn, slot: int, wire: bytes = b"") -> None:
        self.index, self.turn, self.slot, self.wire = index, turn, slot, wire
        self.answer = Answer()
        self.t_send = 0
        self.t_end = 0
        self.reads = 0
        self.kernel = True  # every receive stamp was the kernel's
        self.error: str | None = None
        self.error_detail = ""


def read(exchange: Exchange, ours: Callable[[int], int]) -> Generator[None, None, Record]:
    """Returns the record; pauses (`yield`) every now and then, so that whoever reads can look after streams in between.

    `ours` turns a receive stamp into CLOCK_MONOTONIC.
    """
    answer, ask, due = exchange.answer, exchange.turn.ask, exchange.turn.due_ns
    reader = chunks.Reader()
    if answer.status == 200:
        shift = _shift(answer.stamps, ours)
        for number, (stamp, data) in enumerate(sse.events(answer.pieces, answer.stamps), 1):
            if not reader.take(ours(stamp) if shift is None else stamp - shift, data):
                break
            if not number % SLICE_EVENTS:
                yield
        said = reader.finish()
        error, detail = _verdict(exchange, said)
    else:
        said = reader.finish()
        error, detail = _refusal(exchange)
    return Record(
        index=exchange.index,
        phase=ask.phase,
        slot=exchange.slot,
        asked_tokens=ask.asked_tokens,
        asked_prompt_tokens=ask.asked_prompt_tokens,
        turn=ask.turn,
        t_sched_ns=exchange.t_send if due is None else due,
        t_send_ns=exchange.t_send,
        t_hdr_ns=None if answer.t_head is None else ours(answer.t_head),
        t_end_ns=ours(exchange.t_end),
        status=answer.status,
        error=error,
        error_detail=detail,
        finish_reason=said.finish_reason,
        usage=said.usage,
        timings=said.timings,
        token_source=said.token_source,
        stamps="kernel" if exchange.kernel and exchange.reads else "user",
        bytes_in=answer.size,
        reads=exchange.reads,
        events=tuple(said.events),
    )


def _shift(stamps: Sequence[int], ours: Callable[[int], int]) -> int | None:
    """What to take from each stamp, where that is the same from the first to the last to a microsecond: it nearly always is."""
    if not stamps:
        return None
    first, last = stamps[0] - ours(stamps[0]), stamps[-1] - ours(stamps[-1])
    return first if abs(last - first) <= STILL_NS else None


def reply(exchange: Exchange) -> str | None:
    """The answer's text, without its reasoning; None when there was none, or not a whole one."""
    if exchange.error is not None or exchange.answer.status != 200:
        return None
    reader = chunks.Reader()
    for stamp, data in sse.events(exchange.answer.pieces, exchange.answer.stamps):
        if not reader.take(stamp, data):
            return None
    said = reader.finish()
    return "".join(event.text for event in said.events if event.kind == CONTENT) if said.ended else None


def _verdict(exchange: Exchange, said: chunks.Answered) -> tuple[str | None, str]:
    """(error, detail): what the server said of a failure goes before how the connection ended."""
    if said.error == "server_error" or (said.error and (said.ended or sse.ends_whole(exchange.answer.body()))):
        return said.error, said.error_detail
    if exchange.error is not None:
        return exchange.error, exchange.error_detail
    if exchange.answer.size and not said.events and not said.ended and said.error is None:
        return "bad_sse", f"no event in: {_start(exchange.answer.body())}"
    if not said.ended:
        return "truncated", "the answer ended without a finish reason or [DONE]"
    return None, ""


def _refusal(exchange: Exchange) -> tuple[str | None, str]:
    if exchange.answer.status is None or exchange.error == "interrupted":
        return exchange.error, exchange.error_detail
    return f"http_{exchange.answer.status}", _start(exchange.answer.body())


def _start(body: bytes) -> str:
    return body[: 4 * chunks.DETAIL_CHARS].decode("utf-8", "replace")[: chunks.DETAIL_CHARS]
