"""What somebody agreed to, and what became of it: consents and receipts, as they lie on disk."""

from __future__ import annotations

import msgspec

from harness.schema.bundle import Entry

CONSENT_VERSION = 1
RECEIPT_VERSION = 1
"""1 (0.1.0): first formats."""


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody must know before they agree."""

    to: str
    """Who gets it, with the address: `spark-arena.com, storage bucket …`."""
    seen_by: str
    """Who will be able to read it."""
    terms: str
    """Under which conditions, with the place where they stand; or that none are known."""
    withdrawal: str
    """What can be taken back afterwards, and how."""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """To send these very bytes to this place, once."""

    schema_version: int = CONSENT_VERSION
    id: str
    """Random."""
    sha256: str
    """Of the parcel (`harness.share.parcel.Parcel.sha256`)."""
    target: str
    where: str
    submission: str
    result: str
    audience: Audience
    """As it was shown: whoever would get it, or see it, is still the same when it is sent."""
    given: str
    """When the phrase was typed: UTC, ISO 8601, as all times here."""
    expires: str


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    when: str
    confirmed: bool
    """The target said that it is gone."""
    said: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """`receipts/<id>.json` in a result's folder: one sending. It is written before the first byte goes, and again when it ended."""

    schema_version: int = RECEIPT_VERSION
    id: str
    """That of the consent."""
    result: str
    target: str
    where: str
    audience: Audience
    submission: str
    sha256: str
    """Of the parcel."""
    files: dict[str, Entry]
    consent: str
    """`terminal` or `file`."""
    began: str
    ended: str | None = None
    """None: it goes on, or was ended by force, and nobody knows what became of it."""
    confirmed: bool = False
    """The target itself said that it has these very bytes."""
    said: str = ""
    """Its answer."""
    reference: str = ""
    """Where it is: a URL, a commit, a path."""
    sent: tuple[str, ...] = ()
    """Files that the target has confirmed one by one."""
    missing: tuple[str, ...] = ()
    withdrawal: Withdrawal | None = None
    """The last time that it was asked for."""
