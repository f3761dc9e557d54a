"""`harness site` and `harness plot`: what is known, as pages and pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import assumed, facts, options, settings
from harness.cli import board as boards

if TYPE_CHECKING:
    from harness.report.site.pictures import Picture

Root = Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")]


def site(
    root: Root = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the pages go.")] = Path("site"),
    country: options.Country = "EU",
    business: options.Business = False,
    price_kwh: options.DollarsKwh = None,
    hardware_price: options.DollarsHardware = None,
    years: options.Years = 3.0,
    fx: options.Fx = None,
    seat: options.Seat = None,
) -> None:
    """Pages of everything that is stored and known: they need no server, no script and no network."""
    from harness import site as builder
    from harness.errors import StoreError
    from harness.store import observations, query

    if root is not None and not root.is_dir():
        raise StoreError(f"--results {root}: there is no such folder", "name the one that harness bench stored into")
    ours = assumed.machines(
        country=country, business=business, price_kwh=price_kwh, hardware_price=hardware_price, years=years, fx=fx
    )
    found, folder = boards.whole(root, ours, assumed.seat(seat)), root or settings.results_root()
    seen = {journal.path.stem: journal.visits() for journal in observations.journals(folder)}
    built = builder.build(found, facts.tables(found.day), query.list_results(folder), out, seen)
    for line in built.damaged:
        print(f"No page: {line}", file=sys.stderr)
    print(f"{built.pages} pages: {built.out / 'index.html'}")


def plot(
    which: Annotated[
        str,
        typer.Argument(
            metavar="RESULT|board|OBSERVATION",
            help="A folder, the beginning of an id, latest, board, or the file of harness observe.",
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which picture; without it they are listed.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A .svg or a .png; without it the SVG is printed.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Light on dark.")] = False,
    root: Root = None,
) -> None:
    """A picture of a result, of the board, or of days of visits, as SVG or PNG."""
    from harness.errors import UsageError, did_you_mean
    from harness.report.plots import style

    found = {picture.name: picture for picture in _pictures(which, root)}
    if name is None:
        for picture in found.values():
            print(f"{picture.name}  {picture.title}{'' if picture.svg else f': not drawn, {picture.why}'}")
        return
    if name not in found:
        near = did_you_mean(name, list(found))
        hint = f"did you mean '{near}'?" if near else f"one of {', '.join(found)}"
        raise UsageError(f"there is no picture '{name}' of {which}", hint)
    if not found[name].svg:
        raise UsageError(f"the picture '{name}' cannot be drawn: {found[name].why}", f"harness plot {which} lists what can")
    png = out is not None and out.suffix == ".png"
    text = style.alone(found[name].svg, dark=True if dark else False if png else None)
    if out is None:
        print(text, end="")
    elif png:
        _write(out, _png(text))
    elif out.suffix == ".svg":
        _write(out, text.encode())
    else:
        raise UsageError(f"--out {out}: it is neither .svg nor .png", "name the file so")


def _pictures(which: str, root: Path | None) -> list[Picture]:
    from harness import site as builder
    from harness.board import scaling
    from harness.report.site import days, pictures
    from harness.store import observations, query

    folder = root or settings.results_root()
    if which == "board":
        found = boards.whole(root)
        return [pictures.quality(found), pictures.scaling(list(scaling.steps(found)))]
    if (journal := observations.Journal(folder, Path(which).stem)).path.is_file() and which != "latest":
        return days.pictures(journal.visits())
    return builder.result_pictures(query.find(folder, which))


def _png(svg: str) -> bytes:
    from harness.errors import MachineError

    try:
        import vl_convert
    except ImportError:
        raise MachineError(
            "PNG needs vl-convert-python, which is not installed", "pip install vl-convert-python, or write an .svg"
        ) from None
    drawn: bytes = vl_convert.svg_to_png(svg, scale=2)
    return drawn


def _write(path: Path, data: bytes) -> None:
    from harness.errors import StoreError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", "choose another file with --out") from None
    print(path)
