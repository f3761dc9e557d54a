"""What the collector answers: to the harness's own client, to strangers, to mistakes."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.collect import keys
from harness.errors import UsageError
from harness.schema.consent import Receipt
from harness.share.parcel import TOKEN, Answer, Parcel
from harness.share.targets.http import Http
from tests.collect.collector import Collector, Maker, new_key, serving, submission
from tests.share.forger import change_json


def parcel(collector: Collector, data: bytes, name: str) -> Parcel:
    return Parcel(target="http", where=collector.url, submission=name, result="0", files={"bundle.tar": data})


def send(what: Parcel, token: str) -> Answer:
    return Http().send(what, {TOKEN: token}, frozenset(), lambda _: None)


def withdraw(what: Parcel, token: str) -> Answer:
    about: Any = {"where": what.where, "submission": what.submission}
    return Http().withdraw(_receipt(**about), {TOKEN: token}, lambda _: None)


def _receipt(**given: Any) -> Receipt:
    """Only what a withdrawal looks at."""
    empty = dict.fromkeys(Receipt.__struct_fields__, "")
    return Receipt(**empty | given)


def test_the_harness_and_the_collector_speak_the_same(collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    name = submission()
    data = maker.bundle("a00001", key)
    what = parcel(collector, data, name)
    first = send(what, ann)
    assert first.confirmed
    assert first.reference == f"https://example.org/bench/results/{name}.html"
    assert send(what, ann) == first
    other = send(parcel(collector, maker.bundle("a00002", key), name), ann)
    assert not other.confirmed
    assert "it answers 409: it has another bundle under this submission" in other.said
    assert collector.accepted()[name]["sha256"] == hashlib.sha256(data).hexdigest()
    assert collector.accepted()[name]["signed_by"].startswith("ann, with ED25519 key SHA256:")
    assert withdraw(what, ann).confirmed
    assert withdraw(what, ann).confirmed
    assert name not in collector.accepted()
    assert not list(collector.folder.glob(f"bundles/*/{hashlib.sha256(data).hexdigest()}.tar"))
    assert "it was taken back" in send(what, ann).said
    assert "it does not know this token" in send(what, "hc_wrong").said


def test_refusals_have_their_reasons(
    collector: Collector, maker: Maker, key: Path, other_key: Path, ann: str, tmp_path: Path
) -> None:
    unsigned = send(parcel(collector, maker.bundle("a00003", None), submission()), ann)
    assert "it answers 403" in unsigned.said
    assert "it is not signed" in unsigned.said
    strange = send(parcel(collector, maker.bundle("a00003", other_key), submission()), ann)
    assert "it answers 403" in strange.said
    assert "does not allow for ann" in strange.said
    for name, data in maker.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    change_json(tmp_path / "result.json", _faster)
    forged = maker.of(maker.files | {"result.json": (tmp_path / "result.json").read_bytes()}, maker.result["id"], key)
    found = collector.put(submission(), ann, forged)
    assert found.status == 422
    assert found.said["state"] == "refused"
    assert any(reason.startswith("figures: ") and "decode_tok_s value: stored" in reason for reason in found.said["reasons"])
    assert not list(collector.folder.glob(f"bundles/*/{hashlib.sha256(forged).hexdigest()}.tar"))


def _faster(data: Any) -> None:
    data["cells"][0]["figures"]["decode_tok_s"]["value"] *= 1.25


def test_keys_that_become_known_later(collector: Collector, maker: Maker, tmp_path: Path) -> None:
    """The same bytes are looked at again after a refusal; whoever gets a new token has their submissions still."""
    key, name = new_key(tmp_path, "eve"), submission()
    data = maker.bundle("a00004", key)
    token = collector.add("eve")
    assert collector.put(name, token, data).status == 403
    assert collector.ask("GET", f"/v1/bundles/{name}", token).said["state"] == "refused"
    assert collector.rows.remove_user("eve")
    assert collector.ask("GET", f"/v1/bundles/{name}", token).status == 401
    token = collector.add("eve", key)
    assert collector.put(name, token, data).status == 201
    assert collector.ask("GET", f"/v1/bundles/{name}", token).said["state"] == "accepted"


def test_who_may_what(collector: Collector, maker: Maker, other_key: Path, ann: str, bob: str, root: str) -> None:
    name, data = submission(), maker.bundle("a00005", other_key)
    path = f"/v1/bundles/{name}"
    for token in ("", "hc_wrong", bob[:-1], bob.upper(), "x" * 5000):
        assert collector.put(name, token, data).status == 401
        assert collector.ask("DELETE", path, token).status == 401
    assert collector.put(name, bob, data).status == 201
    assert collector.accepted()[name]["signed_by"].startswith("bob@example.org, with")
    assert collector.ask("GET", path, ann).status == 404
    assert collector.ask("DELETE", path, ann).status == 404
    assert collector.put(name, ann, data).status == 409
    assert collector.accepted()[name]["user"] == "bob"
    assert collector.ask("DELETE", path, root).said["state"] == "withdrawn"
    assert collector.ask("GET", path, bob).said["state"] == "withdrawn"
    stored = (collector.folder / "collector.sqlite").read_bytes() + (collector.folder / "collector.sqlite-wal").read_bytes()
    assert not any(token.encode() in stored for token in (ann, bob, root))
    assert not any(token in collector.said() for token in (ann, bob, root))


def test_a_run_that_is_sent_again_takes_the_place_of_the_earlier_one(
    collector: Collector, maker: Maker, key: Path, other_key: Path, ann: str, bob: str
) -> None:
    first, second, his = submission(), submission(), submission()
    data = maker.bundle("a00006", key)
    again = maker.of(
        maker.files | {"logs/more.log": b"more", "result.json": msgspec.json.encode(maker.result | {"id": "a00006"})},
        "a00006",
        key,
    )
    assert collector.put(his, bob, maker.bundle("a00006", other_key)).status == 201
    assert collector.put(first, ann, data).status == 201
    assert collector.put(second, ann, again).status == 201
    known = collector.accepted()
    assert (first in known, second in known, his in known) == (False, True, True)
    assert collector.ask("GET", f"/v1/bundles/{first}", ann).said["superseded_by"] == second
    assert collector.ask("DELETE", f"/v1/bundles/{second}", ann).status == 200
    assert first not in collector.accepted()  # whoever takes it back does not want the earlier one shown


BODY = b"x" * 100
SUM = hashlib.sha256(BODY).hexdigest()
GOOD = {"content-type": "application/x-tar", "content-length": "100", "x-bundle-sha256": SUM}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"content-length": None}, 411),
        ({"content-length": None, "transfer-encoding": "chunked"}, 411),
        ({"content-length": "-1"}, 400),
        ({"content-length": str(10 << 30)}, 413),
        ({"content-length": "9" * 15}, 413),
        ({"content-type": "text/html"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"x-bundle-sha256": None}, 400),
        ({"x-bundle-sha256": "0" * 64}, 400),
        ({"x-bundle-sha256": "' OR 1=1; --"}, 400),
        ({"authorization": None}, 401),
        ({"authorization": "Basic YTpi"}, 401),
        ({"x-large": "x" * 1_000_000}, 400),
    ],
)
def test_requests_that_are_none(collector: Collector, ann: str, changed: dict[str, str | None], status: int) -> None:
    headers = {"host": "example.org", "authorization": f"Bearer {ann}"} | GOOD | changed
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    with socket.create_connection(("127.0.0.1", collector.port), 30) as connection:
        head = "\r\n".join([f"PUT /v1/bundles/{submission()} HTTP/1.1", *lines, "", ""])
        connection.sendall(head.encode() + BODY)
        assert connection.recv(100).decode().split(" ")[1] == str(status)
    assert not list(collector.folder.glob("incoming/*"))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/bundles/x",
        "/v1/bundles/..%2f..%2fcollector.sqlite",
        "/v1/bundles/'%20OR%201=1;%20DROP%20TABLE%20bundles",
        "/../collector.sqlite",
        "/..%2fcollector.sqlite",
        "/results/..%2f..%2f..%2flock",
        "/results/index.html.part",
        "/collector.sqlite",
        "//etc/passwd",
        "/%00",
    ],
)
def test_there_is_nothing_else(collector: Collector, ann: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", collector.port), 30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ann}\r\n\r\n".encode())
        assert connection.recv(100).decode().split(" ")[1] == "404"
    assert collector.command("list").returncode == 0


def test_what_was_answered_is_no_page(collector: Collector) -> None:
    found = collector.ask("GET", "/v1/bundles/%3Cscript%3E")
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("default-src 'none'")


def test_too_often(tmp_path: Path, maker: Maker) -> None:
    with serving(tmp_path / "few", "--per-minute", "5", "--pages-after", "3600", "--proxy", "127.0.0.1") as few:
        ann, bob = few.add("ann"), few.add("bob")
        path = f"/v1/bundles/{submission()}"
        assert [few.ask("GET", path, ann).status for _ in range(6)] == [404] * 5 + [429]
        late = few.ask("GET", path, ann)
        assert 0 < int(late.headers["retry-after"]) <= 12
        assert few.ask("GET", path, bob).status == 404
        there = [few.ask("GET", path, x_forwarded_for="198.51.100.7").status for _ in range(51)]
        assert (there[:50], there[50]) == ([401] * 50, 429)
        assert few.ask("GET", path, x_forwarded_for="198.51.100.8").status == 401
    with serving(
        tmp_path / "none", "--per-minute", "5", "--pages-after", "3600"
    ) as none:  # no proxy is named: nobody's word counts
        forged = [none.ask("GET", "/v1/bundles", x_forwarded_for=f"198.51.100.{n}").status for n in range(51)]
        assert forged[50] == 429


PATIENT = """
import sys
from pathlib import Path
from harness.collect import rows, serving
from harness.collect.depot import Depot
from harness.collect.settings import Settings
say = lambda text: print(text, file=sys.stderr, flush=True)
depot = Depot(Path(sys.argv[2]))
with depot.alone(), serving.bound("127.0.0.1", 0) as listening:
    say(f"Serving it at http://127.0.0.1:{listening.getsockname()[1]} ")
    settings = Settings(patience_s=0.5, look_s=0.3, uploads=2, pages_after_s=3600)
    serving.serve(depot, rows.opened(depot.database), settings, listening, say)
"""


def test_whoever_is_slow_is_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "hasty", code=PATIENT) as hasty:
        token = hasty.add("ann")
        head = f"PUT /v1/bundles/{submission()} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        rest = "content-type: application/x-tar\r\ncontent-length: 9999\r\nx-bundle-sha256: " + "0" * 64 + "\r\n\r\n"
        with socket.create_connection(("127.0.0.1", hasty.port), 30) as slow:
            slow.sendall(head.encode())  # a head that is never complete
            assert slow.recv(100) == b""
        bodies = [socket.create_connection(("127.0.0.1", hasty.port), 30) for _ in range(2)]
        for one in bodies:
            one.sendall((head + rest).encode() + b"x")
        while len(list(hasty.folder.glob("incoming/*"))) < 2:
            pass
        full = hasty.put(submission(), token, b"x")
        assert (full.status, full.headers["retry-after"]) == (503, "5")
        for one in bodies:
            assert one.recv(100).startswith(b"HTTP/1.1 408")
            one.close()
        assert not list(hasty.folder.glob("incoming/*"))


def test_an_upload_that_breaks_off_leaves_nothing(collector: Collector, maker: Maker, key: Path, ann: str) -> None:
    name, data = submission(), maker.bundle("a00007", key)
    with socket.create_connection(("127.0.0.1", collector.port), 30) as connection:
        head = [
            f"PUT /v1/bundles/{name} HTTP/1.1",
            "host: x",
            f"authorization: Bearer {ann}",
            "content-type: application/x-tar",
        ]
        head += [f"content-length: {len(data)}", f"x-bundle-sha256: {hashlib.sha256(data).hexdigest()}", "", ""]
        connection.sendall("\r\n".join(head).encode() + data[:-1])
    while list(collector.folder.glob("incoming/*")):
        pass
    assert collector.ask("GET", f"/v1/bundles/{name}", ann).status == 404
    assert send(parcel(collector, data, name), ann).confirmed


def test_another_server_on_the_same_folder(collector: Collector) -> None:
    done = collector.command("serve", "--bind", "127.0.0.1:0")
    assert done.returncode == 7
    assert "another collector serves this folder" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--proxy", "*"), "--proxy *: no address"),
        (("list", "--db", "mysql://x"), "no database that the collector knows"),
    ],
)
def test_words_that_are_wrong(collector: Collector, words: tuple[str, ...], said: str) -> None:
    done = collector.command(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


@pytest.mark.parametrize("name", ["../x", "x'; DROP TABLE users; --", "Ann", "", "x" * 33, "ann"])
def test_names_that_no_user_can_have(collector: Collector, ann: str, name: str) -> None:
    with pytest.raises(UsageError):
        collector.add(name)
    assert [user.name for user in collector.rows.users() if user.name == name] == (["ann"] if name == "ann" else [])


def test_users_by_command(collector: Collector, key: Path) -> None:
    """The token is all that is on standard output; a private key is no key of a user."""
    done = collector.command("user", "add", "zoe", "--key", f"{key}.pub", "--role", "admin")
    assert collector.ask("GET", f"/v1/bundles/{submission()}", done.stdout.strip()).status == 404
    assert "zoe  admin  since" in collector.command("user", "list").stdout
    assert "did you mean 'zoe'?" in collector.command("user", "remove", "zo").stderr
    with pytest.raises(UsageError, match="no public SSH key"):
        keys.public_keys(key)


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    for entry in Path(pytest.__file__).parents[1].iterdir():
        if not entry.name.startswith(("sqlalchemy", "starlette", "uvicorn")) and entry.suffix != ".pth":
            (tmp_path / entry.name).symlink_to(entry)
    project = Path(__file__).parents[2]
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(project)!r}]; from harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, "collect", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "the collector needs sqlalchemy, starlette, uvicorn, which are not installed" in done.stderr
    assert "spark-harness[collect]" in done.stderr
