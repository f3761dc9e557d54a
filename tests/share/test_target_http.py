"""A collector that accepts, refuses, breaks off and lies: whoever sends to it is told the truth each time."""

from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path

import pytest

from harness import clock
from harness.errors import MachineError, UsageError
from harness.schema.bundle import Entry
from harness.schema.consent import Receipt
from harness.share.parcel import TOKEN, Answer, Parcel
from harness.share.request import LARGEST_ANSWER
from harness.share.targets.http import Http
from tests.share import collecting
from tests.share.collecting import Play, accept, collector, drip, drop, early, hang, raw, says, silent
from tests.share.sitting import Place
from tests.tls_relay import tls

DATA = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(DATA).hexdigest()
SECRET = {TOKEN: "s3cret"}
SAID: list[str] = []


def parcel(where: str, data: bytes = DATA) -> Parcel:
    return Parcel(target="http", where=where, submission="abc234", result="r", files={"run.tar": data})


def send(where: str, data: bytes = DATA, patience_s: float = 5.0) -> Answer:
    return Http(patience_s).send(parcel(where, data), SECRET, frozenset(), SAID.append)


def test_it_is_uploaded_when_the_collector_says_that_it_has_these_bytes() -> None:
    with collector(accept) as server:
        answer = send(f"{server.url}/team/")
        (request,) = server.seen
    assert (answer.confirmed, answer.reference, answer.missing) == (True, "https://collector.example.org/r/1", ())
    assert (request.method, request.path, request.body) == ("PUT", "/team/v1/bundles/abc234", DATA)
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["x-bundle-sha256"] == DIGEST
    assert request.headers["content-length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("play", "told"),
    [
        (
            says(422, state="refused", reasons=["the signature is none", "figures differ"]),
            "the signature is none; figures differ",
        ),
        (says(200, state="refused", sha256=DIGEST, reasons=["later thought"]), "refused the bundle: later thought"),
        (says(401), "401: it does not know this token"),
        (says(403, reasons=["key not known"]), "403: it does not allow this: key not known"),
        (says(404), "404: it has nothing under this address"),
        (says(409), "409: it has another bundle"),
        (says(413), "413: it does not take so large a bundle"),
        (says(429, retry_after=3600), "429: it takes no more just now, come back in 3600 s"),
        (says(429), "429: it takes no more just now"),
        (says(500), "500: a fault of its own"),
        (raw(200, b""), "no SHA-256"),
        (raw(200, b"<html>Thank you!"), "no SHA-256"),
        (says(200, state="accepted"), "no SHA-256"),
        (says(200, state="accepted", sha256="0" * 64), "the SHA-256 of other bytes: 000"),
        (says(202, state="accepted", sha256=DIGEST), "202: it did not take it"),
        (says(200, state="queued", sha256=DIGEST), "the state 'queued' and the right SHA-256"),
        (says(200, state=True, sha256=[DIGEST]), "no SHA-256"),
        (raw(200, b'{"state": "accepted", "sha256": "%b"}' % DIGEST.encode() + b" " * LARGEST_ANSWER), "no SHA-256"),
        (says(422, reasons=["\x1b[2J" + "x" * 9000]), r"\\x1b\[2Jxxx"),
    ],
)
def test_anything_else_is_told_as_it_is(play: Play, told: str) -> None:
    with collector(play) as server:
        answer = send(server.url)
    assert not answer.confirmed
    assert answer.missing == ("run.tar",)
    assert re.search(told, answer.said), answer.said
    assert len(answer.said) < 600


def test_an_answer_before_everything_was_sent_is_heard() -> None:
    with collector(early) as server:
        answer = send(server.url, DATA * 16)
        assert [request.method for request in server.seen] == ["PUT"]
    assert (answer.confirmed, answer.said) == (False, "it answers 413: it does not take so large a bundle: at most 1 MiB")


def test_too_many_requests_are_waited_for() -> None:
    with collector(says(429, retry_after=1), says(503, retry_after=0), accept) as server:
        assert send(server.url).confirmed
        assert {(request.method, request.path) for request in server.seen} == {("PUT", "/v1/bundles/abc234")}
        assert len(server.seen) == 3


def test_what_broke_half_way_is_sent_again_under_the_same_submission() -> None:
    with collector(drop, says(404), accept) as server:
        assert send(server.url).confirmed
        assert [request.method for request in server.seen] == ["PUT", "GET", "PUT"]
        assert server.seen[0].body == DATA[: len(DATA) // 2]
        assert server.seen[2].body == DATA


def test_what_arrived_without_an_answer_is_asked_for() -> None:
    with collector(silent, accept) as server:
        assert send(server.url).confirmed
        assert [request.method for request in server.seen] == ["PUT", "GET"]


def test_what_nobody_can_tell_is_not_confirmed() -> None:
    with collector(drop, drop) as server:
        answer = send(server.url)
    assert (answer.confirmed, answer.missing) == (False, ("run.tar",))
    assert "it does not say what arrived" in answer.said


def test_it_gives_up_on_a_connection_that_always_breaks() -> None:
    with collector(*[drop, says(404)] * 3) as server:
        answer = send(server.url)
        assert [request.method for request in server.seen] == ["PUT", "GET"] * 3
    assert (answer.confirmed, "no answer" in answer.said) == (False, True)


def test_an_answer_without_an_end_is_cut_off() -> None:
    start = clock.now()
    with collector(drip, says(404), drip, says(404), drip, says(404)) as server:
        assert not send(server.url, b"x", patience_s=0.3).confirmed
    assert clock.since(start) < 30


def test_nobody_is_followed_elsewhere_with_the_token() -> None:
    with collector(accept) as other, collector(raw(307, b"", location=f"{other.url}/v1/bundles/abc234")) as server:
        answer = send(server.url)
        assert (answer.confirmed, other.seen) == (False, [])
    assert f"sends us to {other.url}" in answer.said


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MachineError, match="cannot be reached"):
        send(f"http://127.0.0.1:{port}")


def test_certificates_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector(accept) as server, tls(server.server_address[1], tmp_path) as (port, certificate):
        with pytest.raises(MachineError, match="certificate"):
            send(f"https://localhost:{port}")
        assert server.seen == [], "neither bundle nor token"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert send(f"https://localhost:{port}").confirmed
        with pytest.raises(MachineError, match="cannot be reached"):
            send(f"https://127.0.0.1:{port}")  # the certificate is for another name


@pytest.mark.parametrize(
    "where",
    [
        "http://collector.example.org",
        "http://192.168.1.7:8000",
        "https://",
        "https://ann:pw@collector.example.org",
        "https://collector.example.org/?a=b",
        "https://collector.example.org/#x",
        "https://collector.example.org:port",
        "https://collector.example.org/\r\nx: y",
        "ftp://collector.example.org",
    ],
)
def test_addresses_that_are_none(where: str) -> None:
    with pytest.raises(UsageError, match="--to"):
        Http().audience(where)


def test_without_tls_only_if_it_is_said() -> None:
    told = Http().audience("http+insecure://collector.example.org")
    assert "goes without TLS" in told.seen_by
    with collector(accept) as server:
        assert send(server.url.replace("http://", "http+insecure://")).confirmed


@pytest.mark.parametrize("token", ["", "two words", "line\r\nx: y", "ü"])
def test_tokens_that_are_none(token: str) -> None:
    with collector(accept) as server:
        with pytest.raises(UsageError, match="token"):
            Http().send(parcel(server.url), {TOKEN: token}, frozenset(), SAID.append)
        assert server.seen == []


def receipt(where: str) -> Receipt:
    return Receipt(
        id="i",
        result="r",
        target="http",
        where=where,
        audience=Http().audience(where),
        submission="abc234",
        sha256="0",
        files={"run.tar": Entry(1, "0")},
        consent="terminal",
        began="2026",
    )


@pytest.mark.parametrize(
    ("play", "confirmed", "told"),
    [
        (collecting.withdraw, True, "has deleted it"),
        (says(200), False, "does not say that it has deleted anything"),
        (says(404), False, "404"),
        (drop, False, "no answer"),
    ],
)
def test_withdrawing(play: Play, confirmed: bool, told: str) -> None:
    with collector(play) as server:
        answer = Http(2.0).withdraw(receipt(server.url), SECRET, SAID.append)
        assert [(request.method, request.path) for request in server.seen] == [("DELETE", "/v1/bundles/abc234")]
    assert (answer.confirmed, told in answer.said) == (confirmed, True)


class TestWithAPerson:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(tmp_path)

    def test_nobody_is_asked_before_somebody_agreed(self, place: Place) -> None:
        """No connection, however far it gets without the phrase."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            to = ("latest", "--to", f"http://127.0.0.1:{listener.getsockname()[1]}", "--token-env", "A_TOKEN")
            assert place.share(*to, "--dry-run", place.home / "dry", A_TOKEN="s3cret").returncode == 0
            assert place.share(*to, A_TOKEN="s3cret").returncode == 13
            with place.sit(*to, A_TOKEN="s3cret") as sitting:
                sitting.phrase()
                sitting.type("no")
                assert sitting.end()[0] == 13
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_from_the_phrase_to_the_withdrawal(self, place: Place) -> None:
        token = place.home / "token"
        token.write_text("s3cret\n")
        token.chmod(0o600)
        with collector(says(500), accept, collecting.withdraw) as server:
            to = ("latest", "--to", server.url, "--token-file", token)
            code, seen = place.agree(*to)
            assert code == 14, seen
            assert "not confirmed: it answers 500" in seen
            assert "uploaded" not in seen
            code, seen = place.agree(*to)
            assert code == 0, seen
            assert "uploaded: https://collector.example.org/r/1" in seen
            first, second = server.seen
            assert (first.path, first.body) == (second.path, second.body), "the submission and its bytes stay"
            one, two = sorted(place.receipts(), key=lambda receipt: receipt.confirmed)
            assert (one.confirmed, two.confirmed, one.submission == two.submission) == (False, True, True)
            assert first.path == f"/v1/bundles/{one.submission}"
            code, seen = place.agree("withdraw", two.id[:8], "--token-file", token)
            assert code == 0, seen
            assert server.seen[2].method == "DELETE"
            (gone,) = [receipt for receipt in place.receipts() if receipt.withdrawal]
            assert (gone.id, gone.withdrawal is not None and gone.withdrawal.confirmed) == (two.id, True)
            assert all(
                "s3cret" not in path.read_text(errors="replace")
                for path in place.home.rglob("*")
                if path.is_file() and path != token
            )

    def test_one_that_is_killed_is_not_called_anything(self, place: Place) -> None:
        """The receipt is there before the first byte; what goes the next time is the same submission."""
        with collector(hang, accept) as server:
            to = ("latest", "--to", server.url, "--token-env", "A_TOKEN")
            with place.sit(*to, A_TOKEN="s3cret") as sitting:
                sitting.type(sitting.phrase())
                server.arrived.wait(30)
                sitting.process.kill()
                sitting.end()
            (receipt,) = place.receipts()
            assert (receipt.ended, receipt.confirmed) == (None, False)
            assert "what arrived is not known" in " ".join(place.share("list").stdout.split())
            assert place.agree(*to, A_TOKEN="s3cret")[0] == 0
            assert len({(request.path, request.body) for request in server.seen}) == 1

    def test_without_a_token_nobody_is_asked(self, place: Place) -> None:
        with place.sit("latest", "--to", "http://127.0.0.1:9") as sitting:
            code, seen = sitting.end()
        assert (code, "a collector asks for a token" in seen, "type exactly" in seen) == (2, True, False)

    def test_a_token_that_others_can_read_is_refused(self, place: Place) -> None:
        token = place.home / "token"
        token.write_text("s3cret\n")
        token.chmod(0o640)
        done = place.share("latest", "--to", "http://127.0.0.1:9", "--token-file", token)
        assert (done.returncode, "chmod 600" in done.stderr) == (2, True)
