"""What stands beside the speed of a system of one's own: what it costs, and on whose terms it runs."""

from __future__ import annotations

import datetime

from harness.board import costs, terms
from harness.board.costs import Sums
from harness.measure import egress
from harness.schema.board import Entry
from harness.schema.cost import Assumed, Local
from harness.schema.facts import Facts
from harness.schema.result import Point, Summary

BY_FACTS = Assumed()
UNLISTED = dict.fromkeys(
    ("usd_mtok_in", "usd_mtok_out"), Entry(unit="$/M", why="nobody asks a price: it runs on a machine of one's own")
)


class Own:
    def __init__(self, facts: Facts, day: datetime.date, assumed: Assumed = BY_FACTS, *, seat: str | None = None) -> None:
        """`seat`: the country of the machines and their owner, which only who owns them can say. Raises `UsageError` for a country without
        a price of electricity."""
        self.sums = Sums(facts, day, assumed)
        self.note = costs.assumptions(assumed, facts, day)
        self._facts, self._day, self._seat = facts, day, seat

    def of_measured(self, summary: Summary, load: tuple[Summary, Point] | str) -> dict[str, Entry]:
        """`summary`: of the result whose connections count. `load`: the cell under load, or why there is none."""
        if summary.server:
            return {"leaves_desk": egress.entry(summary)}
        paid = costs.unknown(load) if isinstance(load, str) else self.sums.of_cell(*load)
        return UNLISTED | paid | terms.of_run(summary, self._facts, seat=self._seat, day=self._day)

    def of_published(self, paid: tuple[Local, float, float] | None, why: str, model: str) -> dict[str, Entry]:
        """`paid`: what was published of one load: the system and the tokens of a request, in and out; None: `why`."""
        if paid is None:
            return UNLISTED | costs.unknown(why) | terms.of_published()
        local, prompt, answer = paid
        return UNLISTED | self.sums.of(local, (prompt, answer, 0.0), model) | terms.of_published()
