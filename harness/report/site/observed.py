"""The page of an observation: servers that were visited for days."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from harness.measure import observation
from harness.report import observation as words
from harness.report.site import days, page
from harness.report.site.pages import age
from harness.schema.observation import Visit
from harness.schema.result import Summary

MOST_TROUBLES = 300
"""A page stays below 2 MB."""
OBSERVED = {
    ("ttft_ms", 50): ("TTFT p50", "ms"),
    ("ttft_ms", 99): ("TTFT p99", "ms"),
    ("e2e_ms", 50): ("call p50", "ms"),
    ("e2e_ms", 99): ("call p99", "ms"),
    ("decode_tok_s", 50): ("decode p50", "tok/s, one stream"),
}
"""(field, percentile) → header and unit."""


def page_of(name: str, visits: Sequence[Visit], results: Mapping[str, Summary], day: datetime.date) -> str:
    """`results`: those that have a page, by id."""
    at, own = observation.instants(visits), observation.by_server(visits)
    troubles = observation.troubles(visits)
    kept, parts = _parts(own, at)
    servers = []
    for seen in observation.seen(visits):
        last = next((visit.result for visit in reversed(own[seen.endpoint]) if visit.result), "")
        figures = (seen.ttft_p50, seen.ttft_p99, seen.e2e_p50, seen.e2e_p99, seen.decode_p50)
        servers.append((seen, [words.ms(one) for one in figures], results.get(last), last))
    return page.render(
        "observation.html",
        up="../",
        name=name,
        visits=visits,
        results=results,
        servers=servers,
        pictures=days.pictures(visits),
        troubles=troubles[:MOST_TROUBLES],
        more=max(0, len(troubles) - MOST_TROUBLES),
        heads=OBSERVED.values(),
        kept=[OBSERVED[one] for one in kept],
        parts=parts,
        share=words.share,
        counted=words.counted,
        **_when(at, visits, day),
    )


def _when(at: Sequence[float], visits: Sequence[Visit], day: datetime.date) -> dict[str, str]:
    if not visits:
        return {}
    last = datetime.datetime.fromisoformat(visits[-1].when).astimezone(datetime.UTC)
    return {"from": words.minute(at[0]), "to": f"{last:%Y-%m-%d %H:%M}", "age": age(last.date(), day)}


def _parts(own: Mapping[str, Sequence[Visit]], at: Sequence[float]) -> tuple[list[tuple[str, int]], list[dict[str, object]]]:
    """(which figures are known of any part, rows): part by part, and in each of them server by server."""
    size = observation.equal_parts(at, words.PARTS)
    each = {name: observation.parts(visits, at, size) for name, visits in own.items()}
    found = {
        (name, number, figure): part.percentile(*figure)
        for name, parts in each.items()
        for number, part in enumerate(parts)
        for figure in OBSERVED
    }
    kept = [one for one in OBSERVED if any(figure == one and value.value is not None for (*_, figure), value in found.items())]
    spent = dict.fromkeys(own, 0.0)
    rows: list[dict[str, object]] = []
    for number in range(len(next(iter(each.values()), []))):
        for name, parts in each.items():
            part = parts[number]
            spent[name] += sum(visit.usd or 0.0 for visit in part.visits)
            rows.append(
                {
                    "start": words.minute(part.start),
                    "server": name,
                    "missed": part.missed,
                    "answered": words.share(part.share) if part.visits else "–",
                    "figures": [words.ms(found[name, number, one]) if part.visits else "–" for one in kept],
                    "spent": "–" if all(visit.usd is None for visit in own[name]) else f"{spent[name]:.4f}",
                    "happened": words.happened(part),
                }
            )
    return kept, rows
