"""Calibrations of the load client, beside the results: `results/.calibrations/<time>.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.errors import StoreError
from harness.schema.calibration import Calibration
from harness.schema.machine import Machine
from harness.store.folder import pretty, write_atomic
from harness.typed import decoded

FOLDER = ".calibrations"


def save(root: Path, calibration: Calibration) -> Path:
    """Where it lies now. Raises `StoreError`."""
    path = root / FOLDER / f"{calibration.when.replace(':', '').replace('-', '')[:15]}Z.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, pretty(calibration))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", "choose another folder with --results DIR") from None
    return path


def newest(root: Path, machine: Machine) -> Calibration | None:
    """Of such a machine; None when there is none that can be read."""
    for path in sorted((root / FOLDER).glob("*.json"), reverse=True):
        try:
            found = decoded(path.read_bytes(), Calibration)
        except (OSError, msgspec.MsgspecError):
            continue
        if found.fits(machine):
            return found
    return None
