"""Logging in to Spark Arena: by a code on another device, by a browser here; and the file that keeps it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import pytest

from harness.errors import MachineError, UsageError
from harness.share import arena_login, token_file
from tests.share import web
from tests.share.arena_server import CODE, DEVICE_CODE, ID_TOKEN, REFRESH, Arena
from tests.share.web import CUT

AUTH = "https://auth.example.org"


def device(arena: Arena) -> tuple[str, list[float], list[str]]:
    waits: list[float] = []
    said: list[str] = []
    with web.serving(arena) as auth:
        return arena_login.device(auth, said.append, waits.append), waits, said


TAKEN = web.Answer(200, {"refresh_token": REFRESH})
PENDING = web.Answer(202, {"status": "pending"})


def test_a_code_on_another_device() -> None:
    also_pending = (
        web.Answer(200, {"status": "pending"}),
        web.Answer(400, {"error": "authorization_pending"}),
        web.Answer(503, b""),
        CUT,
    )
    token, waits, said = device(Arena(polls=[PENDING, *also_pending, TAKEN]))
    assert token == REFRESH
    assert waits == [5.0] * 6
    assert said == ["Open https://auth.sparkrun.dev/device on any device and enter WDJB-MJHT"]


def test_slow_down_is_heeded() -> None:
    slow = [web.Answer(400, {"error": "slow_down"}), web.Answer(429, b"", {"retry-after": "20"}), PENDING]
    assert device(Arena(polls=[*slow, TAKEN]))[1] == [5.0, 10.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Answer(410, {"error": "gone"}), "has expired before"),
        (web.Answer(400, {"error": "expired_token"}), "has expired before"),
        (web.Answer(403, {"error": "access_denied"}), "denied"),
        (web.Answer(400, {"error": "access_denied"}), "denied"),
        (web.Answer(200, {"status": "denied"}), "denied"),
        (web.Answer(404, {"message": "no device-code-secret here"}), r"404: no \[secret\] here"),
    ],
)
def test_a_code_that_comes_to_nothing(answer: web.Answer, said: str) -> None:
    arena = Arena(polls=[PENDING, answer, TAKEN])
    with pytest.raises(MachineError, match=said):
        device(arena)
    assert arena.polls == [TAKEN]


def test_a_code_that_nobody_enters() -> None:
    arena = Arena()
    arena.code = {**CODE, "interval": 7, "expires_in": 20}
    with pytest.raises(MachineError, match="expired"):
        device(arena)
    assert sum(request.path == "/device/token" for request in arena.requests) == 3


@pytest.mark.parametrize("interval", [0, -3])
def test_no_interval_means_the_usual_one(interval: int) -> None:
    arena = Arena(polls=[TAKEN])
    arena.code = {**CODE, "interval": interval}
    assert device(arena)[1] == [5.0]


@pytest.mark.parametrize("code", [{}, {"device_code": "x"}, ["x"], {"device_code": 1, "user_code": 2}])
def test_no_code(code: object) -> None:
    arena = Arena()
    arena.code = code
    with pytest.raises(MachineError, match="gives no code"):
        device(arena)


Page = Callable[[str, str, str], object]
"""What a browser does with the page: callback, state, code."""


def browser(page: Page, typed: Callable[[str], str] = lambda code: code, *, port: int = 0, limit_s: float = 10) -> str:
    shown: list[str] = []
    threads: list[threading.Thread] = []

    def show(address: str) -> None:
        shown.append(address)
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        threads.append(threading.Thread(target=page, args=(query["callback"], query["state"], query["code"])))
        threads[0].start()

    def ask(prompt: str) -> str:
        assert "Code" in prompt
        return typed(parse_qs(urlsplit(shown[0]).query)["code"][0])

    try:
        return arena_login.browser(AUTH, show, ask, port=port, limit_s=limit_s)
    finally:
        assert shown[0].startswith(f"{AUTH}/login?")
        threads[0].join()


def post(callback: str, **said: object) -> int:
    return asked(urllib.request.Request(callback, msgspec.json.encode(said), {"content-type": "application/json"}))


def get(callback: str, **said: str) -> int:
    return asked(urllib.request.Request(f"{callback}?{urlencode(said)}"))


def asked(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            assert response.headers["access-control-allow-origin"] == AUTH
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("way", [get, post])
def test_a_browser_brings_the_token(way: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    statuses: list[int] = []

    def page(callback: str, state: str, code: str) -> None:
        assert urlsplit(callback).hostname == "localhost"
        options = urllib.request.Request(callback, method="OPTIONS")
        statuses.extend((asked(options), way(callback, token=REFRESH, state=state)))

    assert browser(page, lambda code: f" {code.lower()} ") == REFRESH
    assert statuses == [204, 200]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("way", [get, post])
def test_another_state_is_refused_and_the_right_one_still_counts(way: Callable[..., int]) -> None:
    statuses: list[int] = []

    def page(callback: str, state: str, code: str) -> None:
        wrong: tuple[dict[str, str], ...] = (
            {"state": "guessed"},
            {"state": ""},
            {},
            {"state": state[:-1]},
            {"state": state.swapcase()},
        )
        statuses.extend(way(callback, token="attackers-token", **said) for said in wrong)
        statuses.append(way(callback.replace("/callback", "/other"), token="attackers-token", state=state))
        statuses.append(way(callback, token=REFRESH, state=state))

    assert browser(page) == REFRESH
    assert statuses == [400, 400, 400, 400, 400, 404, 200]


def test_only_another_state_is_no_login() -> None:
    with pytest.raises(MachineError, match="no login came"):
        browser(lambda callback, state, code: post(callback, token="x", state="y"), limit_s=0.3)


def test_what_is_no_answer_of_the_page() -> None:
    def page(callback: str, state: str, code: str) -> None:
        for body in (b"", b"[]", b"{", b'{"state": {"a": 1}, "token": 1}', b"x" * (1 << 17)):
            asked(urllib.request.Request(callback, body))
        post(callback, token="x" * (1 << 17), state=state)
        port = urlsplit(callback).port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"POST /callback HTTP/1.1\r\ncontent-length: -1\r\n\r\n")
        post(callback, token=REFRESH, state=state)

    assert browser(page) == REFRESH


def test_the_page_says_that_it_failed() -> None:
    with pytest.raises(MachineError, match="the login failed: access_denied"):
        browser(lambda callback, state, code: get(callback, state=state, error="access_denied"))


def test_the_code_of_another_page_does_not_count() -> None:
    with pytest.raises(UsageError, match="not the code of this login"):
        browser(
            lambda callback, state, code: post(callback, token=REFRESH, state=state),
            lambda code: "AAAAA-AAAAA",
        )


def test_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def page(callback: str, state: str, code: str) -> None:
            assert urlsplit(callback).port != port
            post(callback, token=REFRESH, state=state)

        assert browser(page, port=port) == REFRESH


def test_each_login_has_its_own_nonces() -> None:
    seen: list[tuple[str, str]] = []

    def page(callback: str, state: str, code: str) -> None:
        seen.append((state, code))
        post(callback, token=REFRESH, state=state)

    for _ in range(3):
        browser(page)
    assert len({state for state, _ in seen}) == len({code for _, code in seen}) == 3
    assert all(len(state) >= 43 for state, _ in seen)


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "config" / "spark-harness" / "token"
    before = os.umask(0)
    try:
        token_file.save(path, REFRESH)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert token_file.load(path) == REFRESH
    path.chmod(0o640)
    token_file.save(path, "another")
    assert (stat.S_IMODE(path.stat().st_mode), token_file.load(path)) == (0o600, "another")
    assert [file.name for file in path.parent.iterdir()] == ["token"]
    assert token_file.forget(path)
    assert not token_file.forget(path)
    assert token_file.load(path) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    token_file.save(path, REFRESH)
    path.chmod(mode)
    with pytest.raises(MachineError, match=f"others can read or change it.*{mode:04o}") as caught:
        token_file.load(path)
    assert REFRESH not in str(caught.value)


def test_what_is_no_token_file(tmp_path: Path) -> None:
    real, path = tmp_path / "real", tmp_path / "token"
    token_file.save(real, REFRESH)
    path.symlink_to(real)
    with pytest.raises(MachineError):
        token_file.load(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(MachineError, match="not a file of yours"):
        token_file.load(path)
    path.unlink()
    for content in (b"", b"two words", b"\xff\xfe"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(MachineError, match="no token"):
            token_file.load(path)
    with pytest.raises(MachineError, match="cannot be kept"):
        token_file.save(path / "below a file", REFRESH)


def harness(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CONFIG_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "harness", *words], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_commands(tmp_path: Path) -> None:
    arena = Arena(polls=[web.Answer(200, {"refresh_token": REFRESH})])
    arena.code = {**CODE, "interval": 0.01}
    kept = tmp_path / "spark-harness" / "spark-arena-token"
    with web.serving(arena) as where:
        done = harness(tmp_path, "share", "login", "--to", f"spark-arena:{where}")
        assert (done.returncode, done.stdout.partition(". ")[0]) == (0, "Logged in to Spark Arena as me@example.org"), (
            done.stderr
        )
        assert "WDJB-MJHT" in done.stderr
        assert token_file.load(kept) == REFRESH
        arena.polls = [web.Answer(403, {})]
        refused = harness(tmp_path, "share", "login", "--to", f"spark-arena:{where}")
        assert (refused.returncode, "the login was denied" in refused.stderr) == (MachineError.exit_code, True)
        assert token_file.load(kept) == REFRESH
    for told in (done, refused):
        assert not any(secret in told.stdout + told.stderr for secret in (REFRESH, ID_TOKEN, DEVICE_CODE))
    assert harness(tmp_path, "share", "logout").stdout == "Logged out: the login is gone from this machine.\n"
    assert not kept.exists()
    assert harness(tmp_path, "share", "login", "--to", "spark-arena:http://example.org").returncode == UsageError.exit_code


def test_what_logs_in_but_is_nobody_is_not_kept(tmp_path: Path) -> None:
    arena = Arena(polls=[web.Answer(200, {"refresh_token": "something else"})])
    arena.code = {**CODE, "interval": 0.01}
    with web.serving(arena) as where:
        done = harness(tmp_path, "share", "login", "--to", f"spark-arena:{where}")
    assert (done.returncode, "does not take the login" in done.stderr) == (MachineError.exit_code, True)
    assert not list(tmp_path.rglob("*token*"))
