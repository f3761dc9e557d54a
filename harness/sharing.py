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
from harness.errors import HarnessError, NoConsent, StoreError, UsageError, VerifyError, did_you_mean
from harness.schema.bundle import Entry
from harness.schema.consent import Audience, Consent, Receipt, Withdrawal
from harness.schema.result import Result
from harness.share import bundle, consent, contents, kept, receipts, sign
from harness.share.kept import Kept
from harness.share.parcel import Answer, Parcel, Shareable
from harness.share.targets import TARGETS
from harness.store import folder
from harness.typed import decoded

Say = Callable[[str], None]

SCHEMES = {"http": "http", "https": "http", "http+insecure": "http"}
"""Addresses that are whole without the target's name."""
PATHS = ("file", "git")
"""Targets whose address is a place on this machine."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent, and all that a preview tells of it."""

    path: Path
    """The result's folder."""
    state: Path
    """Of the user: kept parcels, and consents."""
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


def prepare(path: Path, target: str, where: str, state: Path, *, key: Path | None, secrets: Mapping[str, str]) -> Ready:
    """Touches no network. A parcel that was made of the same files for the same place, and is kept, is taken again. `key` signs the bundle;
    `secrets` must not be in what is sent. Raises `UsageError` for an address that is none, `VerifyError` where something in the bytes looks
    like a secret."""
    audience = TARGETS[target].audience(where)
    origin = _origin(path, key)
    found = kept.find(state, target, where, origin)
    if found is None:
        what = _shareable(path)
        if key is not None:
            what = msgspec.structs.replace(what, bundle=bundle.signed(what.bundle, partial(sign.sign, key=key)))
        parcel = Parcel(
            target=target,
            where=where,
            submission=base64.b32encode(random.token_bytes(16)).decode().rstrip("=").lower(),
            result=what.stored.result.id,
            files=TARGETS[target].files(what, where),
        )
        found = Kept(parcel=parcel, origin=origin)
    for name in found.parcel.files:
        if not bundle.NAME.fullmatch(name):
            raise StoreError(f"{name!r} is no name for a file", "tell whoever made this target")
    _scan(found.parcel.files, secrets)
    return Ready(path=path, state=state, kept=found, audience=audience)


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
    receipt = msgspec.structs.replace(receipt, ended=_now(), **msgspec.structs.asdict(answer))
    receipts.end(ready.path, receipt)
    if receipt.confirmed:
        kept.drop(ready.state, ready.kept)
    else:
        kept.keep(ready.state, msgspec.structs.replace(ready.kept, sent=tuple({*ready.kept.sent, *answer.sent})))
    return receipt


def withdraw(path: Path, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Receipt:
    """Asks the target. Raises `MachineError` where it cannot be asked, `UsageError` for a target that is not known here."""
    if receipt.target not in TARGETS:
        raise UsageError(f"there is no target '{receipt.target}'", "ask the harness that sent it")
    answer: Answer = TARGETS[receipt.target].withdraw(receipt, secrets, say)
    told = Withdrawal(when=_now(), confirmed=answer.confirmed, said=answer.said)
    receipt = msgspec.structs.replace(receipt, withdrawal=told)
    receipts.end(path, receipt)
    return receipt


@contextmanager
def _told(path: Path, receipt: Receipt) -> Iterator[None]:
    """The receipt says how a sending ended that gave no answer."""
    try:
        yield
    except HarnessError as error:
        receipts.end(path, msgspec.structs.replace(receipt, ended=_now(), said=error.message, missing=tuple(receipt.files)))
        raise
    except (KeyboardInterrupt, SystemExit):
        said = "it was interrupted; what has arrived is not known"
        receipts.end(path, msgspec.structs.replace(receipt, ended=_now(), said=said, missing=tuple(receipt.files)))
        raise


def _same(ready: Ready, agreed: Consent) -> None:
    """What would be sent is what was agreed to, and what that was made of is still the same."""
    parcel = ready.parcel
    if (agreed.target, agreed.where, agreed.sha256) != (parcel.target, parcel.where, parcel.sha256):
        raise NoConsent("what would be sent is not what was agreed to, so nothing was sent", consent.LOOK_AGAIN)
    if TARGETS[parcel.target].audience(parcel.where) != agreed.audience:
        raise NoConsent("who gets or sees it has changed since it was shown, so nothing was sent", consent.LOOK_AGAIN)
    if _origin(ready.path, None) != ready.kept.origin.partition(" ")[0]:
        raise NoConsent(f"{ready.path} has changed since it was shown, so nothing was sent", consent.LOOK_AGAIN)


def _origin(path: Path, key: Path | None) -> str:
    """What a parcel is made of. Raises `StoreError`."""
    about = bundle.manifest(folder.evidence(path), result=path.name, harness_version=__version__)
    digest = hashlib.sha256(bundle.encoded(about)).hexdigest()
    return f"{digest} signed with {key}" if key else digest


def _shareable(path: Path) -> Shareable:
    import tempfile

    stored, files = folder.read(path), folder.evidence(path)
    about = bundle.manifest(files, result=stored.result.id, harness_version=stored.result.harness_version)
    with tempfile.TemporaryDirectory() as name:
        bundle.write(Path(name, "it"), files, about)
        return Shareable(stored=stored, recipe=stored.recipe_text, bundle=Path(name, "it").read_bytes())


def _scan(files: Mapping[str, bytes], secrets: Mapping[str, str]) -> None:
    """Raises `VerifyError`."""
    from harness import secret

    for name, data in contents.members(files):
        if secret.in_text(data.decode("latin-1")) or any(value.encode() in data for value in secrets.values()):
            raise VerifyError(f"{name}: something in it looks like a secret, so nothing was sent", "take it out")


def _entry(data: bytes) -> Entry:
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def _now() -> str:
    return clock.utc_now().isoformat(timespec="seconds")


def fields(ready: Ready) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    return ((name, contents.fields(name, data)) for name, data in contents.members(ready.parcel.files))


def exact(ready: Ready) -> Iterator[tuple[str, Iterator[str]]]:
    return ((name, contents.dump(data)) for name, data in contents.members(ready.parcel.files))


def every(root: Path) -> Sequence[Receipt]:
    return [receipt for _, receipt in receipts.every(root)]
