"""A small plan on several servers, again and again for days. Whatever stops it, it goes on where it was: the journal says what was done."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness import clock
from harness.bench import bench
from harness.errors import HarnessError, RecipeError, UsageError
from harness.measure import bill
from harness.measure.latency import timing
from harness.order import Now, Order
from harness.recipe.document import Document
from harness.schema.observation import Asked, Endpoint, Visit
from harness.spending import dollars
from harness.store import folder
from harness.store.observations import Journal
from harness.typed import converted

HINT = "it has a list of endpoints, each with a name and a url: docs/observe.md"

Ordering = Callable[[Endpoint, Asked, float | None], Order]
"""(server, file, dollars that are left of its sum) → what to measure."""


class _Silent:
    def say(self, text: str) -> None: ...
    def now(self, now: Now) -> None: ...


def read(path: Path) -> Asked:
    """Raises `RecipeError`, with the file's line where that is known."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}", HINT) from None
    try:
        found = converted(Document(text, str(path)).value, Asked, strict=False)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {error}", HINT) from None
    names = [endpoint.name for endpoint in found.endpoints]
    if not names or len(set(names)) < len(names):
        raise RecipeError(f"{path}: {'no endpoint is named' if not names else 'two endpoints have one name'}", HINT)
    for endpoint in found.endpoints:
        if endpoint.price and any(endpoint.price) and endpoint.max_usd is None:
            raise RecipeError(
                f"{path}: {endpoint.name} has a price, and no max_usd", "say what all visits together may cost: max_usd: 5"
            )
    return found


class Observation:
    """What is to be done, and how far it has come."""

    def __init__(self, asked: Asked, journal: Journal, root: Path, ordering: Ordering, every_s: float) -> None:
        if every_s < 1:
            raise UsageError("--every is shorter than a second", "write it like --every 15m")
        self.asked, self.journal, self.root, self.ordering, self.every_s = asked, journal, root, ordering, every_s
        self.visits = journal.visits()
        before = next((visit.every_s for visit in reversed(self.visits) if visit.every_s is not None), every_s)
        if before != every_s:
            raise UsageError(
                f"{journal.path}: its visits were every {before:g} s, and now every {every_s:g} s",
                f"go on with --every {before:g}s, or begin another journal: one is named after its file",
            )
        self.start = datetime.datetime.fromisoformat(self.visits[0].when) if self.visits else clock.utc_now()

    @property
    def round(self) -> int:
        """The one whose instant has come last."""
        return max(0, int((clock.utc_now() - self.start).total_seconds() // self.every_s))

    def look(self, say: Callable[[str], None]) -> None:
        """Visits every server that was not visited in this round."""
        number = self.round
        for endpoint in self.asked.endpoints:
            if not any(visit.endpoint == endpoint.name and visit.round == number for visit in self.visits):
                visit = self._visit(endpoint, number)
                self._keep(visit)
                say(_line(visit))

    def run(self, for_s: float, say: Callable[[str], None]) -> None:
        """Round by round until `for_s` seconds after the first one, which may have come already."""
        while self.round * self.every_s < for_s:
            self.look(say)
            following = self.start + datetime.timedelta(seconds=(self.round + 1) * self.every_s)
            if (following - self.start).total_seconds() >= for_s:
                return
            while (left := (following - clock.utc_now()).total_seconds()) > 0:
                clock.sleep(min(left, 60.0))

    def _visit(self, endpoint: Endpoint, number: int) -> Visit:
        when = clock.utc_now().isoformat(timespec="seconds")
        visit = Visit(endpoint=endpoint.name, round=number, when=when, every_s=self.every_s)
        try:
            order, most = self._order(endpoint)
        except HarnessError as error:
            return replace(visit, asked=False, error=error.message)
        try:
            path, result = bench(order, self.root, _Silent())
        except UsageError as error:
            return replace(visit, asked=False, error=error.message)
        except HarnessError as error:
            return replace(visit, error=error.message, usd=most)
        except (KeyboardInterrupt, SystemExit):
            self._keep(replace(visit, asked=False, error="interrupted", usd=most))
            raise
        records = [record for trial in folder.read(path).records.values() for record in trial if record.phase == "measure"]
        whole = [record for record in records if record.error is None]
        timings = [timing(record) for record in whole]
        return replace(
            visit,
            result=result.id,
            sent=len(records),
            answered=len(whole),
            errors=Counter(record.error for record in records if record.error is not None),
            ttft_ms=tuple(round(each.ttft_ns / 1e6, 3) for each in timings if each.ttft_ns is not None),
            e2e_ms=tuple(round(each.e2e_ns / 1e6, 3) for each in timings if each.e2e_ns is not None),
            decode_tok_s=tuple(round(each.decode_tok_s, 3) for each in timings if each.decode_tok_s is not None),
            usd=result.spent.usd if result.spent else None,
        )

    def _order(self, endpoint: Endpoint) -> tuple[Order, float | None]:
        """With the most that the visit can cost. Raises `UsageError` where that is more than is left: it is made whole, or not at all."""
        left = None if endpoint.max_usd is None else endpoint.max_usd - self._spent(endpoint)
        order = self.ordering(endpoint, self.asked, left)
        most = None if order.rates is None else bill.of_workload(order.plan().workload).usd(order.rates)
        if left is not None and most is not None and most > left:
            raise UsageError(
                f"a visit may cost {dollars(most)}, and of max_usd {endpoint.max_usd:g} ${left:.4f} are left",
                "agree to more, or observe less",
            )
        return order, most

    def _keep(self, visit: Visit) -> None:
        self.journal.add(visit)
        self.visits.append(visit)

    def _spent(self, endpoint: Endpoint) -> float:
        return sum(visit.usd or 0.0 for visit in self.visits if visit.endpoint == endpoint.name)


def _line(visit: Visit) -> str:
    if visit.error:
        return f"{visit.when}  {visit.endpoint}: {visit.error}"
    middle = sorted(visit.ttft_ms)[len(visit.ttft_ms) // 2] if visit.ttft_ms else None
    said = "no answer" if middle is None else f"TTFT {middle:.0f} ms"
    wrong = "".join(f", {count} {code}" for code, count in sorted(visit.errors.items()))
    cost = "" if visit.usd is None else f", ${visit.usd:.4f}"
    return f"{visit.when}  {visit.endpoint}: {visit.answered} of {visit.sent} answered, {said}{wrong}{cost}"


def duration_s(text: str) -> float:
    """Seconds of `90s`, `15m`, `2h`, `7d`. Raises `UsageError`."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    try:
        found = float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError):
        found = math.nan
    if not 0 < found < math.inf:
        raise UsageError(f"'{text}' is not a duration", "write it like 90s, 15m, 2h or 7d")
    return found
