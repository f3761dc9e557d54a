"""What the collector answers (docs/sharing.md): bundles in and out of its hands, a list, and the pages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import wraps

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from harness import clock
from harness.collect import body
from harness.collect.child import Children
from harness.collect.depot import Depot
from harness.collect.gate import Rate, Slots, whose
from harness.collect.intake import Intake, Unable
from harness.collect.rows import Rows
from harness.collect.settings import Settings
from harness.errors import HarnessError, one_line
from harness.report.site import page
from harness.schema.collect import ACCEPTED, ADMIN, REFUSED, WITHDRAWN, Held, Listed, Said, User

SUBMISSION, SHA256, SIZE, TOKEN = (re.compile(text) for text in ("[a-z2-7]{26}", "[0-9a-f]{64}", "[0-9]{1,15}", "[!-~]{1,200}"))
PAGE = re.compile(r"(?:(results)/)?([a-z0-9_-]{1,64})\.html")
LATER_S = 5
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""The policy of all that is no page."""

Answering = Callable[[Request], Awaitable[Response]]


class No(Exception):
    """An answer that ends the request. What is left of its body is not waited for."""

    def __init__(self, status: int, reason: str, later_s: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.later_s = status, reason, later_s


class Web:
    def __init__(
        self,
        depot: Depot,
        rows: Rows,
        settings: Settings,
        children: Children,
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._depot, self._rows, self._settings, self._changed, self._say = depot, rows, settings, changed, say
        self._intake = Intake(depot, rows, settings, children, changed)
        self._by_token, self._by_address = Rate(settings.per_minute), Rate(10 * settings.per_minute)
        self._slots = Slots(settings.uploads)
        self._parts = 0
        routes = {
            "/v1/bundles": {"GET": self.listed},
            "/v1/bundles/{submission}": {"PUT": self.put, "GET": self.get, "DELETE": self.delete},
            "/{page:path}": {"GET": self.page},
        }
        self.routes = [
            Route(path, self._guarded(answer), methods=[method])
            for path, methods in routes.items()
            for method, answer in methods.items()
        ]

    async def put(self, request: Request) -> Response:
        user, submission = await self._user(request), _submission(request)
        size, sha256 = self._announced(request)
        with self._slots as free:
            if not free:
                raise No(503, "as many bundles as it takes at once are on their way", LATER_S)
            if self._depot.free_bytes() < self._settings.spare_bytes + 2 * size:  # what is unpacked is no larger
                raise No(503, "its disk is full", 600)
            self._parts += 1
            part = self._depot.incoming / f"{submission}.{self._parts}"
            try:
                found = await body.received(request, size, part, self._settings.patience_s)
                if found != sha256:
                    raise No(400, f"other bytes arrived than were announced: their SHA-256 is {found}")
                sent = Held(submission=submission, user=user.name, sha256=found, bytes=size, state="", received=_now())
                held, new = await self._intake.take(part, sent, user)
            except body.Broken as error:
                raise No(408, str(error)) from None
            except Unable as error:
                raise No(503, str(error), 60) from None
            finally:
                part.unlink(missing_ok=True)
        if new:
            why = "; ".join(held.reasons) or f"{held.recipe}, {held.bytes:,} bytes, signed by {held.signed_by}"
            self._say(f"{held.state} {submission} of {user.name}: {one_line(why)}")
        if held.user != user.name or held.sha256 != found:
            raise No(409, "another bundle has this submission")
        if held.state == WITHDRAWN:
            raise No(409, "it was taken back: send it as another submission")
        if held.state == REFUSED:
            unsigned = all(reason.startswith("signature: ") for reason in held.reasons)
            return self._answer(held, 403 if unsigned else 422)
        return self._answer(held, 201 if new else 200)

    async def get(self, request: Request) -> Response:
        user, submission = await self._user(request), _submission(request)
        return self._answer(await self._own(user, submission))

    async def delete(self, request: Request) -> Response:
        user, submission = await self._user(request), _submission(request)
        held = await self._own(user, submission)
        if held.state != WITHDRAWN:
            await run_in_threadpool(self._depot.withdraw, held, self._rows)
            self._changed()
            self._say(f"withdrawn {submission} of {held.user} by {user.name}")
        return self._answer(msgspec.structs.replace(held, state=WITHDRAWN, reasons=()))

    async def listed(self, request: Request) -> Response:
        """What is accepted and not superseded, by submission."""
        found = await run_in_threadpool(self._rows.page, request.query_params.get("after", ""))
        more = await run_in_threadpool(self._rows.page, found[-1].submission, 1) if found else []
        return _json(Listed(bundles=tuple(found), next=found[-1].submission if more else None))

    async def page(self, request: Request) -> Response:
        """Only pages that the builder wrote, and of results only those that are there still."""
        name = request.path_params["page"] or "index.html"
        wanted = PAGE.fullmatch(name)
        if not wanted:
            raise No(404, "there is no such page")
        if wanted[1]:
            held = await run_in_threadpool(self._rows.find, wanted[2])
            if held is None or held.state != ACCEPTED or held.superseded_by:
                raise No(404, "there is no such result")
        file = self._depot.current / name
        if not await run_in_threadpool(file.is_file):
            building = not wanted[1] and not await run_in_threadpool(self._depot.current.exists)
            raise No(503, "the pages are being made", LATER_S) if building else No(404, "there is no such page yet")
        policy = f"{page.policy()}; frame-ancestors 'none'"
        return FileResponse(file, media_type="text/html", headers=HEADERS | {"content-security-policy": policy})

    def _guarded(self, answer: Answering) -> Answering:
        """Counts who asks, and makes an answer of whatever goes wrong."""

        @wraps(answer)
        async def guarded(request: Request) -> Response:
            try:
                _often(self._by_address, whose(request.client.host if request.client else ""))
                return await answer(request)
            except No as no:
                return _Refusal(request, no)
            except (HarnessError, SQLAlchemyError, OSError) as error:
                self._say(f"fault: {request.method} {one_line(request.url.path)}: {one_line(str(error).splitlines()[0])}")
                return _Refusal(request, No(503, "a fault of its own: its log says more", 60))

        return guarded

    async def _user(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and TOKEN.fullmatch(token)
        user = await run_in_threadpool(self._rows.of_token, token) if known else None
        if user is None:
            raise No(401, "it does not know this token: ask whoever runs it")
        _often(self._by_token, user.name)
        return user

    async def _own(self, user: User, submission: str) -> Held:
        held = await run_in_threadpool(self._rows.find, submission)
        if held is None or (held.user != user.name and user.role != ADMIN):
            raise No(404, "there is no such bundle of this token")
        return held

    def _announced(self, request: Request) -> tuple[int, str]:
        """Bytes and SHA-256 of the body, before any of it is read."""
        headers = request.headers
        size, sha256 = headers.get("content-length", ""), headers.get("x-bundle-sha256", "")
        if "transfer-encoding" in headers or not SIZE.fullmatch(size):
            raise No(411, "a bundle comes at once, with its content-length")
        if int(size) > self._settings.largest_bytes:
            raise No(413, f"it takes bundles of up to {self._settings.largest_bytes:,} bytes")
        if headers.get("content-type") != "application/x-tar" or "content-encoding" in headers:
            raise No(415, "a bundle is application/x-tar, and not compressed")
        if not SHA256.fullmatch(sha256):
            raise No(400, "x-bundle-sha256 is not the SHA-256 of a body")
        return int(size), sha256

    def _answer(self, held: Held, status: int = 200) -> Response:
        url = f"{self._settings.url}/results/{held.submission}.html" if self._settings.url and held.state == ACCEPTED else ""
        said = Said(sha256=held.sha256, state=held.state, reasons=held.reasons, url=url, superseded_by=held.superseded_by)
        return _json(said, status)


class _Refusal(Response):
    """Says no, and then throws away for a moment what still comes: the answer would be lost with a connection that breaks."""

    media_type = "application/json"

    def __init__(self, request: Request, no: No) -> None:
        more = {} if no.later_s is None else {"retry-after": str(no.later_s)}
        more |= {"www-authenticate": "Bearer"} if no.status == 401 else {}
        headers = HEADERS | {"content-security-policy": NOTHING, "connection": "close"} | more
        super().__init__(msgspec.json.encode(Said(reasons=(no.reason,))), no.status, headers)
        self._request = request

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if self._request.headers.get("content-length", "0") != "0" and "expect" not in self._request.headers:
            await body.thrown_away(self._request)
        await send({"type": "http.response.body", "body": b""})


def _json(what: object, status: int = 200) -> Response:
    headers = HEADERS | {"content-security-policy": NOTHING}
    return Response(msgspec.json.encode(what), status, headers, "application/json")


def _submission(request: Request) -> str:
    found: str = request.path_params["submission"]
    if not SUBMISSION.fullmatch(found):
        raise No(404, "a submission is 26 of the characters a-z and 2-7")
    return found


def _often(rate: Rate, name: str) -> None:
    if wait_s := rate.wait_s(name):
        raise No(429, f"more than {rate.per_minute} requests a minute", wait_s)


def _now() -> str:
    return f"{clock.utc_now():%Y-%m-%dT%H:%M:%SZ}"
