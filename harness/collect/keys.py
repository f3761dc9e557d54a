"""Users: their names, tokens and public keys."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path

from harness import clock
from harness.collect.rows import Rows, Taken
from harness.errors import MachineError, StoreError, UsageError, did_you_mean
from harness.schema.collect import ROLES, User

PREFIX = "hc_"
"""By which programs that look for secrets know a token."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
HINT = "name a public key, such as ~/.ssh/id_ed25519.pub"


def add(rows: Rows, name: str, role: str, files: list[Path]) -> str:
    """The new user's token, which is nowhere else. Raises `UsageError`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name of a user", "up to 32 lower-case letters, digits, dots, dashes: ann")
    if role not in ROLES:
        raise UsageError(f"--role {role}: there is no such role", f"choose {' or '.join(ROLES)}")
    token = PREFIX + secrets.token_urlsafe(32)
    user = User(
        name=name,
        role=role,
        keys=tuple(key for file in files for key in public_keys(file)),
        added=f"{clock.utc_now():%Y-%m-%dT%H:%M:%SZ}",
    )
    try:
        rows.add_user(user, token)
    except Taken:
        raise UsageError(
            f"there is a user '{name}'", f"for a new token: harness collect user remove {name}, then add; bundles stay theirs"
        ) from None
    return token


def remove(rows: Rows, name: str) -> None:
    """The token is worth nothing from now on; what was sent stays. Raises `StoreError`."""
    if not rows.remove_user(name):
        near = did_you_mean(name, [user.name for user in rows.users()])
        raise StoreError(
            f"there is no user '{name}'", f"did you mean '{near}'?" if near else "harness collect user list shows them"
        )


def public_keys(file: Path) -> list[str]:
    """`ssh-ed25519 AAAA…`, without the comment: of each line of the file. Raises `UsageError`."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--key {file}: cannot be read", HINT) from None
    found = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        kind, _, rest = line.partition(" ")
        key = f"{kind} {rest.split(' ')[0]}"
        if not re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}", key) or not _known(key):
            raise UsageError(f"--key {file}: it has a line that is no public SSH key", HINT)
        found.append(key)
    if not found:
        raise UsageError(f"--key {file}: there is no public key in it", HINT)
    return found


def _known(key: str) -> bool:
    try:
        done = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=key.encode(), capture_output=True, check=False, timeout=30)
    except FileNotFoundError:
        raise MachineError(
            "keys need ssh-keygen, which is not here", "install OpenSSH's client: apt install openssh-client"
        ) from None
    return done.returncode == 0
