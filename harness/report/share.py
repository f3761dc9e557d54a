"""What somebody sees before they agree to send something, and of what was sent. Whatever is not printable is written out: a preview
must not be steered by what it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.errors import one_line
from harness.report import text
from harness.schema.bundle import Entry
from harness.schema.consent import Audience, Receipt
from harness.schema.result import Result

LABEL = 12


def summary(
    audience: Audience,
    files: dict[str, Entry],
    inside: dict[str, Entry],
    result: Result | None,
    *,
    submission: str,
    sha256: str,
    width: int,
) -> str:
    """`inside`: what is in archives among the files; `result`: what is in them, as it would leave."""
    size = sum(entry.bytes for entry in files.values())
    rows = [
        ("To", audience.to),
        ("Seen by", audience.seen_by),
        ("Terms", audience.terms),
        ("Taken back", audience.withdrawal),
        ("What", f"{_count(len(files), 'file')}, {size:,} bytes"),
        *(("", f"{name}, {entry.bytes:,} bytes, SHA-256 {entry.sha256}") for name, entry in files.items()),
        *(("Inside" if not at else "", f"{name}, {entry.bytes:,} bytes") for at, (name, entry) in enumerate(inside.items())),
        *(_about(result) if result else ()),
        ("Submission", submission),
        ("SHA-256", sha256),
    ]
    return "\n".join(["This would leave:", "", *(_row(label, value, width) for label, value in rows)])


def _about(result: Result) -> Iterator[tuple[str, str]]:
    figures = sum(len(cell.figures) for cell in result.cells)
    yield "Figures", f"{figures} of {_count(len(result.cells), 'cell')}, from {_count(len(result.trials), 'trial')}"
    for cell in result.cells:
        speed = cell.figures.get("decode_tok_s")
        yield "", f"{cell.cell.id}: {text.figure(speed)} tok/s, {cell.verdict}" if speed else f"{cell.cell.id}: {cell.verdict}"
    yield "Names", f"model {result.model}, recipe {result.recipe_name}, host {result.machine.hostname or 'none'}"
    yield "Measured", result.anchor.wall
    for at, what in enumerate(result.redacted.left_out if result.redacted else ()):
        yield "" if at else "Left out", what


def fields(found: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> Iterator[str]:
    """Lines: of each file, all of it."""
    for name, rows in found:
        yield f"── {one_line(name)}"
        yield from (f"{one_line(where)}  {one_line(value)}" for where, value in rows)
        yield ""


def dump(found: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    for name, rows in found:
        yield f"── {one_line(name)}"
        yield from map(one_line, rows)
        yield ""


def receipts(found: Sequence[Receipt], *, width: int, color: bool) -> str:
    from rich.markup import escape

    if not found:
        return "Nothing was sent from here."
    columns: list[text.Column] = [
        ("receipt", "left"),
        ("when", "left"),
        ("result", "left"),
        ("to", "left"),
        ("what became of it", "left"),
    ]
    rows = [
        [
            one.id[:8],
            one.began[:16].replace("T", " "),
            escape(one.result),
            escape(one_line(_to(one))),
            escape(one_line(outcome(one))),
        ]
        for one in found
    ]
    return text.table(columns, rows, width=width, color=color)


def withdrawal(receipt: Receipt, *, width: int) -> str:
    """Before it is asked for."""
    rows = [
        ("From", receipt.audience.to),
        ("Sent", f"{receipt.began}, result {receipt.result}: {', '.join(receipt.files)}"),
        ("Outcome", outcome(receipt)),
        ("Taken back", receipt.audience.withdrawal),
    ]
    return "\n".join(_row(label, value, width) for label, value in rows)


def outcome(receipt: Receipt) -> str:
    """Never more than the target has said."""
    if receipt.ended is None:
        told = "begun; it goes on, or was ended by force, and what arrived is not known"
    elif receipt.confirmed:
        told = f"uploaded: {receipt.reference}"
    else:
        missing = f"; missing: {', '.join(receipt.missing)}" if receipt.missing else ""
        told = f"not confirmed: {receipt.said}{missing}"
    if receipt.withdrawal is None:
        return told
    return f"{told}; {withdrawn(receipt)}"


def withdrawn(receipt: Receipt) -> str:
    assert receipt.withdrawal is not None
    what = "withdrawn" if receipt.withdrawal.confirmed else "withdrawal not confirmed"
    return f"{what} ({receipt.withdrawal.when[:10]}): {receipt.withdrawal.said}"


def _to(receipt: Receipt) -> str:
    return receipt.where if "://" in receipt.where else f"{receipt.target}:{receipt.where}"


def _row(label: str, value: str, width: int) -> str:
    import textwrap

    return textwrap.fill(
        one_line(value),
        width,
        initial_indent=f"{label:{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
