"""What the paced server says, and when: a completion request in, its answer out as timed pieces. Pure.

The first token event is due at received + ttft, each further one a `tokens_per_event` · tpot later. Behaviours change that answer one by
one, and can be combined.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.engines.paced import segments
from harness.engines.paced.behaviours import MS, Asked, Pace, Send
from harness.engines.paced.text import ARGUMENTS, CONTENT, ERRORS, NAME, REASONING, Text, spoken, usage

_BREAKS = ("error", "error_object", "garbage", "cut", "hangup", "reset")


def answer(ask: Asked, pace: Pace, received_ns: int) -> Iterator[Send]:
    """The streamed answer, made piece by piece as it is sent; without HTTP's framing."""
    sends = _events(ask, pace, received_ns)
    if pace.behave.get("merge", 0) > 1:
        sends = segments.merged(sends, pace.behave["merge"])
    if "split" in pace.behave:
        sends = segments.split(sends)
    return sends


def whole(ask: Asked, pace: Pace, received_ns: int) -> Send:
    """The answer in one piece, when its last token would have come."""
    tokens = _length(ask, pace)
    text = spoken(pace.says, ask.prompt, tokens)
    part = {"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}
    choice = {"index": 0, "finish_reason": _finish(ask, pace, tokens), **part}
    body = {"model": ask.model, "choices": [choice], "usage": usage(ask, pace, tokens)}
    due = received_ns + pace.ttft_ns + (tokens - 1) // pace.tokens_per_event * pace.tokens_per_event * pace.tpot_ns
    return Send(due, msgspec.json.encode(body), tokens, 1, content=True, end=True)


def _length(ask: Asked, pace: Pace) -> int:
    ends = [pace.behave["stop_early"]] if "stop_early" in pace.behave else []
    if "eos" in pace.behave and not ask.endless:
        ends.append(pace.behave["eos"])
    return min([ask.limit + pace.behave.get("wrong_length", 0), *ends])


def _finish(ask: Asked, pace: Pace, tokens: int) -> str:
    if "finish_tools" in pace.behave:
        return "tool_calls"
    full = tokens == ask.limit or "wrong_length" in pace.behave
    return "length" if full and "finish_stop" not in pace.behave else "stop"


def _events(ask: Asked, pace: Pace, received_ns: int) -> Iterator[Send]:
    behave, k, total = pace.behave, pace.tokens_per_event, _length(ask, pace)
    text, late, finish = Text(ask, pace), "late_finish" in behave, _finish(ask, pace, total)
    reasoning, joined = behave.get("reasoning", 0), "joined_role" in behave
    tools = max(behave.get("tools", total), reasoning)
    muted, unmuted = behave.get("mute_first", 0), total - behave.get("mute_last", 0)
    breaks = [(behave[name], name) for name in _BREAKS if name in behave]
    due, done = received_ns + pace.ttft_ns, 0
    yield from _opening(ask, pace, text, received_ns)
    while done < total:
        if "stall" in behave and done == 4 * k:
            due += behave["stall"] * MS
        step = min(k if done else behave.get("first", k), total - done)
        kind = CONTENT
        if done < reasoning:
            kind, step = REASONING, min(step, reasoning - done)
        elif done >= tools:
            kind = NAME if done == tools else ARGUMENTS
        else:
            step = min(step, tools - done)
        mute = not muted <= done < unmuted
        ends = finish if done + step == total and not late else None
        data = text.tokens(done, step, ends, kind, mute=mute) if done or not joined else text.joined(step, ends, kind)
        yield Send(due, data, step, 1, kind is CONTENT and not mute, mute and not text.ids)
        done += step
        if "empty" in behave:
            yield Send(due, text.nothing(done, None))
        if breaks and done >= breaks[0][0]:
            yield from _broken(breaks[0][1], due, text, done)
            return
        if done < total:
            due += k * pace.tpot_ns
    if late:
        yield Send(due, text.nothing(total, finish))
    due += behave.get("late_usage", 0) * MS
    if behave.keys().isdisjoint(("no_usage", "no_final", "finish_usage")):
        yield Send(due, text.last_usage(total))
    yield Send(due, b"" if "no_done" in behave else text.event("[DONE]"), end=True)


def _opening(ask: Asked, pace: Pace, text: Text, received_ns: int) -> list[Send]:
    """What comes before the first token, in its order."""
    behave, found = pace.behave, []
    if "keep_alive" in behave:
        every = range(behave["keep_alive"] * MS, pace.ttft_ns, behave["keep_alive"] * MS)
        found = [Send(received_ns + after, text.comment(), event=False) for after in every]
    if ask.chat and "joined_role" not in behave:
        after = behave["early_role"] * MS if "early_role" in behave else pace.ttft_ns
        found.append(Send(received_ns + after, text.role()))
    if "early_empty" in behave:
        found.append(Send(received_ns + behave["early_empty"] * MS, text.nothing(0, None)))
    return sorted(found, key=lambda send: send.due_ns) if len(found) > 1 else found


def _broken(how: str, due: int, text: Text, done: int) -> Iterator[Send]:
    later = due + MS  # when what was sent before has been read
    if how == "hangup":
        yield Send(due, text.tokens(done, 1, None, CONTENT)[:-40], event=False)
    if how in ("reset", "hangup"):
        yield Send(later, b"", event=False, broken=how)
    else:
        yield Send(due, text.event(ERRORS[how]) if how in ERRORS else b"", end=True)
