"""The article beside what is known, as one page of Markdown: docs/article.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.measure.verdict import DEPENDS, DIFFERS, HOLDS, NEAR, ROUNDED, SAME, UNCHECKED
from harness.report import text
from harness.schema.article import Article, Finding, Reckoning, Sum
from harness.schema.facts import Source

MARKS = {HOLDS: "✓", ROUNDED: "≈", DIFFERS: "✗", DEPENDS: "±", UNCHECKED: "?"}
UNITS = {"ratio": "to one"}
TITLES = {
    "leaderboards": "The two leaderboards",
    "top five": "The two leaderboards: its row of the five best",
    "three columns": "The three-column view",
    "this stack": "Its own system",
    "sizes": "Its own system: the choice of a size",
}
HEAD = """# The article, claim by claim

“Two Leaderboards Nobody Reads Together” ([sovgrid.org]({url}), {written})
puts quality, speed, cost and sovereignty side by side. Here is every cell of its two tables and of the list of its own system's
figures, which is the third here, and every sum of its text, beside what is listed, published or reckoned from that. Prices are those of
its day as far as the price list goes back, the rest is as known on {day}. Superscripts lead to sources.

| | verdict | means |
|---|---|---|
| {holds} | holds | within {same} of what is known, or known to be so |
| {rounded} | rounded | within {near} |
| {differs} | differs | further off, or contradicted |
| {depends} | depends on … | what is known is a range, or the claim leaves out what decides it |
| {unchecked} | cannot be checked | nothing is known here that it can be compared with |

{counts}

Written by `harness facts article` from the [facts](facts.md), the figures that recipes carry and the [cost model](cost.md); no number
of it is typed. With newer or better facts of your own the command says what becomes of the claims."""


def markdown(found: Article) -> str:
    notes = Notes(found)
    parts = [_head(found), "## The sums in short", _short(found)]
    for name, cells in found.tables.items():
        parts += [f"## {TITLES.get(name, name)}", _table(cells), _reasons(cells, notes)]
    rows = dict.fromkeys(each.claim.row for each in found.text)
    parts += ["## The sums", "\n".join(f"- {line}" for line in found.assumed)]
    parts += [*(_section([each for each in found.text if each.claim.row == row], notes) for row in rows)]
    parts += ["## Sources", notes.listed()]
    return "\n\n".join(parts)


class Notes:
    """Sources by the order in which they are named. The article is the subject, and no evidence."""

    def __init__(self, found: Article) -> None:
        cells = [each.claim for part in found.tables.values() for each in part]
        said = (source for claim in (*cells, *(each.claim for each in found.text)) for source in claim.said.sources)
        self._subject = {source.url for source in said}
        self._numbers: dict[Source, int] = {}

    def mark(self, sources: Iterable[Source]) -> str:
        wanted = dict.fromkeys(source for source in sources if source.url not in self._subject)
        return " ".join(f"[^{self._numbers.setdefault(source, len(self._numbers) + 1)}]" for source in wanted)

    def listed(self) -> str:
        return "\n".join(f"[^{number}]: {_source(source)}" for source, number in self._numbers.items())


def _source(source: Source) -> str:
    quote = f"“{source.quote}” " if source.quote else ""
    dated = f"; {source.dated}" if source.dated else ""
    return f"{quote}{source.url} ({source.kind}, {source.date}{dated})"


def _head(found: Article) -> str:
    subject = found.text[0].claim.said.sources[0]
    every = [each.verdict for part in found.tables.values() for each in part]
    own, other = (
        [one.verdict for one in sums if one] for sums in zip(*((each.own, each.found) for each in found.text), strict=True)
    )
    counts = (
        _counted("cells of its tables", every),
        _counted("sums of its text, by its own figures", own),
        _counted("claims of its text, by what is listed or published", other),
    )
    return HEAD.format(
        url=subject.url,
        written=subject.date,
        day=found.day,
        same=_percent(SAME),
        near=_percent(NEAR),
        holds=MARKS[HOLDS],
        rounded=MARKS[ROUNDED],
        differs=MARKS[DIFFERS],
        depends=MARKS[DEPENDS],
        unchecked=MARKS[UNCHECKED],
        counts="  \n".join(counts),
    )


def _counted(what: str, verdicts: Sequence[str]) -> str:
    counts = Counter(verdicts)
    return f"Of {len(verdicts)} {what}: {', '.join(f'{counts[word]} {MARKS[word]}' for word in MARKS if counts[word])}."


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _short(found: Article) -> str:
    """A row for each claim of a number that has a sum."""
    lines = ["| claim | the article | by its own figures | | as listed or published | |", "|---|--:|--:|---|--:|---|"]
    for each in found.text:
        sums = [one for one in (each.own, each.found) if one is not None and one.value is not None]
        if each.claim.value.value is not None and sums:
            claimed = f"{_number(each.claim.value.value)} {UNITS.get(each.claim.unit, each.claim.unit)}"
            own, other = (f"{_range(one)} | {_off(one)}" if one else " | " for one in (each.own, each.found))
            lines.append(f"| {each.claim.row}, {each.claim.column} | {claimed} | {own} | {other} |")
    return "\n".join(lines)


def _range(one: Sum) -> str:
    if one.low is not None and one.high is not None:
        return f"{_number(one.low)}–{_number(one.high)}"
    return _number(one.value) if one.value is not None else ""


def _off(one: Sum) -> str:
    return f"{MARKS[one.verdict]} {one.far}".rstrip() if one.verdict else ""


def _table(cells: Sequence[Finding]) -> str:
    """As the article has it, with the mark of each verdict and what is known behind it. A list has one column."""
    rows = dict.fromkeys(each.claim.row for each in cells)
    columns = dict.fromkeys(each.claim.column for each in cells)
    if _is_list(cells):
        lines = ["| | the article |", "|---|---|", *(f"| {_place(each)} | {_cell(each)} |" for each in cells)]
        return "\n".join(lines)
    by = {(each.claim.row, each.claim.column): each for each in cells}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        entries = (by.get((row, column)) for column in columns)
        lines.append(f"| {row} | {' | '.join(_cell(each) if each else '' for each in entries)} |")
    return "\n".join(lines)


def _place(each: Finding) -> str:
    return f"{each.claim.row}, {each.claim.column}"


def _cell(each: Finding) -> str:
    known = f" **{each.known}**" if each.known else ""
    return f"{each.claim.said.value} {MARKS[each.verdict]}{known}".replace("|", "\\|")


def _reasons(cells: Sequence[Finding], notes: Notes) -> str:
    """A line for each reason, with the cells of a column that it is of."""
    lines = []
    for column in [""] if _is_list(cells) else dict.fromkeys(each.claim.column for each in cells):
        inside = [each for each in cells if column in ("", each.claim.column)]
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for each in inside:
            groups.setdefault((each.verdict, each.far, each.why), []).append(each)
        for (verdict, far, why), group in groups.items():
            rows = "all" if len(group) == len(inside) else ", ".join(each.claim.row for each in group)
            marks = notes.mark(source for each in group for source in each.sources)
            lines.append(
                f"- {MARKS[verdict]} {f'**{column}**, ' if column else ''}{rows}: {_because(verdict, far, why)}{marks}"
            )
    return "\n".join(lines)


def _is_list(cells: Sequence[Finding]) -> bool:
    """One cell a row."""
    return len({each.claim.row for each in cells}) == len(cells)


def _because(verdict: str, far: str, why: str) -> str:
    return f"{verdict} {why}." if verdict == DEPENDS else f"{verdict}{f', {far}' if far else ''}: {why}."


def _section(claims: Sequence[Reckoning], notes: Notes) -> str:
    """Of one row's claims, which may be of one sentence."""
    row = claims[0].claim.row
    quotes = dict.fromkeys(each.claim.said.value or "" for each in claims)
    lines = [f"### {row[:1].upper()}{row[1:]}", "", *(f"> {quote}" for quote in quotes), ""]
    said: dict[str, None] = {}
    for each in claims:
        of = f"{each.claim.column}, " if len(claims) > 1 else ""
        said |= {f"- {_sum(one, of, notes)}": None for one in (each.own, each.found) if one is not None}
        said |= {f"- {_sum(one, '', notes)}": None for one in each.more} | {f"- {note}": None for note in each.notes}
    return "\n".join([*lines, *said])


def _sum(one: Sum, of: str, notes: Notes) -> str:
    marks = notes.mark(one.sources)
    lead = f"{MARKS[one.verdict]} " if one.verdict else ""
    what = f"{of}{one.what}".removesuffix(", ")
    said = f"{lead}{what[:1].upper()}{what[1:]}: " if what else lead
    if one.value is None:
        return f"{said}{_because(one.verdict, one.far, one.how) if one.verdict else f'{one.how}.'}{marks}"
    total = f"**{_amount(one)}**" + (f" ({_range(one)})" if one.low is not None else "")
    verdict = {"": "", DEPENDS: f": {DEPENDS} where in that range it is"}.get(one.verdict, f": {one.verdict}")
    return f"{said}{f'{one.how} = ' if one.how else ''}{total}{verdict}{f', {one.far}' if one.far else ''}.{marks}"


def _amount(one: Sum) -> str:
    return f"{_number(one.value or 0.0)} {one.unit}".rstrip()


def _number(value: float) -> str:
    """Without zeros that say nothing."""
    shown = text.number(value)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
