"""The money of a run: how much it may cost, and whether the next trial could pass that."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from harness.errors import UsageError
from harness.measure import bill
from harness.schema.bill import Bill, Rates, Spent
from harness.schema.job import Job
from harness.schema.request import Record
from harness.schema.workload import Workload


class Meter:
    """Without rates nothing is counted, and everything is allowed."""

    def __init__(self, rates: Rates | None, cap_usd: float | None) -> None:
        self._rates, self._cap = rates, cap_usd if cap_usd is not None else 0.0
        self._spent = Bill()
        self._sent = Bill()
        """The most that a trial can cost which has begun and of which nothing is known yet."""
        self.beside: Callable[[], Bill] = Bill
        """What was asked of the server besides jobs."""

    def allows(self, job: Job) -> bool:
        """Whether the job cannot pass the cap, with the questions and canaries that come after it."""
        if self._rates is None:
            return True
        beside = max(self.beside().usd(self._rates), bill.BESIDE.usd(self._rates))
        return (self._spent + bill.of_job(job)).usd(self._rates) + beside <= self._cap

    def begin(self, job: Job) -> None:
        if self._rates is not None:
            self._sent = bill.of_job(job)

    def add(self, records: Sequence[Record], job: Job) -> None:
        if self._rates is not None:
            self._spent, self._sent = self._spent + bill.of_records(records, job), Bill()

    def spent(self) -> Spent | None:
        if self._rates is None:
            return None
        whole = self._spent + self._sent + self.beside()
        return Spent(usd=whole.usd(self._rates), bill=whole, rates=self._rates, cap_usd=self._cap)


def may_charge(url: str) -> bool:
    try:
        return urlsplit(url).scheme == "https"  # as those who send read it: HTTPS:// is one too
    except ValueError:
        return False  # no plan is made of it


def require(url: str | None, rates: Rates | None, cap_usd: float | None, work: Workload) -> None:
    """Raises `UsageError` for a server that may charge, unless its price is known and somebody agreed to a sum. One that is said to charge,
    or for which a sum was named, may."""
    if url is None or (rates is None and cap_usd is None and not may_charge(url)):
        return
    if rates is None:
        raise UsageError(
            f"--url {url}: what it charges is not known",
            "say it in dollars per million tokens, --price INPUT,OUTPUT (0,0 where nothing is charged)",
        )
    longest = max((cell.context_tokens for cell in work.cells), default=0)
    if rates.up_to_tokens is not None and longest > rates.up_to_tokens:
        raise UsageError(
            f"--url {url}: requests of {longest:,} tokens are listed at another price than those up to {rates.up_to_tokens:,}",
            "measure shorter ones (--depth, --pp), or say the price: --price INPUT,OUTPUT",
        )
    worst, least = bill.of_workload(work), bill.BESIDE.usd(rates)
    if cap_usd is not None and cap_usd < least:
        raise UsageError(
            f"--max-usd {cap_usd:g}: the questions before a run alone may cost {dollars(least)}",
            "agree to more, or measure elsewhere",
        )
    if cap_usd is None and worst.usd(rates) > 0:
        raise UsageError(
            f"--url {url}: this run may cost up to {dollars(worst.usd(rates))} ({said(worst, rates)})",
            f"agree to a sum with --max-usd {_cents(worst.usd(rates)):.2f}; a smaller one ends the run before it is passed",
        )


def dollars(usd: float) -> str:
    """To the cent, never less than it is."""
    return f"${_cents(usd):,.2f}"


def _cents(usd: float) -> float:
    return math.ceil(usd * 100 - 1e-9) / 100


def said(worst: Bill, rates: Rates) -> str:
    return (
        f"at most {worst.requests:,} requests with {worst.input_tokens:,} tokens in at ${rates.usd_mtok_in:g} and "
        f"{worst.output_tokens:,} out at ${rates.usd_mtok_out:g} a million, by {rates.source}"
    )
