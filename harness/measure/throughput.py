"""Rates of one run: of its requests one by one, and of the whole system over the full run and over the steady window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

from harness.measure.runs import Request, Run
from harness.measure.windows import Window
from harness.schema.request import Record
from harness.units import NS_PER_S


def decode_tok_s(run: Run) -> float | None:
    """Σ(N-k1) / Σ(t_last-t_any) over the requests that count: a slow request weighs by the time it took."""
    known = [r.timing for r in run.valid if r.timing.decode_tok_s is not None]
    return _rate(
        sum((timing.tokens or 0) - (timing.k1 or 0) for timing in known), sum(timing.decode_ns or 0 for timing in known)
    )


def decode_tok_s_n1(run: Run) -> float | None:
    """The same with N-1."""
    known = [r.timing for r in run.valid if r.timing.decode_tok_s_n1 is not None]
    return _rate(sum((timing.tokens or 0) - 1 for timing in known), sum(timing.decode_ns or 0 for timing in known))


def prefill_tok_s(run: Run) -> float | None:
    """Σ(prompt tokens not cached) / Σ(TTFT-rtt) over the requests that count."""
    known = [r.timing for r in run.valid if r.timing.prefill_tok_s is not None]
    return _rate(sum(timing.prefill_tokens or 0 for timing in known), sum(timing.prefill_ns or 0 for timing in known))


def full_windows(run: Run) -> list[Window]:
    """From the first measured send to the last measured end, failed requests included; one window for each round."""
    rounds = [[request.record for request in requests if request.measured] for requests in _rounds(run)]
    return [Window(min(r.t_send_ns for r in records), max(r.t_end_ns for r in records)) for records in rounds if records]


def steady_windows(run: Run, concurrency: int | None) -> list[Window]:
    """From the first measured send to the moment when in-flight falls below `concurrency` for good; one window for each round.
    In open loop (`concurrency` None) to the last send.

    Only requests that count are in flight here, warm-up among them since it hands over without draining: a failed request
    neither widens nor moves the window. A round in which the slots were never all busy has none, nor has one of fewer measured requests
    than slots: the warm-up alone fills these, and its last answers may end within microseconds of the first measured send.
    """
    found = (_steady(requests, concurrency) for requests in _rounds(run))
    return [window for window in found if window is not None]


def steady_tok_s(run: Run, concurrency: int | None) -> float | None:
    """Tokens per second that arrived in the steady windows, from requests that count."""
    if run.steady_tokens is None:
        return None
    return _rate(run.steady_tokens, _length_ns(steady_windows(run, concurrency)))


def steady_tokens(run: Run, sound: Sequence[Record], concurrency: int | None) -> int | None:
    """Of `sound`, the records that count, with their events: the tokens that arrived in the steady windows.

    Events are counted where they carry counts. Where they do not, the answers that ended in the windows count whole: what is cut
    off at an end came in at a start. Not so where rounds of requests begin with empty slots: then it is None.
    """
    windows = steady_windows(run, concurrency)
    if not counted_by_event(run):
        if any(request.record.phase == "prime" for request in run.requests):
            return None
        return sum(r.timing.tokens or 0 for r in run.requests if r.excluded is None and _within(windows, r.record.t_end_ns))
    events = chain.from_iterable(record.events for record in sound)
    if len(windows) == 1:  # nearly always
        start, end = windows[0].start_ns, windows[0].end_ns
        return sum(event.tokens for event in events if event.tokens and start < event.t_ns <= end)
    return sum(event.tokens for event in events if event.tokens and _within(windows, event.t_ns))


def counted_by_event(run: Run) -> bool:
    """Whether the events of every request that counts account for all its tokens."""
    return all(r.timing.event_tokens == r.timing.tokens for r in run.requests if r.excluded is None)


def full_tok_s(run: Run) -> float | None:
    """Tokens of the measured requests that count, per second of the full run."""
    return _rate(sum(request.timing.tokens or 0 for request in run.valid), _length_ns(full_windows(run)))


def requests_s(run: Run) -> float | None:
    """Measured requests that count, per second of the full run."""
    return _rate(len(run.valid), _length_ns(full_windows(run)))


NEVER_SENT = ("connect", "unanswered")
"""Errors of requests that did not leave, whatever the reason."""


def offered_s(run: Run) -> float | None:
    """Measured requests per second by the schedule, of those that left."""
    return _per_second([request.record.t_sched_ns for request in run.measured if request.record.error not in NEVER_SENT])


def sent_s(run: Run) -> float | None:
    """The same requests per second as they were sent."""
    return _per_second([request.record.t_send_ns for request in run.measured if request.record.error not in NEVER_SENT])


def peak_in_flight(run: Run) -> int:
    """The most requests that were in flight at once, priming left out."""
    records = [request.record for request in run.requests if request.record.phase != "prime"]
    steps = sorted(step for record in records for step in ((record.t_send_ns, 1), (record.t_end_ns, -1)))
    return max(accumulate(step for _, step in steps), default=0)


def full_ns(run: Run) -> int:
    return _length_ns(full_windows(run))


def mean_in_flight(run: Run) -> float | None:
    """The time integral of requests in flight over the full run, divided by its length: the concurrency that was achieved."""
    windows = full_windows(run)
    length = _length_ns(windows)
    return sum(_overlap_ns(request, window) for request in run.requests for window in windows) / length if length else None


def in_steady_window(run: Run, concurrency: int | None) -> Sequence[Request]:
    """The measured requests that count and ended in the steady windows, in the order of sending."""
    windows = steady_windows(run, concurrency)
    return [request for request in run.valid if _within(windows, request.record.t_end_ns)]


def _rounds(run: Run) -> list[list[Request]]:
    """The requests between one priming of the prefix cache and the next; without priming, all of them."""
    rounds: list[list[Request]] = [[]]
    for request in run.requests:
        if request.record.phase != "prime":
            rounds[-1].append(request)
        elif rounds[-1]:
            rounds.append([])
    return rounds


def _steady(requests: Sequence[Request], concurrency: int | None) -> Window | None:
    sound = [request for request in requests if request.excluded is None]
    sends = [request.record.t_send_ns for request in sound if request.measured]
    start = min(sends, default=None)
    if concurrency is None:
        return Window(min(sends), max(sends)) if len(sends) > 1 else None
    if len(sends) < concurrency:
        return None
    steps = sorted(step for r in sound for step in ((r.record.t_send_ns, 1), (r.record.t_end_ns, -1)))
    in_flight, end = 0, None
    for t_ns, step in steps:
        if step < 0 and in_flight >= concurrency:
            end = t_ns
        in_flight += step
    return Window(start, end) if start is not None and end is not None and end > start else None


def _per_second(instants: Sequence[int]) -> float | None:
    return _rate(len(instants) - 1, max(instants) - min(instants)) if len(instants) > 1 else None


def _within(windows: Sequence[Window], t_ns: int) -> bool:
    return any(window.holds(t_ns) for window in windows)


def _length_ns(windows: Sequence[Window]) -> int:
    return sum(window.end_ns - window.start_ns for window in windows)


def _rate(count: int, spent_ns: int) -> float | None:
    return count * NS_PER_S / spent_ns if spent_ns > 0 else None


def _overlap_ns(request: Request, window: Window) -> int:
    record = request.record
    return max(0, min(record.t_end_ns, window.end_ns) - max(record.t_send_ns, window.start_ns))
