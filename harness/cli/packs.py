"""`harness pack` and `harness unpack`: what a run needs, carried to a machine without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import settings


def pack(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of its file.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The folder to make.  [default: ./RECIPE.pack]")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for bench; may be repeated.")] = None,
) -> None:
    """Collect what a run needs into one folder: recipe, wheels, model, image."""
    from harness import pack as packer
    from harness.cli.progress import Terminal, interruptible

    order = settings.order(recipe, None, set_)
    folder = to or Path(f"{order.recipe.name}.pack")
    with interruptible(), Terminal(quiet=False) as terminal:
        digest = packer.pack(order, folder, terminal.say)
    print(f"{folder} is complete. Its pack.json has the SHA-256 {digest}")
    print(f"On a machine without a network: python3 {folder.name}/unpack.py")


def unpack(
    folder: Annotated[Path, typer.Argument(help="What harness pack made.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to install.")] = Path("spark-harness"),
) -> None:
    """Verify a pack, and install it without a network."""
    from harness import unpack as unpacker
    from harness.errors import MachineError

    try:
        command = unpacker.unpack(folder, to.absolute(), unpacker.hub_folder(os.environ), print)
    except unpacker.Refused as error:
        raise MachineError(error.message, error.hint) from None
    print(f"Run it: {command}")
