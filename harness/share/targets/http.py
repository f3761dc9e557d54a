"""A self-hosted collector. Its protocol is in docs/sharing.md; whatever answers is taken at its word only where it names the bytes."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from harness import clock
from harness.errors import MachineError, UsageError
from harness.schema.consent import Audience, Receipt
from harness.share import request
from harness.share.parcel import TOKEN, Answer, Parcel, Shareable
from harness.typed import decoded

INSECURE = "http+insecure"
LONGEST_URL = 500
PATIENCE_S, SLOWEST_BYTES_S = 60.0, 100_000
"""For one request whatever the other side does, and besides for what it carries."""
TRIES, LONGEST_WAIT_S, PAUSE_S = 3, 30, 1
LATER = (429, 503)
MEANING = {
    401: "it does not know this token",
    403: "it does not allow this",
    404: "it has nothing under this address",
    409: "it has another bundle under this submission",
    413: "it does not take so large a bundle",
    422: "it has looked at the bundle and refused it",
    429: "it takes no more just now",
    503: "it takes nothing just now",
}

Say = Callable[[str], None]


class Said(msgspec.Struct, frozen=True):
    sha256: str = ""
    state: str = ""
    reasons: tuple[str, ...] = ()
    url: str = ""


class Reply(msgspec.Struct, frozen=True):
    """`status` 0: no answer, `said` has the reason; then nothing was even sent unless it was `reached`."""

    status: int
    said: Said
    reached: bool = True
    retry_after_s: int | None = None
    location: str = ""

    @property
    def ok(self) -> bool:
        return self.status in (200, 201)


class Http:
    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s

    def audience(self, where: str) -> Audience:
        place = _place(where)
        insecure = place.scheme == INSECURE
        return Audience(
            to=f"the collector {_shown(where)}",
            seen_by="whoever runs it, and to whom they show it: ask them"
            + ("; and whoever is on the way there, for it goes without TLS, as does your token" if insecure else ""),
            terms="the harness knows none: ask whoever runs it",
            withdrawal="harness share withdraw asks it to delete it; whoever has a copy keeps it",
        )

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        return {f"{shareable.name}.tar": shareable.bundle}

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        _token(secrets)

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Say) -> Answer:
        ((name, data),) = parcel.files.items()
        digest = hashlib.sha256(data).hexdigest()
        ask = self._asking(parcel.where, parcel.submission, secrets)
        for left in reversed(range(TRIES)):
            say(f"Sending {len(data):,} bytes to {_shown(parcel.where)}")
            reply = ask("PUT", data, {"content-type": "application/x-tar", "x-bundle-sha256": digest})
            broken = reply.status == 0
            if not reply.reached and left == TRIES - 1:
                raise MachineError(
                    f"{_shown(parcel.where)} cannot be reached: {reply.said.reasons[0]}",
                    "see that it runs, and that its name and certificate are right",
                )
            if broken:
                say(f"No answer: {reply.said.reasons[0]}. Asking whether it has arrived")
                seen = ask("GET")
                if seen.status not in (0, 404):
                    return _answer(parcel, name, digest, seen)
                if seen.status == 0:
                    why = f"the connection broke ({reply.said.reasons[0]}), and it does not say what arrived: {seen.said.reasons[0]}"
                    return Answer(confirmed=False, said=why, missing=(name,))
            wait_s = PAUSE_S if broken else reply.retry_after_s if reply.status in LATER else None
            if not left or wait_s is None or wait_s > LONGEST_WAIT_S:
                break
            say(f"{'It has not arrived' if broken else MEANING[reply.status]}: once more in {wait_s} s")
            clock.sleep(wait_s)
        return _answer(parcel, name, digest, reply)

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Answer:
        reply = self._asking(receipt.where, receipt.submission, secrets)("DELETE")
        if reply.ok and reply.said.state == "withdrawn":
            return Answer(confirmed=True, said="it says that it has deleted it")
        return Answer(confirmed=False, said=_refusal(reply) or "it answers, but does not say that it has deleted anything")

    def _asking(self, where: str, submission: str, secrets: Mapping[str, str]) -> Callable[..., Reply]:
        token, place = _token(secrets), _place(where)
        path = f"{place.path.rstrip('/')}/v1/bundles/{submission}"
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}

        def ask(method: str, data: bytes | None = None, more: Mapping[str, str] = {}) -> Reply:
            return _request(place, method, path, {**headers, **more}, data, self._patience_s)

        return ask


def _token(secrets: Mapping[str, str]) -> str:
    token = secrets.get(TOKEN)
    if not token:
        raise UsageError(
            "a collector asks for a token", "name it: --token-env NAME, or --token-file FILE that only you can read"
        )
    if not re.fullmatch("[!-~]+", token):
        raise UsageError("this token has blanks or other characters that no header can have", "store the token alone")
    return token


def _answer(parcel: Parcel, name: str, digest: str, reply: Reply) -> Answer:
    if why := _refusal(reply):
        return Answer(confirmed=False, said=why, missing=(name,))
    said = reply.said
    if said.state == "accepted" and said.sha256 == digest:
        url = said.url if re.fullmatch(r"https?://[!-~]+", said.url) and len(said.url) <= LONGEST_URL else ""
        own = f"{_shown(parcel.where)}/v1/bundles/{parcel.submission}"
        return Answer(confirmed=True, said="it has these bytes", reference=url or own, sent=(name,))
    what = "the right SHA-256" if said.sha256 == digest else f"the SHA-256 of other bytes: {request.short(said.sha256)}"
    what = what if said.sha256 else "no SHA-256 of what it has"
    return Answer(
        confirmed=False,
        said=f"it answers {reply.status} with the state '{request.short(said.state)}' and {what}",
        missing=(name,),
    )


def _refusal(reply: Reply) -> str:
    """Why nothing came of it; empty: it may have."""
    reasons = request.short("; ".join(reply.said.reasons))
    if reply.status == 0:
        return f"no answer: {reasons}"
    if 300 <= reply.status < 400:
        elsewhere = request.short(reply.location) or "nowhere"
        return f"it answers {reply.status} and sends us to {elsewhere}: neither bundle nor token went there"
    if not reply.ok:
        later = f", come back in {reply.retry_after_s} s" if reply.retry_after_s is not None else ""
        what = MEANING.get(reply.status, "a fault of its own" if reply.status >= 500 else "it did not take it")
        return f"it answers {reply.status}: {what}{later}" + (f": {reasons}" if reasons else "")
    return f"it refused the bundle: {reasons or 'it gives no reason'}" if reply.said.state == "refused" else ""


def _request(
    place: SplitResult, method: str, path: str, headers: Mapping[str, str], data: bytes | None, patience_s: float
) -> Reply:
    base = f"{'https' if place.scheme == 'https' else 'http'}://{place.netloc}"
    found = request.send(base, method, path, headers, data, patience_s=patience_s, slowest_bytes_s=SLOWEST_BYTES_S)
    if found.status == 0:
        return Reply(0, Said(reasons=(found.body.decode(),)), reached=found.reached)
    try:
        said = decoded(found.body, Said) if found.whole else Said()
    except msgspec.MsgspecError:
        said = Said()
    return Reply(found.status, said, retry_after_s=found.later_s, location=found.location)


def _place(where: str) -> SplitResult:
    hint = "write it like https://collector.example.org, without a name, password or query in it"
    try:
        place = urlsplit(where)
        place.port  # noqa: B018  # it is looked at when it is asked for
    except ValueError:
        raise UsageError(f"--to {where}: it is no address", hint) from None
    if (
        place.scheme not in ("https", "http", INSECURE)
        or not re.fullmatch("[!-~]+", where)
        or not place.hostname
        or "@" in place.netloc
        or place.query
        or place.fragment
    ):
        raise UsageError(f"--to {where}: it is no address of a collector", hint)
    if place.scheme == "http" and not _here(place.hostname):
        raise UsageError(
            f"--to {where}: without TLS everybody on the way would read bundle and token",
            f"use https, or say that it may be so: {INSECURE}{where[4:]}",
        )
    return place


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(where: str) -> str:
    return where.rstrip("/")
