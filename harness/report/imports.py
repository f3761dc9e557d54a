"""What was taken of an imported file, and what was not."""

from __future__ import annotations

from collections.abc import Iterator

from harness.measure.metrics import METRICS
from harness.report import text
from harness.schema.foreign import Imported, Taken
from harness.schema.result import Reading


def one(about: Imported, taken: Taken, *, width: int) -> str:
    return "\n".join(
        text.wrapped(line, width=width, indent="" if not place else "  ") for place, line in enumerate(_lines(about, taken))
    )


def _lines(about: Imported, taken: Taken) -> Iterator[str]:
    yield f"{about.name}: {taken.model} by {taken.program}, {taken.date}: imported, not verifiable: raw data are missing"
    missing: dict[str, dict[str, None]] = {}
    for point in taken.points:
        known = [f"{name} {_shown(name, found)}" for name, found in point.figures.items() if found.value is not None]
        yield f"{point.shape}: {', '.join(known) or 'no figure'}"
        for name, found in point.figures.items():
            if found.value is None:
                why = "too few requests in one or more of them" if found.reason.startswith("needs ") else found.reason
                missing.setdefault(why, {})[name] = None
    yield from (f"no {', '.join(names)}: {why}" for why, names in missing.items())
    yield from filter(None, [taken.caveat])
    yield from (f"left out: {name}: {why}" for name, why in taken.left_out.items())
    yield f"SHA-256 {about.sha256}; kept as it came"


def _shown(name: str, found: Reading) -> str:
    assert found.value is not None
    half = None if found.low is None or found.high is None else (found.high - found.low) / 2
    return f"{text.number(found.value, half or None)} {METRICS[name].unit}"
