"""auth.sparkrun.dev and Firebase Storage in one, as sparkrun 0.4.2 speaks to them and Firebase documents its answers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.share.web import Answer, Request

REFRESH = "refresh-AMf-vBx0123456789secret"
ID_TOKEN = "eyJhbGciOi.id-token-secret.sig"
DEVICE_CODE = "device-code-secret"
BUCKET, USER = "arena-test.appspot.com", "Ua1b2c3"
CODE = {"device_code": DEVICE_CODE, "user_code": "WDJB-MJHT", "verification_url": "https://auth.sparkrun.dev/device"}


class Arena:
    def __init__(self, uploads: Sequence[Answer | str] = (), polls: Sequence[Answer] = ()) -> None:
        """`uploads`: what becomes of the first of them, then all are taken; a word is a way to lie or to break, see `_upload`.
        `polls`: answers of /device/token."""
        self.uploads, self.polls = list(uploads), list(polls)
        self.code: object = {**CODE, "interval": 5, "expires_in": 900}
        self.exchange: Answer = Answer(
            200, {"id_token": ID_TOKEN, "user_id": USER, "bucket": BUCKET, "email": "me@example.org"}
        )
        self.requests: list[Request] = []
        self.stored: dict[str, bytes] = {}

    def cut_within(self, method: str, path: str) -> bool:
        if path.startswith("/v0/b/") and self.uploads[:1] == ["cut within"]:
            self.uploads.pop(0)
            return True
        return False

    def answer(self, request: Request) -> Answer:
        place = urlsplit(request.path)
        if request.path.startswith("/v0/b/"):
            assert place.path == f"/v0/b/{BUCKET}/o"
            assert request.method == "POST"
            return self._upload(parse_qs(place.query)["name"][0], request)
        said = msgspec.json.decode(request.body)
        if place.path == "/exchange":
            return self.exchange if said == {"refresh_token": REFRESH} else Answer(401, {"error": "invalid_token"})
        if place.path == "/device/code":
            return Answer(200, self.code)
        if place.path == "/device/token":
            assert said == {"device_code": DEVICE_CODE}
            return self.polls.pop(0) if self.polls else Answer(202, {"status": "pending"})
        return Answer(404)

    def _upload(self, name: str, request: Request) -> Answer:
        fault = self.uploads.pop(0) if self.uploads else ""
        if isinstance(fault, Answer):
            return fault
        if request.headers.get("authorization") != f"Bearer {ID_TOKEN}":
            return Answer(401, {"error": {"code": 401, "message": "Unauthorized."}})
        held = {
            "name": name,
            "bucket": BUCKET,
            "size": str(len(request.body)),
            "md5Hash": base64.b64encode(hashlib.md5(request.body).digest()).decode(),
            "contentType": "application/octet-stream",
            "downloadTokens": "00000000-0000-4000-8000-000000000000",
        }
        if fault.startswith("other "):
            return Answer(200, held | {fault.removeprefix("other "): "something-else"})
        if fault.startswith("without "):
            return Answer(200, {key: value for key, value in held.items() if key != fault.removeprefix("without ")})
        if fault == "page":
            return Answer(200, b"<html>Thank you!</html>", {"content-type": "text/html"})
        self.stored[name] = request.body
        if fault == "cut after":
            return Answer(0, cut=True)
        assert not fault
        return Answer(200, held)
