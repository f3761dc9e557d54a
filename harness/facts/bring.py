"""A user's own facts: checked, and copied into a folder that is read after the shipped ones."""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness import atomic
from harness.errors import FactsError
from harness.facts import check, load, ratings
from harness.schema.facts import Facts

_PARQUET = b"PAR1"


class Brought(NamedTuple):
    path: Path
    """The copy."""
    facts: Facts
    left_out: int
    """Ratings of earlier days that the file has."""


def bring(source: Path, folder: Path, *, config: str, day: datetime.date, force: bool) -> Brought:
    """`config` says which of the arena's tables a Parquet file is; the file itself does not. Raises `FactsError`."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise FactsError(f"{source}: {error.strerror}", "name a facts file, or the arena's Parquet") from None
    if data[:4] == _PARQUET:
        return _dataset(source, data, folder, config, day)
    facts = load.file(source)
    wrong = [finding for finding in check.of_file(source, folder, day) if finding.severity == check.ERROR]
    if wrong:
        raise FactsError(f"{wrong[0].where}: {wrong[0].text}", "mend it, then import the file again")
    target, beside = folder / f"{source.stem}.yaml", source.with_suffix(".csv")
    table = beside.read_bytes() if beside.is_file() else None
    old = [path.read_bytes() if path.is_file() else None for path in (target, target.with_suffix(".csv"))]
    if old[0] is not None and old != [data, table] and not force:
        raise FactsError(f"{target}: there is another file of that name", "--force replaces it")
    if table is None:
        target.with_suffix(".csv").unlink(missing_ok=True)  # ratings of a file that this one takes the place of
    else:
        _write(target.with_suffix(".csv"), table)
    _write(target, data)
    return Brought(target, facts, 0)


def _dataset(source: Path, data: bytes, folder: Path, config: str, day: datetime.date) -> Brought:
    if not re.fullmatch(r"[a-z0-9_]+", config):
        raise FactsError(f"'{config}' is no table of the arena", "it is a name like text or text_style_control")
    dump = ratings.from_parquet(source, config)
    target = folder / f"arena-{config}-{dump.date}.yaml"
    said = f"{config}; {source.name}, sha256 {hashlib.sha256(data).hexdigest()}, imported {day}; {ratings.ATTRIBUTION}"
    head = {"dataset": {"url": ratings.DATASET, "kind": "primary", "date": dump.date, "dated": said}}
    text = f"sources: {msgspec.json.encode(head).decode()}\n".replace(f'"date":"{dump.date}"', f'"date": {dump.date}')
    facts = load.parse(text.encode(), str(target), dump.text)
    _write(target.with_suffix(".csv"), dump.text.encode())
    _write(target, text.encode())
    return Brought(target, facts, dump.left_out)


def _write(path: Path, data: bytes) -> None:
    """Whole, or not at all."""
    try:
        atomic.write(path, data)
    except OSError as error:
        raise FactsError(f"{path}: cannot be written: {error.strerror}", "check the folder and its permissions") from None
