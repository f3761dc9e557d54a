"""`harness share`: a result to somebody else, after a person at a terminal has seen what would leave and agreed to it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from harness.cli import login, settings
from harness.errors import one_line

if TYPE_CHECKING:
    from harness.share.terminal import Terminal
    from harness.sharing import Order, Ready

DEFAULT = "result"
LEAST_SECRET = 8
"""Characters of a secret in a variable: what is shorter is a setting."""


class _Group(TyperGroup):
    """`harness share latest` is `harness share result latest`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's Context is one
        known = (*self.commands, "--help")
        return super().parse_args(ctx, [DEFAULT, *args] if args and args[0] not in known else args)


app = typer.Typer(
    help="Give a result to somebody else. Nothing is sent before you have seen it and agreed: harness share RESULT --to TARGET",
    cls=_Group,
    rich_markup_mode=None,
    no_args_is_help=True,
)

Root = Annotated[Path | None, typer.Option("--results", help="Where results are stored.  [default: ./results]")]
TokenEnv = Annotated[
    str | None, typer.Option("--token-env", metavar="NAME", help="The environment variable that holds the target's token.")
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="A file with the target's token, which only you can read.")
]


@app.command(DEFAULT)
def result(
    which: Annotated[str, typer.Argument(metavar="RESULT", help="A folder, the beginning of an id, or latest.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="file:DIR, git:CLONE (git:CLONE?push), a collector's https://… address, huggingface:OWNER/NAME, or spark-arena.",
        ),
    ],
    root: Root = None,
    fields: Annotated[bool, typer.Option("--fields", help="Show every field.")] = False,
    exact: Annotated[bool, typer.Option("--bytes", help="Show the exact bytes.")] = False,
    dry_run: Annotated[
        Path | None, typer.Option("--dry-run", metavar="DIR", help="Write the very bytes into that folder, and send nothing.")
    ] = None,
    consent_file: Annotated[
        Path | None,
        typer.Option(
            "--consent-file", metavar="FILE", help="Agree now, into a file by which it can be sent once, without a terminal."
        ),
    ] = None,
    consent: Annotated[
        Path | None, typer.Option("--consent", metavar="FILE", help="Send what was agreed to in that file.")
    ] = None,
    sign: Annotated[bool, typer.Option("--sign", help="Sign the bundle with your SSH key.")] = False,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Sign with this key.  [default: that of ~/.ssh]")
    ] = None,
    public: Annotated[
        list[str] | None, typer.Option("--public", metavar="NAME", help="Everybody may read this name (repeatable).")
    ] = None,
    call: Annotated[
        list[str] | None, typer.Option("--call", metavar="NAME=OTHER", help="Put another name for this one (repeatable).")
    ] = None,
    token_env: TokenEnv = None,
    token_file: TokenFile = None,
) -> None:
    """Show what would be sent, to whom and on which terms; ask; and send it."""
    from msgspec.structs import replace

    from harness import sharing
    from harness.errors import NotConfirmed, UsageError
    from harness.report import share as report
    from harness.share import sign as signatures
    from harness.share import terminal
    from harness.store import query

    if sum(option is not None for option in (dry_run, consent_file, consent)) > 1:
        raise UsageError("--dry-run, --consent-file and --consent are three different things", "name one of them")
    target, where = sharing.address(to)
    path = query.find(root or settings.results_root(), which)
    secrets = _secrets(token_env, token_file, target)
    key = key or (signatures.own_key(Path.home() / ".ssh") if sign else None)
    said = _said(public or [], call or [])

    def order() -> Order:
        return replace(_order(path, target, where, said, secrets), key=key)

    if dry_run is not None:
        _dry_run(order(), dry_run, fields, exact)
        return
    if consent is not None:
        ready = sharing.prepared_before(order(), consent)
        sharing.check(ready, secrets)
        agreed = sharing.agreed_before(ready, consent)
    else:
        with terminal.opened() as tty:
            ready = sharing.prepare(_named(tty, order()))
            if consent_file is None:
                sharing.check(ready, secrets)
            _ask(tty, ready, fields, exact)
        if consent_file is not None:
            agreed = sharing.agree_later(ready, consent_file)
            print(f"{consent_file}: good once, for these bytes and this target, until {agreed.expires}. Nothing was sent.")
            return
        agreed = sharing.agree(ready)
    from harness.cli.progress import interruptible

    with interruptible():
        receipt = sharing.send(ready, agreed, "file" if consent else "terminal", secrets, login.say)
    if not receipt.confirmed:
        raise NotConfirmed(
            report.outcome(receipt), f"harness share {which} --to {to} tries it again; harness share list has it"
        )
    print(f"{report.outcome(receipt)}\n{receipt.said}. Receipt {receipt.id[:8]}")


app.command()(login.login)
app.command()(login.logout)


@app.command("list")
def list_(root: Root = None, json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """What was sent from here, and what was said to it, newest last."""
    import msgspec

    from harness import sharing
    from harness.report import share as report

    found = sharing.every(root or settings.results_root())
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print(report.receipts(found, width=settings.width(), color=sys.stdout.isatty()))


@app.command()
def withdraw(
    which: Annotated[str, typer.Argument(metavar="RECEIPT", help="The beginning of its id: harness share list.")],
    root: Root = None,
    token_env: TokenEnv = None,
    token_file: TokenFile = None,
) -> None:
    """Ask the target to delete what was sent, and say what it answers."""
    from harness import sharing
    from harness.errors import NoConsent, NotConfirmed
    from harness.report import share as report
    from harness.share import consent, receipts, terminal

    path, receipt = receipts.find(root or settings.results_root(), which)
    secrets = _secrets(token_env, token_file, receipt.target)
    with terminal.opened() as tty:
        tty.say(report.withdrawal(receipt, width=tty.width))
        phrase = consent.withdrawal_phrase(receipt)
        if tty.ask(f"\nTo withdraw it, type exactly: {phrase}") != phrase:
            raise NoConsent("that is not the phrase, so nothing was withdrawn", "type it as it is shown, if you mean it")
    receipt = sharing.withdraw(path, receipt, secrets, login.say)
    assert receipt.withdrawal is not None
    if not receipt.withdrawal.confirmed:
        raise NotConfirmed(report.withdrawn(receipt), receipt.audience.withdrawal)
    print(report.withdrawn(receipt))


def _order(path: Path, target: str, where: str, said: dict[str, str], secrets: dict[str, str]) -> Order:
    from harness import secret, sharing, whose
    from harness.recipe import catalog
    from harness.share.names import ASKED
    from harness.store import folder

    stored = folder.read(path)
    shipped = catalog.paths(settings.recipe_folders()[2:])
    known = (value for name, value in os.environ.items() if secret.in_name(name) and len(value) >= LEAST_SECRET)
    return sharing.Order(
        path=path,
        target=target,
        where=where,
        state=settings.state_folder(),
        stored=stored,
        names=whose.names(stored, shipped, dict.fromkeys(ASKED, said), settings.system_root()),
        secrets=frozenset([*known, *secrets.values()]),
    )


def _said(public: list[str], call: list[str]) -> dict[str, str]:
    """What names are called."""
    from harness.errors import UsageError

    if wrong := [words for words in call if not all(words.partition("="))]:
        raise UsageError(f"--call {wrong[0]}: not of the form NAME=OTHER", "write it like --call acme/one=a-model")
    return {name: name for name in public} | dict(words.split("=", 1) for words in call)


def _named(tty: Terminal, order: Order) -> Order:
    """The order with what its owner says of names that are on no list."""
    from msgspec.structs import replace

    from harness import sharing

    said = {kind: dict(known) for kind, known in order.names.said.items()}
    for one in sharing.questions(order):
        tty.say(f"\nThe {one.kind} '{one_line(one.name)}' is not known to be public.")
        answer = tty.ask("Type yes if everybody may read that name, or another name for it; nothing gives it a random one:")
        if answer:
            said.setdefault(one.kind, {})[one.name] = one.name if answer == "yes" else answer
    return replace(order, names=replace(order.names, said=said))


def _dry_run(order: Order, to: Path, fields: bool, exact: bool) -> None:
    from harness import sharing

    ready = sharing.prepare(order)
    sharing.dry_run(ready, to)
    print(_summary(ready, settings.width()), end="\n\n")
    for lines in _more(ready, fields, exact):
        for line in lines:
            print(line)
    for one in sharing.questions(order):
        print(f"The {one.kind} '{one_line(one.name)}' has a random name: it is not known to be public (--public, --call).")
    print(f"{to} has these very bytes. Nothing was sent.")


def _ask(tty: Terminal, ready: Ready, fields: bool, exact: bool) -> None:
    """Shows it, and as much more as is asked for. Raises `NoConsent` for anything else than the phrase."""
    from harness.errors import NoConsent
    from harness.share import consent

    phrase = consent.phrase(ready.parcel)
    tty.say(_summary(ready, tty.width))
    while True:
        for lines in _more(ready, fields, exact):
            tty.page(lines)
        answer = tty.ask(f"\nTo see more: fields, or bytes. To agree that this leaves, type exactly: {phrase}")
        if answer == phrase:
            return
        if answer not in ("fields", "bytes"):
            raise NoConsent("that is not the phrase, so nothing was sent", "type it as it is shown, if you agree")
        fields, exact = answer == "fields", answer == "bytes"


def _summary(ready: Ready, width: int) -> str:
    from harness.report import share as report

    parcel = ready.parcel
    return report.summary(
        ready.audience,
        ready.files,
        ready.inside,
        ready.result,
        submission=parcel.submission,
        sha256=parcel.sha256,
        width=width,
    )


def _more(ready: Ready, fields: bool, exact: bool) -> Iterator[Iterator[str]]:
    from harness import sharing
    from harness.report import share as report

    if fields:
        yield report.fields(sharing.fields(ready))
    if exact:
        yield report.dump(sharing.exact(ready))


def _secrets(variable: str | None, file: Path | None, target: str) -> dict[str, str]:
    """By name. Raises `UsageError` for a file that others can read."""
    from harness.errors import UsageError
    from harness.share.parcel import TOKEN

    if file is None:
        value = settings.secret("--token-env", variable)
        return login.kept(target) if value is None else {TOKEN: value}
    if variable is not None:
        raise UsageError("--token-env and --token-file are the same thing twice", "name one of them")
    try:
        with file.open("rb") as opened:
            about = os.fstat(opened.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
                raise UsageError(f"--token-file {file}: others could read it, or it is not yours", f"chmod 600 {file}")
            text = opened.read(64 << 10).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read: {error}", "name the file that has the token") from None
    if not text:
        raise UsageError(f"--token-file {file}: it is empty", "put the token there")
    return {TOKEN: text}
