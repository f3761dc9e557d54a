"""Consent to send one parcel to one place. It is given by a phrase on a terminal, which only who has seen the preview can know; or it was
given so before, and lies in a file.

A consent file by itself is worth nothing: the state folder has the same consent, and using it takes that away before anything is sent.
So a file that was made up, changed, copied or used already is refused, and of two that use it at the same moment one is.
"""

from __future__ import annotations

import datetime
import re
import secrets
from pathlib import Path

import msgspec

from harness import clock
from harness.errors import NoConsent, StoreError, UsageError
from harness.schema.consent import CONSENT_VERSION, Audience, Consent, Receipt
from harness.share.parcel import Parcel
from harness.store.folder import pretty, synced, write_atomic
from harness.typed import decoded

FOLDER = "consents"
DAYS = 7
"""That a consent file is valid."""
LARGEST = 64 << 10
LOOK_AGAIN = "look at it again in a terminal: harness share RESULT --to … --consent-file FILE"


def phrase(parcel: Parcel) -> str:
    return f"send {parcel.sha256[:8]} to {parcel.target}"


def withdrawal_phrase(receipt: Receipt) -> str:
    return f"withdraw {receipt.id[:8]} from {receipt.target}"


def given(parcel: Parcel, audience: Audience) -> Consent:
    """What the phrase stands for."""
    now = clock.utc_now()
    return Consent(
        id=secrets.token_hex(16),
        sha256=parcel.sha256,
        target=parcel.target,
        where=parcel.where,
        submission=parcel.submission,
        result=parcel.result,
        audience=audience,
        given=now.isoformat(timespec="seconds"),
        expires=(now + datetime.timedelta(days=DAYS)).isoformat(timespec="seconds"),
    )


def write(consent: Consent, state: Path, file: Path) -> None:
    """Keeps it, and makes the file by which it can be used. Raises `UsageError` for a file that is there, `StoreError`."""
    if file.exists():
        raise UsageError(f"--consent-file {file}: it is there already", "name another file")
    record, data = _record(state, consent.id), pretty(consent)
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(record, data)
        write_atomic(file, data)
        file.chmod(0o600)
    except OSError as error:
        record.unlink(missing_ok=True)
        raise StoreError(
            f"{error.filename or file}: cannot be written: {error.strerror}", "name a file that can be: --consent-file FILE"
        ) from None


def read(file: Path, state: Path) -> Consent:
    """That of the file, which is good for nothing before `use`. Raises `NoConsent` for one that was not given here, or is used up."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST)
        consent = decoded(data, Consent)
    except OSError as error:
        raise NoConsent(f"--consent {file}: cannot be read: {error.strerror}", LOOK_AGAIN) from None
    except msgspec.MsgspecError as error:
        raise NoConsent(f"--consent {file}: it is no consent file: {error}", LOOK_AGAIN) from None
    if not re.fullmatch("[0-9a-f]{32}", consent.id) or consent.schema_version != CONSENT_VERSION:
        raise NoConsent(f"--consent {file}: this harness did not write it", LOOK_AGAIN)
    record = _record(state, consent.id)
    try:
        known = record.read_bytes()
    except OSError:
        raise _not_here(file, record) from None
    if known != data:
        raise NoConsent(f"--consent {file}: it is not as it was given: somebody changed it", LOOK_AGAIN)
    return consent


def use(file: Path, state: Path, parcel: Parcel, audience: Audience) -> Consent:
    """The consent of the file, which is used up with that. Raises as `read`, and `NoConsent` where it is none to send this parcel there,
    now; then it is not used up."""
    consent = read(file, state)
    record = _record(state, consent.id)
    if problem := _unfit(consent, parcel, audience):
        raise NoConsent(f"--consent {file}: {problem}", LOOK_AGAIN)
    try:
        record.rename(_used(record))  # one of several gets it
        synced(record.parent)
    except FileNotFoundError:
        raise _not_here(file, record) from None
    except OSError as error:
        raise StoreError(f"{record}: cannot be marked as used: {error.strerror}", "make its folder writable") from None
    return consent


def _unfit(consent: Consent, parcel: Parcel, audience: Audience) -> str:
    """Why it is no consent to this; empty: it is one."""
    now = clock.utc_now()
    if not datetime.datetime.fromisoformat(consent.given) <= now < datetime.datetime.fromisoformat(consent.expires):
        return f"it was good from {consent.given} to {consent.expires}"
    if consent.sha256 != parcel.sha256:
        return "it is for other bytes than would be sent, or another place"
    if consent.audience != audience:
        return f"who gets or sees it, or the terms, are not those that were shown: now {audience.to}"
    return ""


def _not_here(file: Path, record: Path) -> NoConsent:
    if _used(record).exists():
        return NoConsent(f"--consent {file}: it was used already, and counts once", LOOK_AGAIN)
    return NoConsent(f"--consent {file}: nobody gave it at a terminal here: it counts where it was made", LOOK_AGAIN)


def _record(state: Path, ident: str) -> Path:
    return state / FOLDER / f"{ident}.json"


def _used(record: Path) -> Path:
    return record.with_suffix(".used")
