"""A result to somebody else, on its owner's word: redacted, looked through for secrets, previewed, consented to, sent, and receipted.

The parcel is made once. The bytes that were shown are those that are consented to, by their SHA-256, and those that are sent.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets as random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from harness import __version__, clock
from harness.errors import HarnessError, NoConsent, StoreError, UsageError, did_you_mean
from harness.schema.bundle import Entry
from harness.schema.consent import Audience, Consent, Receipt, Withdrawal
from harness.schema.result import Result
from harness.share import bundle, consent, contents, kept, receipts, redact, scan, sign
from harness.share.kept import Kept
from harness.share.names import Names, Question
from harness.share.parcel import Answer, Parcel
from harness.share.targets import TARGETS
from harness.store import folder
from harness.store.folder import Stored
from harness.typed import decoded

Say = Callable[[str], None]
replace = msgspec.structs.replace

SCHEMES = {"http": "http", "https": "http", "http+insecure": "http"}
"""Addresses that are whole without the target's name."""
PATHS = ("file", "git")
"""Targets whose address is a place on this machine."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to give away, and to whom."""

    path: Path
    """The result's folder."""
    target: str
    where: str
    state: Path
    """The user's folder of kept parcels and consents."""
    stored: Stored
    names: Names
    secrets: frozenset[str] = frozenset()
    """What must not be in any byte, besides what looks like it."""
    key: Path | None = None
    """Signs the bundle."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent, and all that a preview tells of it."""

    path: Path
    state: Path
    kept: Kept
    audience: Audience

    @property
    def parcel(self) -> Parcel:
        return self.kept.parcel

    @property
    def files(self) -> dict[str, Entry]:
        return {name: _entry(data) for name, data in self.parcel.files.items()}

    @property
    def inside(self) -> dict[str, Entry]:
        """Files of the archives in it."""
        return {name: _entry(data) for name, data in contents.members(self.parcel.files) if name not in self.parcel.files}

    @property
    def result(self) -> Result | None:
        """As it would leave; None: no `result.json` is sent."""
        for name, data in contents.members(self.parcel.files):
            if re.split("[:/]", name)[-1] == "result.json":
                return decoded(data, Result)
        return None


def address(text: str) -> tuple[str, str]:
    """`file:/media/stick`, `https://collector.example.org`: (target, address). Raises `UsageError`."""
    name, colon, where = text.partition(":")
    if colon and where.startswith("//") and name in SCHEMES:
        return SCHEMES[name], text
    if name not in TARGETS:
        near = did_you_mean(name, [*TARGETS])
        hint = f"did you mean '{near}'?" if near else f"one of {', '.join(TARGETS)}: --to file:/media/stick"
        raise UsageError(f"--to {text}: there is no target '{name}'", hint)
    if name in PATHS and not where:
        raise UsageError(f"--to {text}: it names no place", f"write it like {name}:/a/folder")
    return name, str(Path(where.removeprefix("//")).expanduser().absolute()) if name in PATHS else where


def questions(order: Order) -> list[Question]:
    """Names of which only their owner knows whether they are public. Raises `StoreError`."""
    return redact.questions(order.stored, order.names)


def prepare(order: Order) -> Ready:
    """Touches no network. A parcel that was made of the same for the same place, and is kept, is taken again. Raises `UsageError` for an
    address that is none, `VerifyError` where something in the bytes must not leave."""
    target = TARGETS[order.target]
    audience, origin = target.audience(order.where), f"{_evidence(order.path)} {_choices(order)}"
    found = kept.find(order.state, order.target, order.where, origin)
    if found is None:
        what = redact.shareable(order.stored, order.names)
        if order.key is not None:
            what = replace(what, bundle=bundle.signed(what.bundle, partial(sign.sign, key=order.key)))
        parcel = Parcel(
            target=order.target,
            where=order.where,
            submission=base64.b32encode(random.token_bytes(16)).decode().rstrip("=").lower(),
            result=what.stored.result.id,
            files=target.files(what, order.where),
        )
        found = Kept(parcel=parcel, origin=origin)
    return _ready(order, found, audience)


def prepared_before(order: Order, file: Path) -> Ready:
    """What the consent in the file is for, as it was kept then. Raises `NoConsent` where it is not, and as `prepare`."""
    agreed = consent.read(file, order.state)
    audience, found = TARGETS[order.target].audience(order.where), kept.by_submission(order.state, agreed.submission)
    if found is None:
        raise NoConsent(f"--consent {file}: the bytes that it is for are not kept here any more", consent.LOOK_AGAIN)
    if (agreed.target, agreed.where) != (order.target, order.where):
        what = f"{agreed.target}:{agreed.where}, not for {order.target}:{order.where}"
        raise NoConsent(f"--consent {file}: it is for {what}", consent.LOOK_AGAIN)
    if found.origin.partition(" ")[0] != _evidence(order.path):
        raise NoConsent(f"--consent {file}: {order.path} is not what was looked at then", consent.LOOK_AGAIN)
    return _ready(order, found, audience)


def _ready(order: Order, found: Kept, audience: Audience) -> Ready:
    files = found.parcel.files
    if strange := [name for name in files if not bundle.NAME.fullmatch(name)]:
        raise StoreError(f"{strange[0]!r} is no name for a file", "tell whoever made this target")
    scan.require(files, order.names.own | order.secrets)
    return Ready(path=order.path, state=order.state, kept=found, audience=audience)


def check(ready: Ready, secrets: Mapping[str, str]) -> None:
    """Before anybody is asked, or a consent used: whether it could be sent at all. Raises `UsageError`, `MachineError`."""
    TARGETS[ready.parcel.target].check(ready.parcel, secrets)


def dry_run(ready: Ready, to: Path) -> None:
    """Writes the very bytes into a new folder, and keeps them to be sent. Raises `UsageError`, `StoreError`."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--dry-run {to}: it is there, and not an empty folder", "name another one, or remove it")
    try:
        for name, data in ready.parcel.files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes(data)
    except OSError as error:
        raise StoreError(
            f"{error.filename}: cannot be written: {error.strerror}", "write it elsewhere: --dry-run DIR"
        ) from None
    kept.keep(ready.state, ready.kept)


def agree(ready: Ready) -> Consent:
    """What the phrase that was typed stands for."""
    return consent.given(ready.parcel, ready.audience)


def agree_later(ready: Ready, file: Path) -> Consent:
    """The same, in a file that can be used once."""
    kept.keep(ready.state, ready.kept)
    agreed = agree(ready)
    consent.write(agreed, ready.state, file)
    return agreed


def agreed_before(ready: Ready, file: Path) -> Consent:
    """Uses it up. Raises `NoConsent`."""
    return consent.use(file, ready.state, ready.parcel, ready.audience)


def send(ready: Ready, agreed: Consent, how: str, secrets: Mapping[str, str], say: Say) -> Receipt:
    """`how` the consent was given: `terminal` or `file`. Raises `NoConsent` where it is not what would be sent now; as `Target.send`."""
    _same(ready, agreed)
    parcel, target = ready.parcel, TARGETS[ready.parcel.target]
    receipt = Receipt(
        id=agreed.id,
        result=parcel.result,
        target=parcel.target,
        where=parcel.where,
        audience=agreed.audience,
        submission=parcel.submission,
        sha256=agreed.sha256,
        files=ready.files,
        consent=how,
        began=_now(),
    )
    kept.keep(ready.state, ready.kept)
    receipts.begin(ready.path, receipt)
    with _told(ready.path, receipt):
        answer = target.send(parcel, secrets, frozenset(ready.kept.sent), say)
    receipt = replace(receipt, ended=_now(), **msgspec.structs.asdict(answer))
    receipts.end(ready.path, receipt)
    if receipt.confirmed:
        kept.drop(ready.state, ready.kept)
    else:
        kept.keep(ready.state, replace(ready.kept, sent=tuple(sorted({*ready.kept.sent, *answer.sent}))))
    return receipt


def withdraw(path: Path, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Receipt:
    """Asks the target. Raises `MachineError` where it cannot be asked, `UsageError` for a target that is not known here."""
    if receipt.target not in TARGETS:
        raise UsageError(f"there is no target '{receipt.target}'", "ask the harness that sent it")
    answer: Answer = TARGETS[receipt.target].withdraw(receipt, secrets, say)
    told = Withdrawal(when=_now(), confirmed=answer.confirmed, said=answer.said)
    receipt = replace(receipt, withdrawal=told)
    receipts.end(path, receipt)
    return receipt


def fields(ready: Ready) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    return ((name, contents.fields(name, data)) for name, data in contents.members(ready.parcel.files))


def exact(ready: Ready) -> Iterator[tuple[str, Iterator[str]]]:
    return ((name, contents.dump(data)) for name, data in contents.members(ready.parcel.files))


def every(root: Path) -> Sequence[Receipt]:
    return [receipt for _, receipt in receipts.every(root)]


@contextmanager
def _told(path: Path, receipt: Receipt) -> Iterator[None]:
    """The receipt says how a sending ended that gave no answer."""
    try:
        yield
    except HarnessError as error:
        receipts.end(path, replace(receipt, ended=_now(), said=error.message, missing=tuple(receipt.files)))
        raise
    except (KeyboardInterrupt, SystemExit):
        said = "it was interrupted; what has arrived is not known"
        receipts.end(path, replace(receipt, ended=_now(), said=said, missing=tuple(receipt.files)))
        raise


def _same(ready: Ready, agreed: Consent) -> None:
    """What would be sent is what was agreed to, and what that was made of is still the same."""
    parcel = ready.parcel
    if agreed.sha256 != parcel.sha256:
        raise NoConsent("what would be sent is not what was agreed to, so nothing was sent", consent.LOOK_AGAIN)
    if TARGETS[parcel.target].audience(parcel.where) != agreed.audience:
        raise NoConsent("who gets or sees it has changed since it was shown, so nothing was sent", consent.LOOK_AGAIN)
    if _evidence(ready.path) != ready.kept.origin.partition(" ")[0]:
        raise NoConsent(f"{ready.path} has changed since it was shown, so nothing was sent", consent.LOOK_AGAIN)


def _evidence(path: Path) -> str:
    """SHA-256 of the result's files. Raises `StoreError`."""
    about = bundle.manifest(folder.evidence(path), result=path.name, harness_version=__version__)
    return hashlib.sha256(bundle.encoded(about)).hexdigest()


def _choices(order: Order) -> str:
    chosen = (str(order.key), sorted((kind, sorted(said.items())) for kind, said in order.names.said.items()))
    return hashlib.sha256(msgspec.json.encode(chosen)).hexdigest()


def _entry(data: bytes) -> Entry:
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def _now() -> str:
    return clock.utc_now().isoformat(timespec="seconds")
