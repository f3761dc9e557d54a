"""Signatures by SSH keys, as `ssh-keygen -Y` makes and checks them: the user's own key, and nothing to install or to register."""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.errors import MachineError, UsageError, VerifyError

NAMESPACE = "spark-harness"
"""A signature made for anything else does not count here, nor does ours elsewhere."""
KEYS = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
"""In `~/.ssh`, the first that is there."""
PATIENCE_S = 120
"""A passphrase may have to be typed, or a token touched."""
BEGIN, FINISH = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
LINE = 70
_GOOD = re.compile(r"signature(?: for (?P<name>.+))? with (?P<key>\S+ key SHA256:\S+)")


class Signer(msgspec.Struct, frozen=True):
    key: str
    """`ED25519 key SHA256:…`."""
    name: str | None
    """As the allowed-signers file has it; None: nothing vouches for the key."""


def own_key(folder: Path) -> Path:
    """The key in `~/.ssh` that ssh itself would take; the public one where an agent has the private one. Raises `UsageError`."""
    for name in KEYS:
        for path in (folder / name, folder / f"{name}.pub"):
            if path.is_file():
                return path
    raise UsageError(f"{folder}: there is no SSH key to sign with", "name one, --key FILE, or make one: ssh-keygen -t ed25519")


def sign(data: bytes, key: Path) -> bytes:
    """`key`: a private key, or a public one whose private one the agent has. Raises `UsageError` for a key that does not sign,
    `MachineError` without ssh-keygen."""
    if not key.is_file():
        raise UsageError(
            f"--key {key}: there is no such file", "name a private key, or a public one whose private one ssh-agent has"
        )
    done = _keygen(["sign", "-f", str(key), "-n", NAMESPACE], data)
    if done.returncode != 0 or not canonical(done.stdout):
        raise UsageError(
            f"--key {key}: ssh-keygen does not sign with it: {_last(done)}",
            "of a public key ssh-agent must have the private one (ssh-add); a passphrase needs a terminal",
        )
    return done.stdout


def check(data: bytes, signature: bytes) -> Signer:
    """That it is a signature of these bytes, by whomever. Raises `VerifyError`, `MachineError` without ssh-keygen."""
    with _beside(signature) as path:
        done = _keygen(["check-novalidate", "-n", NAMESPACE, "-s", path], data)
    return _signer(done, signature)


def check_allowed(data: bytes, signature: bytes, allowed: Path, identity: str | None = None) -> Signer:
    """That somebody signed these bytes whom the file `allowed` (ALLOWED SIGNERS in ssh-keygen(1)) names: `identity`, or anybody in it.
    Raises as `check`, and `UsageError` for a file that is not there."""
    if not allowed.is_file():
        raise UsageError(
            f"--allowed-signers {allowed}: there is no such file", "write it as ssh-keygen(1) says: NAME KEYTYPE KEY"
        )
    by = check(data, signature)
    with _beside(signature) as path:
        if identity is None:
            found = _keygen(["find-principals", "-f", str(allowed), "-s", path], b"")
            names = found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else []
        else:
            names = [identity]
        for name in names:
            done = _keygen(["verify", "-f", str(allowed), "-I", name, "-n", NAMESPACE, "-s", path], data)
            if done.returncode == 0:
                return _signer(done, signature)
    raise VerifyError(
        f"signed by {by.key}, which {allowed} does not allow{f' for {identity}' if identity else ''}",
        "if you know whose key it is, add a line to that file, NAME KEYTYPE KEY, or see why the line that is there does not hold "
        "(valid-before, namespaces)",
    )


def canonical(signature: bytes) -> bool:
    """Whether it is written as ssh-keygen writes it: another spelling of the same signature is a changed file, too."""
    body = signature.removeprefix(BEGIN).removesuffix(FINISH)
    try:
        text = base64.b64encode(base64.b64decode(body))
    except ValueError:
        return False
    lines = [text[at : at + LINE] + b"\n" for at in range(0, len(text), LINE)]
    return signature == b"".join([BEGIN, *lines, FINISH])


def _signer(done: subprocess.CompletedProcess[bytes], signature: bytes) -> Signer:
    said = _GOOD.search(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or said is None or not canonical(signature):
        why = _last(done) if done.returncode != 0 else "it is not written as ssh-keygen writes it"
        raise VerifyError(
            f"the signature is none of these files: {why}", "ask for the bundle again: this one was changed after it was signed"
        )
    return Signer(said["key"], said["name"])


def _keygen(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", *words], input=data, capture_output=True, check=False, timeout=PATIENCE_S)
    except FileNotFoundError:
        raise MachineError(
            "signatures need ssh-keygen, which is not here", "install OpenSSH's client: apt install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"ssh-keygen -Y {words[0]} did not end within {PATIENCE_S} s", "type the passphrase or touch the token when it asks"
        ) from None


@contextmanager
def _beside(signature: bytes) -> Iterator[str]:
    """A file of the signature, which ssh-keygen takes in no other way."""
    with tempfile.NamedTemporaryFile(prefix="harness-signature-") as file:
        file.write(signature)
        file.flush()
        yield file.name


def _last(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"
