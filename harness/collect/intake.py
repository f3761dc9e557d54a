"""From bytes on the disk to a row: few verifications at once, and the same answer for the same bytes."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool

from harness import clock
from harness.collect import child
from harness.collect.depot import Depot
from harness.collect.examine import ALLOWED, BUNDLE, reasons
from harness.collect.rows import Rows, Taken
from harness.collect.settings import Settings
from harness.errors import MachineError
from harness.schema.collect import ACCEPTED, REFUSED, Examine, Held, User, Verdict
from harness.schema.doctor import FAIL, Check
from harness.share.sign import NAMESPACE

KEEP_REFUSALS = datetime.timedelta(days=30)


class Unable(Exception):
    """The collector cannot look at it now: no fault of the bundle."""


class Intake:
    def __init__(
        self, depot: Depot, rows: Rows, settings: Settings, children: child.Children, changed: Callable[[], None]
    ) -> None:
        """`changed` is called where the pages are no longer what they should be."""
        self._depot, self._rows, self._settings, self._children, self._changed = depot, rows, settings, children, changed
        self._verifying = asyncio.Semaphore(settings.verifications)

    async def take(self, part: Path, held: Held, user: User) -> tuple[Held, bool]:
        """`held`: the submission as received, of which `part` is on the disk. Gives what the collector has of it now, and whether that is
        new. Raises `Unable`."""
        if (found := await run_in_threadpool(self._rows.find, held.submission)) and _settled(found, held):
            return found, False
        async with self._verifying:
            try:
                verdict = await run_in_threadpool(self._examined, part, user)
            except child.Ended as error:
                verdict = Verdict(checks=(Check("bundle", FAIL, str(error)),))
        if verdict.error:
            raise Unable(verdict.error)
        now = clock.utc_now()
        try:
            if verdict.about is None:
                held = msgspec.structs.replace(held, state=REFUSED, reasons=reasons(verdict))
                await run_in_threadpool(self._rows.keep, held, f"{now - KEEP_REFUSALS:%Y-%m-%dT%H:%M:%SZ}")
            else:
                held = msgspec.structs.replace(held, state=ACCEPTED, **msgspec.structs.asdict(verdict.about))
                await run_in_threadpool(self._depot.keep, part, held, self._rows)
                self._changed()
        except Taken:  # it was sent twice at the same moment
            found = await run_in_threadpool(self._rows.find, held.submission)
            if found is None:
                raise Unable("the submission is being withdrawn") from None
            return found, False
        return held, True

    def _examined(self, part: Path, user: User) -> Verdict:
        with self._depot.room() as room:
            (room / BUNDLE).hardlink_to(part)
            (room / ALLOWED).write_bytes(self._signers(user))
            identity = user.name if user.keys else None
            return self._children.ask(Examine(bounds=self._settings.examining, identity=identity), room, Verdict)

    def _signers(self, user: User) -> bytes:
        """An allowed-signers file: of the user's own keys, else the server's."""
        if user.keys:
            return "".join(f'{user.name} namespaces="{NAMESPACE}" {key}\n' for key in user.keys).encode()
        if self._settings.allowed is None:
            return b""
        try:
            return self._settings.allowed.read_bytes()
        except OSError as error:
            raise MachineError(f"{self._settings.allowed}: {error.strerror}", "put the file of allowed signers back") from None


def _settled(found: Held, sent: Held) -> bool:
    """Whether nothing is to be looked at. The same bytes that were refused are looked at again: keys may be known now that were not."""
    return (found.user, found.sha256) != (sent.user, sent.sha256) or found.state != REFUSED
