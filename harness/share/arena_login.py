"""Logging in to Spark Arena, as sparkrun 0.4.2 does: by a code that is typed on another device, or in a browser on this machine.

Both bring a refresh token; `exchange` turns that into what an upload needs. It is the only secret that is kept.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from harness import __version__, clock
from harness.errors import MachineError, UsageError
from harness.share import request
from harness.share.request import LARGEST_ANSWER, Reply
from harness.typed import decoded

AUTH = "https://auth.sparkrun.dev"
AGAIN = "log in again: harness share login"
CALLBACK_PORT = 9005
BROWSER_S = 300.0
INTERVAL_S, SLOWER_S, LONGEST_INTERVAL_S = 5.0, 5.0, 60.0
"""Between two questions: unless the server says otherwise, and what `slow_down` adds (RFC 8628)."""
EXPIRES_S, LONGEST_EXPIRES_S = 900.0, 3600.0
HEADERS = {"content-type": "application/json", "user-agent": f"spark-harness/{__version__}"}

Say = Callable[[str], None]


class Code(msgspec.Struct, frozen=True):
    device_code: str
    user_code: str
    verification_url: str = ""
    interval: float = INTERVAL_S
    expires_in: float = EXPIRES_S


class Told(msgspec.Struct, frozen=True):
    """Answers of `/device/token`, and of whatever went wrong."""

    refresh_token: str = ""
    status: str = ""
    error: str = ""
    message: str = ""


class Login(msgspec.Struct, frozen=True):
    id_token: str
    """Good for about an hour."""
    user_id: str
    bucket: str
    email: str | None = None


def exchange(auth: str, refresh_token: str) -> Login:
    """What an upload needs. Raises `MachineError`."""
    reply = _post(auth, "/exchange", {"refresh_token": refresh_token})
    if reply.status == 200:
        try:
            login = decoded(reply.body, Login)
        except msgspec.MsgspecError:
            login = Login("", "", "")
        if login.id_token and login.user_id and login.bucket:
            return login
        raise MachineError(f"{auth} takes the login, but does not say who you are and where files go", "try again later")
    hint = AGAIN if 400 <= reply.status < 500 and reply.status != 429 else "try again later"
    raise MachineError(f"{auth} does not take the login: {_reason(reply, refresh_token)}", hint)


def device(auth: str, say: Say, sleep: Callable[[float], None] = clock.sleep) -> str:
    """The refresh token, once somebody has typed the code elsewhere. Raises `MachineError` when it was refused or has expired."""
    reply = _post(auth, "/device/code", {})
    try:
        code = decoded(reply.body, Code) if reply.status == 200 else None
    except msgspec.MsgspecError:
        code = None
    if code is None or not code.device_code or not code.user_code:
        raise MachineError(
            f"{auth} gives no code to log in with: {_reason(reply)}", "try again later, or harness share login --browser"
        )
    say(
        f"Open {request.short(code.verification_url) or f'{auth}/device'} on any device and enter {request.short(code.user_code)}"
    )
    interval = min(code.interval, LONGEST_INTERVAL_S) if code.interval > 0 else INTERVAL_S
    left = min(code.expires_in, LONGEST_EXPIRES_S)
    while left > 0:
        sleep(interval)
        asked = clock.now()
        reply = _post(auth, "/device/token", {"device_code": code.device_code})
        left -= interval + clock.since(asked)
        token, slower = _poll(auth, reply, code.device_code)
        if token:
            return token
        interval = min(max(interval + SLOWER_S, reply.later_s or 0), LONGEST_INTERVAL_S) if slower else interval
    raise _expired()


def _poll(auth: str, reply: Reply, device_code: str) -> tuple[str, bool]:
    """(token, whether to ask less often); neither: not yet. Raises `MachineError` when there is nothing to wait for."""
    told = _told(reply)
    if reply.status == 200 and told.refresh_token:
        return told.refresh_token, False
    if told.error == "slow_down" or reply.status == 429:
        return "", True
    if reply.status == 410 or told.error == "expired_token":
        raise _expired()
    if reply.status == 403 or "access_denied" in (told.error, told.status) or told.status == "denied":
        raise MachineError(f"{auth}: the login was denied", AGAIN)
    if 400 <= reply.status < 500 and told.error != "authorization_pending":
        raise MachineError(f"{auth} ends the login: {_reason(reply, device_code)}", AGAIN)
    return "", False  # pending, or a fault that may pass


def _expired() -> MachineError:
    return MachineError("the code has expired before it was entered", AGAIN)


def browser(auth: str, show: Say, ask: Callable[[str], str], *, port: int = CALLBACK_PORT, limit_s: float = BROWSER_S) -> str:
    """The refresh token, from a browser on this machine. `show` gets the address of the page; `ask` the code that the page shows, which is
    ours only if the page belongs to this login. Raises `MachineError`."""
    state, challenge = secrets.token_urlsafe(32), _challenge()
    got: list[Told] = []

    class Callback(_Callback):
        origin, nonce, take = auth, state, got.append

    with _server(port, Callback) as server:
        back = f"http://localhost:{server.server_port}/callback"
        show(f"{auth}/login?{urlencode({'callback': back, 'code': challenge, 'state': state})}")
        began = clock.now()
        while not got and (left := limit_s - clock.since(began)) > 0:
            server.timeout = left
            server.handle_request()
    if not got:
        raise MachineError(f"no login came from the browser within {limit_s:.0f} s", "try again, or without --browser")
    if not got[0].refresh_token:
        raise MachineError(f"{auth}: the login failed: {request.short(got[0].error)}", "try again, or without --browser")
    if not secrets.compare_digest(ask("Code that the page shows: ").strip().upper().encode(), challenge.encode()):
        raise UsageError(
            "that is not the code of this login, so it does not count", "try again: it is on the page that was opened"
        )
    return got[0].refresh_token


class _Callback(BaseHTTPRequestHandler):
    """Takes one token from the page, and only with the nonce that the page was opened with."""

    origin: str
    nonce: str
    take: Callable[[Told], None]
    timeout = 10

    def do_OPTIONS(self) -> None:
        self._answer(204)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._token(*(query.get(name, [""])[0] for name in ("state", "token", "error")))

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        body = self.rfile.read(int(length)) if length.isascii() and length.isdigit() and int(length) <= LARGEST_ANSWER else b""
        try:
            said = decoded(body, dict[str, object])
        except msgspec.MsgspecError:
            said = {}
        self._token(*(str(said.get(name) or "") for name in ("state", "token", "error")))

    def _token(self, state: str, token: str, error: str) -> None:
        if urlsplit(self.path).path != "/callback":
            self._answer(404)
        elif not secrets.compare_digest(state.encode(), self.nonce.encode()):
            self._answer(400, b'{"error":"invalid state"}')
        else:
            type(self).take(Told(refresh_token=token, error=error or "the page sent no token"))
            self._answer(200 if token else 400, b'{"ok":true}' if token else b'{"error":"missing token"}')

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("access-control-allow-origin", self.origin)
        self.send_header("access-control-allow-methods", "GET, POST, OPTIONS")
        self.send_header("access-control-allow-headers", "content-type")
        if body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        """Not to standard error: the path of a GET has the token."""


def _server(port: int, handler: type[_Callback]) -> HTTPServer:
    try:
        return HTTPServer(("127.0.0.1", port), handler)
    except OSError:  # somebody has it
        return HTTPServer(("127.0.0.1", 0), handler)


def _challenge() -> str:
    drawn = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))
    return f"{drawn[:5]}-{drawn[5:]}"


def _post(auth: str, path: str, payload: dict[str, str]) -> Reply:
    return request.send(auth, "POST", path, HEADERS, msgspec.json.encode(payload))


def _told(reply: Reply) -> Told:
    try:
        return decoded(reply.body, Told)
    except msgspec.MsgspecError:
        return Told()


def _reason(reply: Reply, *known: str) -> str:
    if reply.status == 0:
        return f"no answer: {reply.text}"
    later = f", come back in {reply.later_s} s" if reply.later_s is not None else ""
    told = _told(reply)
    words = request.short(request.without(told.message or told.error, *known))
    return f"it answers {reply.status}{later}" + (f": {words}" if words else "")
