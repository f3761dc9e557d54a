"""The money of a run: how much it may cost, and whether the next trial could pass that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
        self.beside: Callable[[], Bill] = Bill
        """What was asked of the server besides jobs."""

    def allows(self, job: Job) -> bool:
        """Whether the job cannot pass the cap, with the questions and canaries that come after it."""
        if self._rates is None:
            return True
        beside = max(self.beside().usd(self._rates), bill.BESIDE.usd(self._rates))
        return (self._spent + bill.of_job(job)).usd(self._rates) + beside <= self._cap

    def add(self, records: Sequence[Record], job: Job) -> None:
        if self._rates is not None:
            self._spent += bill.of_records(records, job)

    def spent(self) -> Spent | None:
        if self._rates is None:
            return None
        whole = self._spent + self.beside()
        return Spent(usd=whole.usd(self._rates), bill=whole, rates=self._rates, cap_usd=self._cap)


def require(url: str | None, rates: Rates | None, cap_usd: float | None, work: Workload) -> None:
    """Raises `UsageError` for a server that may charge, unless its price is known and somebody agreed to a sum."""
    if url is None or not url.startswith("https://"):
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
            f"--max-usd {cap_usd:g}: the questions before a run alone may cost ${least:.2f}",
            "agree to more, or measure elsewhere",
        )
    if cap_usd is None and worst.usd(rates) > 0:
        raise UsageError(
            f"--url {url}: this run may cost up to ${worst.usd(rates):,.2f} ({said(worst, rates)})",
            f"agree to a sum with --max-usd {worst.usd(rates):.2f}; a smaller one ends the run before it is passed",
        )


def said(worst: Bill, rates: Rates) -> str:
    return (
        f"at most {worst.requests:,} requests with {worst.input_tokens:,} tokens in at ${rates.usd_mtok_in:g} and "
        f"{worst.output_tokens:,} out at ${rates.usd_mtok_out:g} a million, by {rates.source}"
    )
