"""Engines' counters from their Prometheus pages, under our names."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import EngineError

HINT = "open the server's metrics page in a browser: it should be Prometheus text"


def totals(page: str) -> dict[str, float]:
    """Every sample of the page by name, summed over its labels (of a gauge the mean); buckets and creation times left out.

    Raises `EngineError` when the page is not Prometheus text.
    """
    from prometheus_client.parser import text_string_to_metric_families  # 0.1 s, which `harness plan` need not pay

    sums: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(page):
            among = len(family.samples) if family.type == "gauge" else 1
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_created")):
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value / among
    except (ValueError, KeyError, IndexError) as error:  # what the parser raises on lines it cannot read
        raise EngineError(f"the server's metrics page cannot be read: {error}", HINT) from error
    return sums


def renamed(sums: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """`names` maps ours to theirs; what the page lacks is left out."""
    return {ours: sums[theirs] for ours, theirs in names.items() if theirs in sums}
