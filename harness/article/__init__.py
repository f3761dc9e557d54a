"""The article's claims, each beside what is listed, published or reckoned: joins facts, prices, recipes' published figures and the cost
model. Nothing here is typed that a fact or a formula has."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from harness.article import cells, sums
from harness.article.premises import Premises
from harness.schema.article import Article, Finding
from harness.schema.facts import Facts
from harness.schema.recipe import Recipe


def article(facts: Facts, recipes: Mapping[str, Recipe], day: datetime.date) -> Article:
    """`recipes` by name, for what was published of them; `day`: whose prices count."""
    known = Premises(facts, recipes, day)
    tables: dict[str, list[Finding]] = {}
    for claim in facts.claims:
        if claim.table != sums.TEXT:
            tables.setdefault(claim.table, []).append(cells.finding(known, claim))
    return Article(
        tables={name: tuple(found) for name, found in tables.items()},
        text=tuple(sums.reckoning(known, claim) for claim in facts.claims if claim.table == sums.TEXT),
        day=day,
        assumed=known.assumed(),
    )
