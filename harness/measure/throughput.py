"""Rates of one run: of its requests one by one, and of the whole system over the full run and over the steady window."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.measure.runs import Request, Run
from harness.units import NS_PER_S, seconds


class Window(msgspec.Struct, frozen=True):
    """Half open: what happens at its start is outside, what happens at its end inside."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return seconds(self.end_ns - self.start_ns)

    def holds(self, t_ns: int) -> bool:
        return self.start_ns < t_ns <= self.end_ns


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


def full_window(run: Run) -> Window | None:
    """From the first measured send to the last measured end, failed requests included."""
    measured = [request.record for request in run.measured]
    if not measured:
        return None
    return Window(min(record.t_send_ns for record in measured), max(record.t_end_ns for record in measured))


def steady_window(run: Run, concurrency: int) -> Window | None:
    """From the first measured send to the moment when in-flight falls below `concurrency` for good.

    Only requests that count are in flight here, warm-up among them since it hands over without draining: a failed request
    neither widens nor moves the window. None when all slots were never busy at once.
    """
    sound = [request.record for request in run.requests if _counts(request)]
    starts = [request.record.t_send_ns for request in run.valid]
    if not starts:
        return None
    steps = sorted([(record.t_send_ns, 1) for record in sound] + [(record.t_end_ns, -1) for record in sound])
    in_flight, end = 0, None
    for t_ns, step in steps:
        if step < 0 and in_flight >= concurrency:
            end = t_ns
        in_flight += step
    start = min(starts)
    return Window(start, end) if end is not None and end > start else None


def steady_tok_s(run: Run, concurrency: int) -> float | None:
    """Tokens per second that arrived in the steady window, from requests that count.

    Events are counted where they carry counts. Where they do not, the answers that ended in the window count whole: what is cut
    off at its end came in at its start.
    """
    window = steady_window(run, concurrency)
    if window is None:
        return None
    sound = [request for request in run.requests if _counts(request)]
    if counted_by_event(run):
        tokens = sum(event.tokens or 0 for request in sound for event in request.record.events if window.holds(event.t_ns))
    else:
        tokens = sum(request.timing.tokens or 0 for request in sound if window.holds(request.record.t_end_ns))
    return tokens / window.seconds


def counted_by_event(run: Run) -> bool:
    """Whether the events of every request that counts account for all its tokens."""
    return all(
        sum(event.tokens or 0 for event in request.record.events) == request.timing.tokens
        for request in run.requests
        if _counts(request)
    )


def full_tok_s(run: Run) -> float | None:
    """Tokens of the measured requests that count, per second of the full run."""
    window = full_window(run)
    if window is None or window.seconds <= 0:
        return None
    return sum(request.timing.tokens or 0 for request in run.valid) / window.seconds


def requests_s(run: Run) -> float | None:
    """Measured requests that count, per second of the full run."""
    window = full_window(run)
    return len(run.valid) / window.seconds if window is not None and window.seconds > 0 else None


def mean_in_flight(run: Run) -> float | None:
    """The time integral of requests in flight over the full run, divided by its length: the concurrency that was achieved."""
    window = full_window(run)
    if window is None or window.seconds <= 0:
        return None
    return sum(_overlap_ns(request, window) for request in run.requests) / (window.end_ns - window.start_ns)


def in_steady_window(run: Run, concurrency: int) -> Sequence[Request]:
    """The measured requests that count and ended in the steady window, in the order of sending."""
    window = steady_window(run, concurrency)
    return [request for request in run.valid if window is not None and window.holds(request.record.t_end_ns)]


def _rate(tokens: int, spent_ns: int) -> float | None:
    return tokens * NS_PER_S / spent_ns if spent_ns > 0 else None


def _counts(request: Request) -> bool:
    return request.excluded is None and request.record.phase != "prime"


def _overlap_ns(request: Request, window: Window) -> int:
    record = request.record
    return max(0, min(record.t_end_ns, window.end_ns) - max(record.t_send_ns, window.start_ns))
