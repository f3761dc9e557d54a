"""A secret in a file that only its owner can read."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from harness.errors import MachineError

LARGEST = 16 << 10
AGAIN = "log in again: harness share login"


def save(path: Path, secret: str) -> None:
    """Whole, or not at all; nobody else could read it at any moment. Raises `MachineError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise MachineError(f"{path}: the login cannot be kept: {error.strerror}", "make its folder writable for you") from None
    finally:
        with suppress(OSError):
            part.unlink()


def load(path: Path) -> str | None:
    """None: there is none. Raises `MachineError` for a file that others can read or change, or that is no secret."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise MachineError(f"{path}: it is not a file of yours", f"remove it, and {AGAIN}")
            if found.st_mode & 0o077:
                raise MachineError(
                    f"{path}: others can read or change it (mode {stat.S_IMODE(found.st_mode):04o}), so it is no secret any more",
                    f"remove it, and {AGAIN}",
                )
            text = file.read(LARGEST).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror}", f"remove it, and {AGAIN}") from None
    if not re.fullmatch("[!-~]+", text):
        raise MachineError(f"{path}: what is in it is no token", f"remove it, and {AGAIN}")
    return text


def forget(path: Path) -> bool:
    """False: there was none. Raises `MachineError`."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise MachineError(f"{path}: cannot be removed: {error.strerror}", "remove it yourself") from None
    return True
