"""`harness share login` and `logout`: the login to Spark Arena, and what targets find of one where no option names a token."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from harness.cli import settings

LOGS_IN = "spark-arena"


def login(
    browser: Annotated[
        bool, typer.Option("--browser", help="In a browser on this machine, not by a code on any device.")
    ] = False,
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="Where to.", hidden=True)] = LOGS_IN,
) -> None:
    """Log in to Spark Arena. What is kept of it is one file that only you can read; nothing is sent of any result."""
    from harness import sharing
    from harness.errors import UsageError, one_line
    from harness.share import arena_login, token_file
    from harness.share.targets import spark_arena

    target, where = sharing.address(to)
    if target != LOGS_IN:
        raise UsageError(
            f"--to {to}: nobody logs in there this way", "others take a token: --token-env NAME or --token-file FILE"
        )
    auth, _ = spark_arena.hosts(where)
    token = arena_login.browser(auth, _open, _typed) if browser else arena_login.device(auth, say)
    who = arena_login.exchange(auth, token)
    token_file.save(settings.arena_token(), token)
    print(
        f"Logged in to Spark Arena{f' as {one_line(who.email)}' if who.email else ''}. {settings.arena_token()} keeps it; nothing was sent."
    )


def logout() -> None:
    """Forget the login to Spark Arena."""
    from harness.share import token_file

    gone = token_file.forget(settings.arena_token())
    print("Logged out: the login is gone from this machine." if gone else "Not logged in.")


def _open(address: str) -> None:
    import webbrowser

    say(f"Open this page, if your browser does not: {address}")
    webbrowser.open(address)


def _typed(prompt: str) -> str:
    from harness.share import terminal

    with terminal.opened() as tty:
        return tty.ask(prompt)


def kept(target: str) -> dict[str, str]:
    """Where no option names one: by `harness share login`, or in the variable that the hub's own programs read."""
    from harness.share import token_file
    from harness.share.parcel import TOKEN

    if target == LOGS_IN and (token := token_file.load(settings.arena_token())):
        return {TOKEN: token}
    if target == "huggingface" and (token := os.environ.get("HF_TOKEN")):
        return {"HF_TOKEN": token}
    return {}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
