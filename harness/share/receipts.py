"""`receipts/<id>.json` in a result's folder: what was sent where, and what was said to it. No part of the result's evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.schema.consent import RECEIPT_VERSION, Receipt
from harness.store.folder import pretty, write_atomic
from harness.typed import decoded

FOLDER = "receipts"


def begin(result: Path, receipt: Receipt) -> None:
    """Before anything is sent. Raises `StoreError`, also where there is such a receipt: then its consent was used here before."""
    path = _path(result, receipt)
    try:
        path.parent.mkdir(exist_ok=True)
        path.touch(exist_ok=False)
        write_atomic(path, pretty(receipt))
    except FileExistsError:
        raise StoreError(
            f"{path}: there is a receipt of this consent, so it was used", "look at it: harness share list"
        ) from None
    except OSError as error:
        raise _not_written(path, error) from None


def end(result: Path, receipt: Receipt) -> None:
    """Instead of what is there. Raises `StoreError`."""
    path = _path(result, receipt)
    try:
        write_atomic(path, pretty(receipt))
    except OSError as error:
        raise _not_written(path, error) from None


def every(root: Path) -> list[tuple[Path, Receipt]]:
    """(folder of the result, receipt) of all results below `root`, oldest first. What is no receipt is passed over."""
    return sorted(_every(root), key=lambda found: (found[1].began, found[1].id))


def _every(root: Path) -> Iterator[tuple[Path, Receipt]]:
    for path in root.glob(f"*/*/{FOLDER}/*.json"):
        try:
            receipt = decoded(path.read_bytes(), Receipt)
        except (OSError, msgspec.MsgspecError):
            continue
        if receipt.schema_version == RECEIPT_VERSION:
            yield path.parent.parent, receipt


def find(root: Path, which: str) -> tuple[Path, Receipt]:
    """By the beginning of its id. Raises `StoreError`."""
    fitting = [found for found in every(root) if which and found[1].id.startswith(which)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} receipts begin" if fitting else "no receipt begins"
    raise StoreError(f"{what} with '{which}' below {root}", "harness share list shows them")


def _path(result: Path, receipt: Receipt) -> Path:
    return result / FOLDER / f"{receipt.id}.json"


def _not_written(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: a receipt cannot be written: {error.strerror}", "make the result's folder writable")
