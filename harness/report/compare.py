"""What `harness compare` prints: two systems figure by figure, the word that may be said of it, and what is not the same in them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import text
from harness.schema.contrast import FASTER, SLOWER, Contrast, Contrasts

STYLES = {FASTER: "green", SLOWER: "red"}
LEGEND = (
    "ratio: B by A, with its 95 % interval. faster, slower, higher, lower: said of B where that interval leaves 1 out, and the "
    "blocks' permutation says so too (p at most 0.05). within ±3 %: the 90 % interval lies in it. docs/reproduce.md explains it."
)


def render(found: Contrasts, *, width: int, color: bool) -> str:
    return "\n\n".join(_parts(found, width, color))


def _parts(found: Contrasts, width: int, color: bool) -> Iterator[str]:
    yield text.wrapped(f"A  {found.one}", width=width) + "\n" + text.wrapped(f"B  {found.two}", width=width)
    columns: list[text.Column] = [
        ("figure", "left"), ("unit", "left"), ("A", "right"), ("B", "right"), ("ratio", "right"), ("p", "right"), ("B is", "left"),
    ]  # fmt: skip
    groups: dict[str, list[Contrast]] = {}
    for each in found.contrasts:
        groups.setdefault(each.cell, []).append(each)
    rows = []
    for cell, contrasts in groups.items():
        rows.append([cell, *[""] * (len(columns) - 1)])
        rows += [_row(each, color) for each in contrasts]
    if rows:
        yield text.table(columns, rows, width=width, color=color)
    for head, lines in (
        ("Not compared", found.left_out),
        (
            "Not the same in A and B",
            [f"{each.what}: {each.then or 'not there'} → {each.now or 'not there'}" for each in found.differences],
        ),
        ("To be known of it", found.notes),
    ):
        if lines:
            yield "\n".join([head, *(text.wrapped(line, width=width, indent="  ") for line in lines)])
    how = f"measured in {found.blocks} blocks of four" if found.blocks else "read"
    facts = [f"Results {', '.join(found.results)}, {how}", LEGEND]
    yield "\n".join(text.wrapped(fact, width=width) for fact in facts)


def _row(each: Contrast, color: bool) -> list[str]:
    ratio = f"{each.ratio:.3f}" + (
        f" ({each.low:.3f} to {each.high:.3f})" if each.low is not None and each.high is not None else ""
    )
    word = f"[{STYLES[each.word]}]{each.word}[/]" if color and each.word in STYLES else each.word
    p = "" if each.p is None else f"{each.p:.3f}"
    return [f"  {each.metric}", each.unit, text.number(each.one), text.number(each.two), ratio, p, word]
