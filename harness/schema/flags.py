"""What an engine's own parser says of its flags; kept as JSON in the user's cache folder, one file for each build of an engine."""

from __future__ import annotations

import msgspec


class Option(msgspec.Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]
    """`--tensor-parallel-size`, `-tp`."""
    values: str = "1"
    """How many words follow it: a number, `?` (one or none), `*` or `+`, as argparse has it."""
    kind: str = ""
    """What they must look like: `integer`, `number`, `size` (`8k` too), `json`, `object` (JSON in braces), or one of several (`size|auto`);
    "": anything, or not known."""
    choices: tuple[str, ...] = ()
    loose: bool = False
    """Choices may be written in any case, with `-` for `_`."""
    deprecated: str = ""
    """What the engine itself says of that."""


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    engine: str
    version: str
    options: tuple[Option, ...]
    positionals: int = 0
    """Words that may stand without a flag; -1: as many as wanted."""
    abbreviations: bool = True
    """`--max-num-seq` passes for `--max-num-seqs` while no other flag begins so."""
