"""Spark Arena's leaderboard: sparkrun's three files into the storage that its login names. The protocol is that of sparkrun 0.4.2's plugin
`sparkarena`.

A file counts as uploaded where the storage answers with its name, its size and the MD5 sum of our bytes. Whether the leaderboard takes the
submission is decided later, and nobody here learns of it.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec

from harness import __version__
from harness.errors import MachineError, UsageError
from harness.schema.consent import Audience, Receipt
from harness.share import arena_files, arena_login, request
from harness.share.arena_login import AUTH, Login
from harness.share.parcel import TOKEN, Answer, Parcel, Shareable
from harness.share.request import Reply
from harness.typed import decoded

STORAGE = "https://firebasestorage.googleapis.com"
LATER = "whether the leaderboard takes them is decided there later, and not known here"
MEANING = {401: "the login is not taken", 403: "it may not be written there", 429: "too many requests"}

Say = Callable[[str], None]


class Held(msgspec.Struct, frozen=True):
    """What Firebase Storage says that it has."""

    name: str = ""
    bucket: str = ""
    size: int | str = ""
    md5Hash: str = ""  # noqa: N815  its name there


class Fault(msgspec.Struct, frozen=True):
    class Inner(msgspec.Struct, frozen=True):
        message: str = ""

    error: Inner = Inner()


class SparkArena:
    def audience(self, where: str) -> Audience:
        auth, storage = hosts(where)
        return Audience(
            to=f"Spark Arena (spark-arena.com): the login goes to {auth}, the files to {storage}, into the bucket that the login "
            "names, under your user id there; the leaderboard's people also get the account that you log in with",
            seen_by="everybody: results and recipes on the leaderboard are public, and the profile of your hardware with them",
            terms="none are known to the harness: ask at spark-arena.com. What is accepted is decided there, after the upload",
            withdrawal="none is documented: what was uploaded stays, unless the leaderboard's people take it away",
        )

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        return arena_files.files(shareable)

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        _refresh_token(secrets)

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Say) -> Answer:
        """`sent` has the objects' full names, since they lie under the user who sent them."""
        auth, storage = hosts(parcel.where)
        refresh_token = _refresh_token(secrets)
        login = arena_login.exchange(auth, refresh_token)
        folder = f"submissions/{login.user_id}/{_submission(parcel.submission)}"
        there = {name for name in parcel.files if f"{folder}/{name}" in sent}
        problem = ""
        for name, data in parcel.files.items():
            if name in there:
                continue
            say(f"Sending {name}, {len(data):,} bytes")
            if problem := _upload(storage, login, f"{folder}/{name}", data, refresh_token):
                problem = f"{name}: {problem}"
                break
            there.add(name)
        return Answer(
            confirmed=not problem,
            said=problem or f"the storage has all {len(there)} files, by their MD5 sums; {LATER}",
            reference=f"gs://{login.bucket}/{folder}",
            sent=tuple(f"{folder}/{name}" for name in parcel.files if name in there),
            missing=tuple(name for name in parcel.files if name not in there),
        )

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Answer:
        raise MachineError(
            "Spark Arena has no way to take a submission back that is documented, so nothing was asked",
            f"write to the leaderboard's people, and name {receipt.reference or 'the submission'}",
        )


def hosts(where: str) -> tuple[str, str]:
    """(login, storage). Raises `UsageError`: any other address than theirs must be a port of this machine, for tests."""
    if not where:
        return AUTH, STORAGE
    if not request.loopback(where):
        raise UsageError(
            f"--to spark-arena:{where}: its address is always the same",
            "write --to spark-arena; http://127.0.0.1:PORT is for tests",
        )
    return where, where


def _refresh_token(secrets: Mapping[str, str]) -> str:
    if not (token := secrets.get(TOKEN)):
        raise MachineError("you are not logged in to Spark Arena", "log in: harness share login")
    return token


def _submission(name: str) -> str:
    """As a UUID, which ids there are."""
    return str(uuid.UUID(bytes=base64.b32decode(f"{name.upper()}======"), version=4))


def _upload(storage: str, login: Login, name: str, data: bytes, refresh_token: str) -> str:
    """What went wrong; empty: the storage says that it has these bytes."""
    headers = {
        "authorization": f"Bearer {login.id_token}",
        "content-type": "application/octet-stream",
        "user-agent": f"spark-harness/{__version__}",
    }
    path = f"/v0/b/{quote(login.bucket, safe='')}/o?name={quote(name, safe='')}"
    reply = request.send(storage, "POST", path, headers, data)
    if reply.status == 0:
        broke = "the storage cannot be reached" if not reply.reached else "the connection broke, so it may be there or not"
        return f"{broke}: {reply.text}"
    if reply.status != 200:
        return _refusal(reply, login.id_token, refresh_token)
    try:
        held = decoded(reply.body, Held)
    except msgspec.MsgspecError:
        held = Held()
    if not (held.name and held.size and held.md5Hash):
        return "the storage answers 200, but does not say what it has"
    wanted = Held(
        name, login.bucket, str(len(data)), base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    )
    if (held.name, held.bucket or login.bucket, str(held.size), held.md5Hash) != msgspec.structs.astuple(wanted):
        return "the storage answers 200, but with the name, size or MD5 sum of something else"
    return ""


def _refusal(reply: Reply, *secrets: str) -> str:
    later = f", come back in {reply.later_s} s" if reply.later_s is not None else ""
    what = MEANING.get(reply.status, "it is not taken")
    try:
        words = decoded(reply.body, Fault).error.message
    except msgspec.MsgspecError:
        words = ""
    words = request.short(request.without(words, *secrets))
    return f"the storage answers {reply.status}: {what}{later}" + (f": {words}" if words else "")
