"""Files of other load clients, beside the results: `results/.imports/<sha256>.json` as it came, `<sha256>.about.json` what was said of it.

To take one away, remove these two files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from harness import clock
from harness.errors import StoreError, one_line
from harness.schema.foreign import IMPORT_VERSION, Imported
from harness.store.folder import pretty, write_atomic
from harness.typed import decoded

FOLDER = ".imports"
LARGEST_BYTES = 256 * 2**20
ABOUT = ".about.json"


def content(path: Path) -> bytes:
    """Raises `StoreError` for a file that cannot be read, or is larger than any such file."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read: {error.strerror}", "name a JSON file of llama-benchy or vllm bench serve"
        ) from None
    if len(data) > LARGEST_BYTES:
        raise StoreError(
            f"{path}: it has more than {LARGEST_BYTES // 2**20} MiB", "import it without its time series, or in parts"
        )
    return data


def keep(root: Path, data: bytes, name: str, *, hardware: str, engine: str, source: str) -> Imported:
    """The file first, then what is said of it; of one that is there already, what is said of it now. Raises `StoreError`."""
    digest = hashlib.sha256(data).hexdigest()
    name, hardware, engine, source = map(one_line, (name, hardware, engine, source))
    about = Imported(sha256=digest, name=name, when=clock.utc_now(), hardware=hardware, engine=engine, source=source)
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{digest}.json", data)
        write_atomic(folder / f"{digest}{ABOUT}", pretty(about))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}", "choose another folder with --results DIR") from None
    return about


def every(root: Path) -> tuple[list[tuple[Imported, bytes]], list[str]]:
    """(what was imported with its bytes, oldest first; what cannot be trusted any more and why). One that is damaged hides no other."""
    found, broken = [], []
    for path in (root / FOLDER).glob(f"*{ABOUT}"):
        try:
            about = decoded(path.read_bytes(), Imported)
            data = path.with_name(f"{path.name.removesuffix(ABOUT)}.json").read_bytes()
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            broken.append(f"{path}: the import cannot be read: {one_line(str(error))}")
            continue
        if about.schema_version != IMPORT_VERSION:
            broken.append(f"{path}: its format is version {about.schema_version}, this harness reads {IMPORT_VERSION}")
        elif hashlib.sha256(data).hexdigest() != about.sha256:
            broken.append(f"{path}: {about.name} was changed after it was imported (SHA-256): it is not shown")
        else:
            found.append((about, data))
    return sorted(found, key=lambda pair: (pair[0].when, pair[0].sha256)), sorted(broken)
