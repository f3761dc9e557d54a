"""What would leave this machine, to the byte, and for whom: the one thing that is previewed, consented to, and sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from harness.schema.consent import Audience, Receipt
from harness.store.folder import Stored

TOKEN = "token"
"""Name of the secret that a target is given from --token-env or --token-file."""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    target: str
    """A name in `TARGETS`."""
    where: str
    """Its address as it was given: a folder, a URL, a repository."""
    submission: str
    """Random, and kept when a sending is tried again."""
    result: str
    """The id of the result."""
    files: dict[str, bytes]
    """Every byte that is sent, by name, in the order of sending. Protocols add headers of their own, and the login."""

    @property
    def sha256(self) -> str:
        """Of the target, the address, the submission and all files: what a consent is bound to."""
        digest = hashlib.sha256()
        for word in (self.target, self.where, self.submission, self.result):
            _add(digest.update, word.encode())
        for name, data in self.files.items():
            _add(digest.update, name.encode())
            _add(digest.update, data)
        return digest.hexdigest()


def _add(update: Callable[[bytes], None], data: bytes) -> None:
    update(len(data).to_bytes(8, "big"))
    update(data)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, as far as the target has said."""

    confirmed: bool
    """Only where the target itself said that it has these very bytes."""
    said: str
    """Its answer in its own words, shortened."""
    reference: str = ""
    """Where it is now: a URL, a commit, a path."""
    sent: tuple[str, ...] = ()
    """Files that the target has confirmed one by one: they are not sent again."""
    missing: tuple[str, ...] = ()
    """Files that it has not."""


class Shareable(msgspec.Struct, frozen=True, kw_only=True):
    """A result without what tells who and where its owner is (`redact`)."""

    stored: Stored
    recipe: str
    """Text of the recipe, redacted likewise."""
    bundle: bytes
    """The same as a bundle, which verifies."""

    @property
    def name(self) -> str:
        """For a file or a folder."""
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.stored.result.recipe_name).lstrip('.-')}-{self.stored.result.id}"


class Target(Protocol):
    def audience(self, where: str) -> Audience:
        """Without a network. Raises `UsageError` for an address that is none of this target's."""

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        """Without a network. Raises `UsageError` for a result that the target does not take."""

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        """Without a network, and before anybody is asked: what would keep `send` from beginning. Raises `UsageError`, `MachineError`."""

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Callable[[str], None]) -> Answer:
        """`secrets`: by name, from the environment or a token file; in no parcel. `sent`: files that an earlier try has brought there.
        Never says more than the target did. Raises `MachineError` where it cannot be begun at all; whatever ends it half-way is an
        `Answer` that is not confirmed, with what is missing."""

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Callable[[str], None]) -> Answer:
        """Asks the target to delete what the receipt is of. `confirmed` only where the target said that it did. Raises `MachineError` where
        it cannot be asked."""
