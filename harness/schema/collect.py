"""What the collector keeps of users and bundles, what it answers (docs/sharing.md), and what it asks of the processes that open bundles."""

from __future__ import annotations

import msgspec

from harness.schema.doctor import Check

ACCEPTED, REFUSED, WITHDRAWN = "accepted", "refused", "withdrawn"
SENDER, ADMIN = "sender", "admin"
ROLES = (SENDER, ADMIN)
"""Both send and take back their own; an admin takes back anybody's."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: str
    keys: tuple[str, ...]
    """Public SSH keys, one of which must have signed; none: the server's allowed-signers file says who may."""
    added: str
    """UTC, ISO 8601, as all times here."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted bundle says of itself."""

    run: str = ""
    """The result's id and the start of its run: the same run sent again by the same user takes the earlier one's place."""
    result: str = ""
    recipe: str = ""
    model: str = ""
    engine: str = ""
    harness_version: str = ""
    signed_by: str = ""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A row: a submission, and what became of it."""

    submission: str
    user: str
    sha256: str
    bytes: int
    state: str
    reasons: tuple[str, ...] = ()
    received: str
    superseded_by: str | None = None
    """The submission that took its place: it is kept, and not shown."""
    run: str = ""
    result: str = ""
    recipe: str = ""
    model: str = ""
    engine: str = ""
    harness_version: str = ""
    signed_by: str = ""


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to whoever sends."""

    sha256: str = ""
    state: str = ""
    reasons: tuple[str, ...] = ()
    url: str = ""
    superseded_by: str | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One page of `GET /v1/bundles`."""

    bundles: tuple[Held, ...]
    next: str | None
    """To be asked for with `?after=`; None: there are no more."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Of a process that opens what others sent."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int
    """Of the largest file that it may write."""

    @property
    def patience_s(self) -> int:
        """Until it is ended: a busy machine gives it less than a core."""
        return 4 * self.cpu_s


class Examine(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The bundle `bundle.tar` by the file `allowed_signers`, both in the process's own folder."""

    bounds: Bounds
    identity: str | None
    """Who must have signed; None: anybody in that file."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    checks: tuple[Check, ...] = ()
    about: About | None = None
    """None: refused, or `error`."""
    error: str = ""
    """What kept the collector from looking: no fault of the bundle."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    submission: str
    user: str
    bundle: str
    """Its file."""


class Build(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The site from these bundles, into the new folder `out`; what is unpacked is kept in `results`."""

    bounds: Bounds
    shown: tuple[Shown, ...]
    results: str
    out: str
    recipes: tuple[str, ...]
    facts: str


class Task(msgspec.Struct, frozen=True):
    task: Examine | Build


class Built(msgspec.Struct, frozen=True, kw_only=True):
    pages: int = 0
    damaged: tuple[str, ...] = ()
    error: str = ""
