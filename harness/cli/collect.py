"""`harness collect`: a team's own server that takes bundles, verifies them and shows them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import settings

if TYPE_CHECKING:
    from harness.collect.depot import Depot
    from harness.collect.rows import Rows

app = typer.Typer(
    help="A server for a team: takes signed bundles, verifies them, shows them.", rich_markup_mode=None, no_args_is_help=True
)
users = typer.Typer(help="Who may send bundles.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(users, name="user")

LIBRARIES = ("sqlalchemy", "starlette", "uvicorn")

Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where everything lies.")]
Db = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="URL", help="postgresql://USER@HOST/NAME for users and submissions.  [default: SQLite in the folder]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT = Path("collector")


@app.command()
def serve(
    folder: Folder = DEFAULT,
    db: Db = None,
    bind: Annotated[str, typer.Option(metavar="ADDRESS:PORT", help="Where it listens.")] = "127.0.0.1:8770",
    url: Annotated[
        str, typer.Option(metavar="URL", help="Its address for others, as the proxy before it has it: for the answers.")
    ] = "",
    proxy: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Believe X-Forwarded-For of this proxy (repeatable).")
    ] = None,
    allowed_signers: Annotated[
        Path | None,
        typer.Option("--allowed-signers", metavar="FILE", help="Who may sign what users without a key of their own send."),
    ] = None,
    largest: Annotated[int, typer.Option(metavar="MIB", min=1, max=8192, help="Of one bundle.")] = 256,
    memory: Annotated[int, typer.Option(metavar="MIB", min=256, help="Of the process that verifies one bundle.")] = 1024,
    verifications: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="At once.")] = 2,
    uploads: Annotated[
        int, typer.Option(metavar="N", min=1, max=512, help="At once, with those that wait to be verified.")
    ] = 64,
    pages_after: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds after a change until the pages are made anew.")
    ] = 2.0,
    per_minute: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests of one token; ten times that of one address.")
    ] = 120,
) -> None:
    """Serve until Ctrl-C. Nothing that it receives is run; TLS is the proxy's."""
    depot, rows = _opened(folder, db)
    from harness.collect import serving
    from harness.collect.settings import MIB, Settings
    from harness.errors import UsageError
    from harness.offline import is_here

    if allowed_signers is not None and not allowed_signers.is_file():
        raise UsageError(f"--allowed-signers {allowed_signers}: there is no such file", "write it as ssh-keygen(1) says")
    host, port = _address(bind)
    chosen = Settings(
        allowed=allowed_signers.absolute() if allowed_signers else None,
        url=_url(url),
        proxies=_proxies(proxy or []),
        largest_bytes=largest * MIB,
        memory_bytes=memory * MIB,
        verifications=verifications,
        uploads=uploads,
        per_minute=per_minute,
        pages_after_s=pages_after,
        recipes=tuple(settings.recipe_folders()),
        facts=settings.user_facts(),
    )
    with depot.alone(), serving.bound(host, port) as listening:
        for digest in depot.recover(rows):
            _say(f"{depot.file(digest)}: an accepted bundle is not there whole: put it back from a backup")
        at = listening.getsockname()
        _say(f"Serving {depot.root} at http://{f'[{at[0]}]' if ':' in at[0] else at[0]}:{at[1]} until Ctrl-C")
        if not rows.users():
            _say("There are no users yet: harness collect user add NAME --key FILE")
        if not is_here(host):
            _say("Whoever reaches this address can read along: tokens and bundles go without TLS unless a proxy is before it")
        serving.serve(depot, rows, chosen, listening, _say)


@users.command("add")
def user_add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="A public SSH key of theirs, which must sign what they send (repeatable).",
            show_default=False,
        ),
    ] = None,
    role: Annotated[str, typer.Option(help="sender, or admin: takes back anybody's.")] = "sender",
    folder: Folder = DEFAULT,
    db: Db = None,
) -> None:
    """A new user. Their token is printed this once, and kept only as a hash."""
    _, rows = _opened(folder, db)
    from harness.collect import keys

    token = keys.add(rows, name, role, key or [])
    if not key:
        _say(f"{name} has no key: what they send must be signed by somebody in the file of serve's --allowed-signers")
    _say(f"The token of {name}, shown this once:")
    print(token)


@users.command("remove")
def user_remove(name: Annotated[str, typer.Argument(metavar="NAME")], folder: Folder = DEFAULT, db: Db = None) -> None:
    """Their token is worth nothing from now on. What they sent stays."""
    _, rows = _opened(folder, db)
    from harness.collect import keys

    keys.remove(rows, name)
    print(f"{name} is no user any more")


@users.command("list")
def user_list(folder: Folder = DEFAULT, db: Db = None, json: Json = False) -> None:
    """Names, roles and keys; tokens are not kept."""
    _, rows = _opened(folder, db)
    found = rows.users()
    if json:
        _print_json(found)
        return
    for user in found:
        print(f"{user.name}  {user.role}  since {user.added}  {', '.join(user.keys) or 'no key of their own'}")


@app.command("list")
def list_(folder: Folder = DEFAULT, db: Db = None, json: Json = False) -> None:
    """Every submission, oldest first: what became of it, and why."""
    _, rows = _opened(folder, db)
    from harness.errors import one_line

    found = rows.every()
    if json:
        _print_json(found)
        return
    for one in found:
        what = f"superseded by {one.superseded_by}" if one.superseded_by else one.state
        about = "; ".join(one.reasons) or one.recipe
        print(f"{one.received}  {one.submission}  {one.user}  {what}  {one_line(about)}".rstrip())


@app.command()
def backup(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")], folder: Folder = DEFAULT, db: Db = None
) -> None:
    """Users, submissions and accepted bundles as they are at one moment, while the server runs. It can be served as it is."""
    depot, rows = _opened(folder, db)
    from harness.collect import backup as backups

    saved = backups.save(depot, rows, out)
    print(f"{out}: {saved.users} users, {saved.bundles} bundles, {saved.bytes:,} bytes, each held against its SHA-256")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="What harness collect backup made.")],
    folder: Folder = DEFAULT,
    db: Db = None,
) -> None:
    """A backup into a collector that is new."""
    depot, rows = _opened(folder, db)
    from harness.collect import backup as backups

    with depot.alone():
        saved = backups.restore(source, depot, rows)
    print(f"{folder}: {saved.users} users, {saved.bundles} bundles, {saved.bytes:,} bytes")


def _opened(folder: Path, db: str | None) -> tuple[Depot, Rows]:
    from importlib.util import find_spec

    from harness.errors import MachineError

    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise MachineError(
            f"the collector needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "install the extra: pip install 'spark-harness[collect]'",
        )
    from harness.collect import rows
    from harness.collect.depot import Depot

    depot = Depot(folder)
    return depot, rows.opened(db or depot.database)


def _address(text: str) -> tuple[str, int]:
    from harness.errors import UsageError

    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--bind {text}: no address and port", "write it like 127.0.0.1:8770, or [::1]:8770")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _url(text: str) -> str:
    import re

    from harness.errors import UsageError

    if text and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", text):
        raise UsageError(f"--url {text}: no address", "write it like https://collector.example.org")
    return text.rstrip("/")


def _proxies(words: list[str]) -> tuple[str, ...]:
    """One that is no address would silently be nobody."""
    import ipaddress

    from harness.errors import UsageError

    for word in words:
        try:
            ipaddress.ip_network(word)
        except ValueError:
            raise UsageError(f"--proxy {word}: no address", "write it like 127.0.0.1, or 10.0.0.0/24") from None
    return tuple(words)


def _print_json(what: object) -> None:
    import msgspec

    print(msgspec.json.encode(what).decode())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
