"""The hub's protocol, as huggingface-hub speaks it, against a server that behaves as documented, and one that does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from harness.errors import MachineError, UsageError
from harness.report import share as report
from harness.share.parcel import TOKEN as SECRET
from harness.share.parcel import Answer, Parcel
from harness.share.targets import TARGETS
from tests.share import hub_server, parcels, web
from tests.share.hub_server import REPO, TOKEN, Hub
from tests.share.web import CUT

pytest.importorskip("huggingface_hub", reason="the extra `share` is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # the library's own
TARGET = TARGETS["huggingface"]
SECRETS = {SECRET: TOKEN}
FOLDER = f"results/{parcels.SUBMISSION}"


def send(hub: Hub, name: str = REPO, secrets: dict[str, str] = SECRETS) -> tuple[Parcel, Answer, str]:
    """(what was to be sent, what came of it, all that is printed of it)."""
    said: list[str] = []
    with web.serving(hub) as hub.url:
        parcel = parcels.parcel(TARGET, "huggingface", f"{hub.url}/{name}")
        answer = TARGET.send(parcel, secrets, frozenset(), said.append)
    receipt = msgspec.structs.replace(
        parcels.receipt(parcel, TARGET), ended="2026-11-25T10:01:00+00:00", **msgspec.structs.asdict(answer)
    )
    printed = "\n".join([*said, report.outcome(receipt), answer.said])
    assert TOKEN not in printed
    assert all(TOKEN.encode() not in data for data in parcel.files.values())
    assert ("uploaded" in printed) == answer.confirmed
    return parcel, answer, printed


def withdraw(hub: Hub, parcel: Parcel) -> Answer:
    with web.serving(hub) as hub.url:
        again = msgspec.structs.replace(parcel, where=parcel.where.replace(parcel.where.rsplit("/", 2)[0], hub.url))
        return TARGET.withdraw(parcels.receipt(again, TARGET), SECRETS, print)


def faulty(**faults: Sequence[web.Answer]) -> Hub:
    return Hub(faults)


def test_one_commit_with_both_files() -> None:
    hub = Hub()
    parcel, answer, printed = send(hub)
    assert {len(data) >= hub_server.LARGE for data in parcel.files.values()} == {True, False}, (
        "both ways to store are to be shown"
    )
    assert hub.main == {f"{FOLDER}/{name}": data for name, data in parcel.files.items()}
    assert len(hub.commits) == 2
    assert (answer.confirmed, answer.missing) == (True, ())
    assert answer.reference.startswith(f"{hub.url}/datasets/{REPO}/tree/")
    assert answer.reference.endswith(FOLDER)
    assert f"{REPO} is private" in printed
    assert hub.steps == ["look", "modes", "batch", "put", "verify", "commit", "ask"]


def test_nothing_of_this_machine_is_told_besides() -> None:
    hub = Hub()
    send(hub)
    agents = {request.headers["user-agent"] for request in hub.requests if "authorization" in request.headers}
    assert len(agents) == 1
    words = agents.pop().split("; ")
    assert [word.partition("/")[0] for word in words] == ["spark-harness", "hf_hub", "python"]


def test_public_is_said() -> None:
    hub = Hub()
    hub.private = False
    assert f"{REPO} is public" in send(hub)[2]


def test_a_pull_request() -> None:
    hub = Hub()
    parcel, answer, printed = send(hub, f"{REPO}@pr")
    assert hub.main == {}
    assert hub.proposed == {f"{FOLDER}/{name}": data for name, data in parcel.files.items()}
    assert answer.confirmed
    assert answer.reference == f"{hub.url}/datasets/{REPO}/discussions/1"
    assert "whether it is merged is its owner's to decide" in printed


def test_the_same_again_is_no_other_commit() -> None:
    hub = Hub()
    send(hub)
    _, answer, _ = send(hub)
    assert (answer.confirmed, len(hub.commits)) == (True, 2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Answer(401, {"error": f"{TOKEN} is bad"}), "401: the token is not taken, or the repository does not exist"),
        (web.Answer(403, {"error": "no write"}), "403: this token may not do that"),
        (web.Answer(404, {}, {"x-error-code": "RepoNotFound"}), "404: there is no such repository"),
        (web.Answer(429, {}, {"retry-after": "3600"}), "429: too many requests, come back in 3600 s"),
        (web.Answer(307, {}, {"location": "http://127.0.0.1:1/"}), "it sends us to http://127.0.0.1:1/: nothing went there"),
        (web.Answer(200, b"<html>"), "not the hub's"),
        (web.Answer(200, []), "not the hub's"),
        (CUT, "the connection broke"),
    ],
)
def test_what_cannot_be_begun(answer: web.Answer, said: str) -> None:
    hub = faulty(look=[answer])
    with pytest.raises(MachineError) as caught:
        send(hub)
    assert said in caught.value.message
    assert TOKEN not in str(caught.value)
    assert hub.steps == ["look"]


@pytest.mark.parametrize("step", ["modes", "batch", "put", "verify", "commit"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Answer(401, {"error": f"not {TOKEN}"}), "401: the token is not taken"),
        (web.Answer(403, {"error": "Forbidden: over quota"}), "403: this token may not do that: Forbidden: over quota"),
        (web.Answer(429, {}, {"retry-after": "120"}), "429: too many requests, come back in 120 s"),
    ],
)
def test_refused_at_any_step(step: str, answer: web.Answer, said: str) -> None:
    hub = faulty(**{step: [answer]})
    parcel, found, printed = send(hub)
    assert (found.confirmed, found.sent, found.missing) == (False, (), tuple(parcel.files))
    assert said in printed
    assert "does not have these bytes" in printed
    assert hub.main == {}


@pytest.mark.parametrize("step", ["modes", "batch", "commit"])
@pytest.mark.parametrize("body", [b"<html>Thank you!</html>", b"{}", b"[]", b'{"success": true}', b'{"files": [{}]}'])
def test_a_200_that_is_a_lie(step: str, body: bytes) -> None:
    _, found, printed = send(faulty(**{step: [web.Answer(200, body)]}))
    assert not found.confirmed
    assert "does not have these bytes" in printed


def test_a_commit_that_was_never_made() -> None:
    lie = {"commitOid": "a" * 40, "commitUrl": f"http://127.0.0.1/datasets/{REPO}/commit/{'a' * 40}"}
    _, found, printed = send(faulty(commit=[web.Answer(200, lie)]))
    assert not found.confirmed
    assert "it says that it has made commit" in printed
    assert "what is there cannot be asked: it answers 404" in printed


@pytest.mark.parametrize("name", ["README.md", ".tar"])
@pytest.mark.parametrize("how", ["forgets", "alters"])
def test_a_commit_without_one_file_or_with_another(how: str, name: str) -> None:
    hub = Hub()
    getattr(hub, how).append(name)
    _, found, printed = send(hub)
    assert not found.confirmed
    assert len(found.sent) == len(found.missing) == 1
    assert found.missing[0].endswith(name)
    assert "does not have these bytes" in printed


@pytest.mark.parametrize(
    "answer",
    [
        web.Answer(200, []),
        web.Answer(200, b"ok"),
        web.Answer(200, [{"type": "file"}]),
        web.Answer(200, [{"type": "directory", "path": f"{FOLDER}/README.md", "oid": "0" * 40}]),
        web.Answer(500, {}),
        CUT,
    ],
)
def test_what_is_there_is_not_told(answer: web.Answer) -> None:
    hub = faulty(ask=[answer])
    parcel, found, _ = send(hub)
    assert (found.confirmed, found.missing) == (False, tuple(parcel.files))


def test_the_connection_breaks_within_a_file_and_the_next_try_is_whole() -> None:
    hub = Hub()
    hub.broken_within = ["put"]
    _, answer, _ = send(hub)
    assert (answer.confirmed, len(hub.commits)) == (True, 2)


def test_the_connection_breaks_within_the_commit() -> None:
    hub = Hub()
    hub.broken_within = ["commit"]
    parcel, answer, printed = send(hub)
    assert (answer.confirmed, answer.missing) == (False, tuple(parcel.files))
    assert "the connection broke" in printed
    _, again, _ = send(hub)
    assert (again.confirmed, len(hub.commits)) == (True, 2)


def test_the_answer_is_lost_but_the_commit_was_made() -> None:
    hub = Hub()
    hub.lost = ["commit"]
    _, answer, printed = send(hub)
    assert answer.confirmed
    assert "although the answer to the commit was: the connection broke" in printed
    hub = Hub()
    hub.lost = ["commit", "ask"]
    parcel, answer, printed = send(hub)
    assert (answer.confirmed, answer.missing) == (False, tuple(parcel.files))
    assert "what is there cannot be asked" in printed


def test_the_answer_to_a_pull_request_is_lost() -> None:
    hub = Hub()
    hub.lost = ["commit"]
    _, answer, printed = send(hub, f"{REPO}@pr")
    assert not answer.confirmed
    assert "whether there is a pull request is to be seen" in printed


def test_it_is_taken_back_and_the_history_is_not() -> None:
    hub = Hub()
    hub.commits[0] = {"mine.txt": b"stays"}
    parcel, _, _ = send(hub)
    answer = withdraw(hub, parcel)
    assert answer.confirmed
    assert "the repository's history has" in answer.said
    assert hub.main == {"mine.txt": b"stays"}
    hub.steps.clear()
    assert withdraw(hub, parcel).confirmed
    assert hub.steps == ["ask"]


def test_it_says_that_it_has_deleted_them() -> None:
    hub = Hub()
    parcel, _, _ = send(hub)
    lie = {"commitOid": "a" * 40, "commitUrl": f"http://127.0.0.1/datasets/{REPO}/commit/{'a' * 40}"}
    for fault, said in (
        (web.Answer(200, lie), "it says that it has deleted them; still there: README.md"),
        (web.Answer(403, {"error": TOKEN}), "403: this token may not do that: [secret]; still there"),
        (web.Answer(429, {}), "429: too many requests; still there"),
    ):
        hub.faults = {"commit": [fault]}
        answer = withdraw(hub, parcel)
        assert not answer.confirmed
        assert said in answer.said
    hub.faults = {"ask": [web.Answer(401, {})]}
    with pytest.raises(MachineError, match="401"):
        withdraw(hub, parcel)
    hub.lost = ["commit"]
    assert withdraw(hub, parcel).confirmed


def test_a_pull_request_is_closed_by_hand() -> None:
    hub = Hub()
    parcel, _, _ = send(hub, f"{REPO}@pr")
    with pytest.raises(MachineError, match="closed by hand"):
        withdraw(hub, parcel)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "results",
        "a/b/c",
        "a/b@pr2",
        "../b",
        "a/..",
        "me/results?x",
        "http://example.org/me/results",
        "http://127.0.0.1.example.org/me/results",
        "https://user:password@example.org/me/results",
        "https://example.org/x/me/results",
        "https://example.org:x/me/results",
        "ftp://example.org/me/results",
        "https:///me/results",
    ],
)
def test_no_repository(where: str) -> None:
    with pytest.raises(UsageError, match="no dataset repository"):
        TARGET.audience(where)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = parcels.parcel(TARGET, "huggingface", "me/results")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MachineError, match="is not installed"):
        TARGET.check(parcel, SECRETS)


def test_who_sees_it() -> None:
    audience = TARGET.audience("me/results")
    assert "https://huggingface.co/datasets/me/results" in audience.to
    assert "unless it is private" in audience.seen_by
    assert "history keeps them" in audience.withdrawal
    assert "as a pull request" in TARGET.audience("me/results@pr").to
    assert "https://hub.example.org:8443/datasets/me/results" in TARGET.audience("https://hub.example.org:8443/me/results").to


PROGRAM = """
import os
import sys
from harness.errors import HarnessError
from harness.share.parcel import Parcel
from harness.share.targets.huggingface import HuggingFace
parcel = Parcel(target="huggingface", where=sys.argv[1], submission="a" * 26, result="r", files={"README.md": b"words"})
secrets = {name: value for name, value in os.environ.items() if name == "HF_TOKEN"}
try:
    HuggingFace().check(parcel, secrets)
    print("checked")
    print(HuggingFace().send(parcel, secrets, frozenset(), print))
except HarnessError as error:
    print(error)
"""


def elsewhere(where: str, home: Path, **env: str) -> str:
    """A process of its own: the library reads the environment when it is loaded."""
    env = {**os.environ, "HF_HOME": str(home), **env}
    env = {name: value for name, value in env.items() if value}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_environment_says_who_one_is_and_not_where_it_goes(tmp_path: Path) -> None:
    hub = Hub()
    (tmp_path / "token").write_text(TOKEN)
    with web.serving(hub) as hub.url:
        where = f"{hub.url}/{REPO}"
        assert "confirmed=True" in elsewhere(where, tmp_path / "none", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert "confirmed=True" in elsewhere(where, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="")
        assert all(REPO in request.path for request in hub.requests), "it looks up nothing else there"
        hub.requests.clear()
        refused = (
            (where, {"HF_ENDPOINT": "", "HF_TOKEN": TOKEN}, f"no token for {hub.url}"),  # one for the hub goes to no other
            (where, {"HF_ENDPOINT": hub.url, "HF_TOKEN": ""}, f"no token for {hub.url}"),
            ("me/results", {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}, f"HF_ENDPOINT is {hub.url}, but"),
            (where, {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        )
        for place, env, said in refused:
            told = elsewhere(place, tmp_path / "none", **env)
            assert said in told
            assert "checked" not in told, "it is said before anybody is asked"
        assert hub.requests == []
