"""`harness results` and `harness verify`: what was measured here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.schema.calibration import Calibration
    from harness.schema.result import Result

app = typer.Typer(help="List, show and bundle stored results.", rich_markup_mode=None, no_args_is_help=True)

Root = Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Which = Annotated[str, typer.Argument(help="A folder, the beginning of an id, or latest.")]


@app.command("list")
def list_(root: Root = None, json: Json = False) -> None:
    """Every result, newest last."""
    from harness.report import table
    from harness.store import query

    summaries = query.list_results(root or settings.results_root())
    if json:
        import msgspec

        print(msgspec.json.encode(summaries).decode())
    else:
        print(table.results(summaries, width=settings.width(), color=sys.stdout.isatty()))


@app.command()
def show(which: Which = "latest", root: Root = None, json: Json = False) -> None:
    """The table of one result."""
    from harness.store import folder, query

    path = query.find(root or settings.results_root(), which)
    print_result(path, folder.read_result(path), json)


@app.command()
def bundle(
    which: Which = "latest",
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it.  [default: ./RECIPE-TIME-ID.tar]")
    ] = None,
    sign: Annotated[bool, typer.Option("--sign", help="Sign it with your SSH key.")] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Sign with this key; a public one where ssh-agent has the private one.  [default: that of ~/.ssh]",
        ),
    ] = None,
) -> None:
    """One file of a result, with all that it takes to verify it. It stays on this machine."""
    from functools import partial

    from harness.errors import UsageError
    from harness.share import bundle as bundles
    from harness.share import sign as signatures
    from harness.store import folder, query

    path = query.find(root or settings.results_root(), which).resolve()
    out = out or Path(f"{path.parent.name}-{path.name}.tar")
    if out.exists():
        raise UsageError(f"--out {out}: it is there already", "name another file, or remove it")
    result, files = folder.read_result(path), folder.evidence(path)
    about = bundles.manifest(files, result=result.id, harness_version=result.harness_version)
    key = key or (signatures.own_key(Path.home() / ".ssh") if sign else None)
    bundles.write(out, files, about, partial(signatures.sign, key=key) if key else None)
    print(f"{out}: {len(files)} files of {path}, {out.stat().st_size:,} bytes" + (f", signed with {key}" if key else ""))
    print("It names this machine, its folders and whom it was connected to. It was sent nowhere.")


def verify(
    which: Annotated[str, typer.Argument(help="A bundle, a folder, the beginning of an id, or latest.")] = "latest",
    root: Root = None,
    allowed: Annotated[
        Path | None,
        typer.Option("--allowed-signers", metavar="FILE", help="Who may have signed a bundle, as ssh-keygen(1) has it."),
    ] = None,
    identity: Annotated[
        str | None, typer.Option("--identity", metavar="NAME", help="Which of them it must be.  [default: any]")
    ] = None,
    json: Json = False,
) -> None:
    """Recompute every figure of a result or a bundle from its raw records, and look whether it can be true."""
    import msgspec

    from harness import verify as verifier
    from harness.errors import UsageError
    from harness.report import doctor_text
    from harness.store import query

    path = Path(which)
    if not path.is_file():
        path = query.find(root or settings.results_root(), which)
        if allowed:
            raise UsageError("--allowed-signers: a folder has no signature", "name a bundle: harness results bundle --sign")
    if identity and not allowed:
        raise UsageError("--identity: it says nothing without a file of keys", "add --allowed-signers FILE")
    found = verifier.checks(path, allowed, identity)
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print(doctor_text.render(found, width=settings.width(), color=sys.stdout.isatty()))
    verifier.require(path, found)


def print_result(path: Path, result: Result, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(result).decode())
        return
    from harness.report import table

    print(table.render(result, path=path, width=settings.width(), color=sys.stdout.isatty()))


def print_calibration(path: Path, calibration: Calibration, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(calibration).decode())
        return
    from harness.report import table

    print(table.calibration(calibration, path=path, width=settings.width(), color=sys.stdout.isatty()))
